"""What a platform's own library may do to the client that it runs in: nothing that lasts, and nothing that shows."""

from __future__ import annotations

import importlib
import logging
import threading
import warnings

import pytest

from indexpass._vendor import run_library
from indexpass.errors import BrokerUnreachable, ConfigError


def test_what_the_library_returns_is_returned() -> None:
    assert run_library(lambda: 7, platform="Acme", extra="acme") == 7


def test_what_the_library_raises_is_raised() -> None:
    def fail() -> None:
        raise LookupError("acme")

    with pytest.raises(LookupError, match="acme"):
        run_library(fail, platform="Acme", extra="acme")


def test_a_library_that_returns_nothing_is_not_late() -> None:
    run_library(lambda: None, platform="Acme", extra="acme")


def test_a_library_that_does_not_come_back_is_given_up_on() -> None:
    stop = threading.Event()
    with pytest.raises(BrokerUnreachable, match="Acme did not answer in time"):
        run_library(stop.wait, platform="Acme", extra="acme", total_seconds=0.05)
    stop.set()


def test_a_library_that_is_not_installed_is_named_with_its_extra() -> None:
    with pytest.raises(ConfigError, match="not_there is not installed, which credentials from Acme need") as caught:
        run_library(lambda: importlib.import_module("not_there"), platform="Acme", extra="acme")
    assert (caught.value.code, caught.value.hint) == ("extra-missing", "pip install 'indexpass[acme]'")


def test_a_warning_of_the_library_reaches_nobody() -> None:
    def warn() -> None:
        warnings.warn("acme", UserWarning, stacklevel=2)

    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        run_library(warn, platform="Acme", extra="acme")
    assert heard == []


def test_what_a_library_logs_of_its_answers_is_not_heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logger = logging.getLogger("botocore.parsers")
    run_library(lambda: logger.debug("Response body: canary-2c9e"), platform="AWS", extra="aws")
    assert "canary" not in caplog.text
    logger.debug("as before")
    assert "as before" in caplog.text


def test_of_two_at_once_neither_is_heard_until_both_are_done(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logger = logging.getLogger("google.auth")
    is_begun, may_end, is_done = (threading.Event() for _ in range(3))

    def be_slow() -> None:
        is_begun.set()
        may_end.wait()
        logger.debug("canary-5e1d")
        is_done.set()

    with pytest.raises(BrokerUnreachable):  # it is given up on, and goes on
        run_library(be_slow, platform="Google", extra="google", total_seconds=0.05)
    is_begun.wait()
    run_library(lambda: None, platform="AWS", extra="aws")
    may_end.set()
    is_done.wait()
    assert "canary" not in caplog.text
