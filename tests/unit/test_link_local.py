"""Asking a metadata server: on this machine or its network, bounded, and without a redirect."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from indexpass._link_local import ask_link
from indexpass._secret import Secret
from indexpass.errors import IdentityError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from indexpass._model import Answer


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/token"


def ask(url: str, *, total_seconds: float = 5.0) -> Answer:
    headers = {"X-IDENTITY-HEADER": Secret("canary")}
    return ask_link(url, headers, source="the cloud", hint="look", total_seconds=total_seconds)


def test_a_server_that_says_nothing_is_given_up_on(silent: str) -> None:
    with pytest.raises(IdentityError, match="the cloud did not answer on this machine") as caught:
        ask(silent, total_seconds=0.2)
    assert caught.value.hint == "look"


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://8.8.8.8/token", id="public-address"),
        pytest.param("http://[2001:4860:4860::8888]/token", id="public-address-of-ipv6"),
        pytest.param("https://127.0.0.1/token", id="https"),
        pytest.param("file:///etc/passwd", id="file"),
        pytest.param("http://user@127.0.0.1/token", id="user-name"),
        pytest.param("http:///token", id="no-host"),
        pytest.param("http://127.0.0.1:port/token", id="no-port"),
    ],
)
def test_what_is_no_metadata_server_is_never_asked(url: str) -> None:
    with pytest.raises(IdentityError, match="public address, or not at plain http") as caught:
        ask(url)
    assert "canary" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_a_header_that_would_end_the_line_is_not_sent(silent: str) -> None:
    with pytest.raises(IdentityError):
        ask_link(silent, {"Metadata": "true\r\nHost: other"}, source="the cloud", hint="look", total_seconds=1.0)
