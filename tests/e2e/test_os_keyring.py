"""Sessions in a real Secret Service: GNOME's keyring, on a bus of its own, without a screen.

Each process of ours is a real one. Nobody is there to answer a window, so a question to the person would hang.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from indexpass._demo.search import found_in
from servers.desktops import ASK

if TYPE_CHECKING:
    from pathlib import Path

    from servers.desktops import Desktop, Keyring

pytestmark = pytest.mark.e2e


def test_a_session_is_kept_in_the_keyring_and_not_on_disk(desktop: Desktop, keyring: Keyring) -> None:
    keyring()
    desktop.sign_in()
    ((label, token),) = desktop.items().items()
    assert f"indexpass session at {desktop.broker.url}" in label
    assert found_in(desktop.home, [token]) == 0
    assert "refresh_token" not in desktop.file


def test_each_refresh_leaves_one_new_token_in_the_keyring(desktop: Desktop, keyring: Keyring) -> None:
    keyring()
    desktop.sign_in()
    seen = list(desktop.items().values())
    for _ in range(3):
        desktop.forget_credentials()
        assert desktop.ask()
        (token,) = desktop.items().values()
        assert token not in seen
        seen.append(token)


def test_a_sign_out_leaves_nothing_in_the_keyring(desktop: Desktop, keyring: Keyring) -> None:
    keyring()
    desktop.sign_in()
    desktop.run("import sys; from indexpass._cli import main; main(sys.argv[1:])", "logout")
    assert desktop.items() == {}
    assert list((desktop.home / "sessions").glob("*.session*")) == []


def test_parallel_clients_share_one_session_in_the_keyring(desktop: Desktop, keyring: Keyring) -> None:
    keyring()
    desktop.sign_in()
    children = [
        subprocess.Popen(
            [sys.executable, "-c", ASK, desktop.broker.index],
            env=desktop.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for _ in range(8)
    ]
    outputs = [child.communicate(timeout=120) for child in children]
    assert [stderr for _, stderr in outputs if stderr] == []
    assert len({stdout for stdout, _ in outputs} - {"null\n"}) == 1
    assert len(desktop.items()) == 1


@pytest.mark.parametrize("backend", ["null.Keyring", "fail.Keyring", "chainer.ChainerBackend"])
def test_the_front_of_keyring_s_chain_is_not_asked(desktop: Desktop, keyring: Keyring, backend: str) -> None:
    """People have set the null backend so that Poetry does not hang."""
    keyring()
    desktop.sign_in(PYTHON_KEYRING_BACKEND=f"keyring.backends.{backend}")
    assert len(desktop.items()) == 1


def test_the_lock_that_counts_is_that_of_the_collection_people_prefer(desktop: Desktop, keyring: Keyring) -> None:
    keyring()
    desktop.lock()
    preferred = {"KEYRING_PROPERTY_PREFERRED_COLLECTION": "/org/freedesktop/secrets/collection/session"}
    desktop.sign_in(**preferred)
    assert "refresh_token" not in desktop.file
    assert desktop.ask(**preferred)


def test_people_may_want_the_file(desktop: Desktop, keyring: Keyring) -> None:
    keyring()
    desktop.sign_in(INDEXPASS_SESSION_STORE="file")
    assert desktop.items() == {}
    assert desktop.ask()


# Keyrings that are no use


def test_without_a_keyring_the_file_has_the_session(desktop: Desktop) -> None:
    desktop.sign_in()
    assert "refresh_token" in desktop.file
    assert desktop.ask()


def test_without_a_bus_the_file_has_the_session(desktop: Desktop) -> None:
    desktop.sign_in(DBUS_SESSION_BUS_ADDRESS="unix:path=/nonexistent/bus")
    assert "refresh_token" in desktop.file


def test_a_locked_keyring_is_left_alone_and_the_file_has_the_session(
    desktop: Desktop, keyring: Keyring, monitor: Path
) -> None:
    keyring()
    desktop.lock()
    desktop.sign_in()
    assert "refresh_token" in desktop.file
    assert desktop.ask()
    assert desktop.questions(monitor) == 0


def test_a_keyring_that_was_never_set_up_is_left_alone_and_the_file_has_the_session(
    desktop: Desktop, keyring: Keyring, monitor: Path
) -> None:
    keyring(password=None)
    desktop.sign_in()
    assert "refresh_token" in desktop.file
    assert desktop.questions(monitor) == 0


def test_a_keyring_that_hangs_is_left_behind_and_the_file_has_the_session(desktop: Desktop, keyring: Keyring) -> None:
    keyring().send_signal(signal.SIGSTOP)
    desktop.sign_in()
    assert "refresh_token" in desktop.file
    assert desktop.ask()


@pytest.mark.parametrize("is_locked", [True, False], ids=["locked", "hangs"])
def test_a_session_in_a_keyring_that_is_no_use_is_explained(
    desktop: Desktop, keyring: Keyring, *, is_locked: bool
) -> None:
    process = keyring()
    desktop.sign_in()
    if is_locked:
        desktop.lock()
    else:
        process.send_signal(signal.SIGSTOP)
    done = desktop.run(ASK, desktop.broker.index)
    assert done.stdout == "null\n"
    assert done.stderr.count("\n") == 1
    assert "is in the desktop keyring, which is locked or does not answer → unlock it" in done.stderr


def test_a_session_is_found_again_when_the_keyring_is_open_again(desktop: Desktop, keyring: Keyring) -> None:
    process = keyring()
    desktop.sign_in()
    process.send_signal(signal.SIGSTOP)
    desktop.run(ASK, desktop.broker.index)
    process.send_signal(signal.SIGCONT)
    desktop.forget_credentials()  # and the failure, which is remembered for a few seconds
    assert desktop.ask()
