"""Sessions in private files: what comes back, and what is refused."""

from __future__ import annotations

import stat
import threading
from typing import TYPE_CHECKING

import pytest

from indexpass._model import Session
from indexpass._secret import Secret
from indexpass._sessions import FileSessions
from indexpass.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

BROKER = "https://tokens.acme.example"
SESSION = Session(BROKER, "eve", Secret("refresh-1"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


@pytest.fixture
def sessions(folder: Path) -> FileSessions:
    return FileSessions(folder)


def session_file(folder: Path) -> Path:
    (path,) = folder.glob("*.session")
    return path


def test_nobody_is_signed_in_at_first(sessions: FileSessions) -> None:
    assert sessions.load(BROKER) is None


def test_looking_for_a_session_touches_nothing(sessions: FileSessions, folder: Path) -> None:
    sessions.load(BROKER)
    sessions.forget(BROKER)
    assert not folder.exists()


def test_a_saved_session_is_there_for_every_process(sessions: FileSessions, folder: Path) -> None:
    sessions.save(SESSION)
    assert FileSessions(folder).load(BROKER) == SESSION


def test_a_later_session_replaces_the_earlier(sessions: FileSessions) -> None:
    sessions.save(SESSION)
    sessions.save(SESSION._replace(refresh_token=Secret("refresh-2")))
    assert sessions.load(BROKER) == SESSION._replace(refresh_token=Secret("refresh-2"))


def test_brokers_are_kept_apart(sessions: FileSessions) -> None:
    sessions.save(SESSION)
    assert sessions.load("https://tokens.other.example") is None


def test_a_forgotten_session_is_gone_from_the_disk(sessions: FileSessions, folder: Path) -> None:
    sessions.save(SESSION)
    sessions.forget(BROKER)
    assert list(folder.iterdir()) == []


def test_the_files_are_private(sessions: FileSessions, folder: Path) -> None:
    sessions.save(SESSION)
    with sessions.exclusive(BROKER):
        modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="half-written"),
        pytest.param(b"\xff", id="not-utf8"),
        pytest.param(b"[]", id="a-list"),
        pytest.param(b'"text"', id="a-text"),
        pytest.param(b'{"broker": "b", "user": "u"}', id="no-token"),
        pytest.param(b"[" * 60_000, id="deeply-nested"),
    ],
)
def test_a_damaged_file_means_that_nobody_is_signed_in(sessions: FileSessions, folder: Path, data: bytes) -> None:
    sessions.save(SESSION)
    session_file(folder).write_bytes(data)
    assert sessions.load(BROKER) is None


def test_a_file_that_others_can_read_is_refused(sessions: FileSessions, folder: Path) -> None:
    sessions.save(SESSION)
    session_file(folder).chmod(0o644)
    with pytest.raises(StoreError, match="open to others"):
        sessions.load(BROKER)


def test_a_session_that_cannot_be_saved_is_a_store_error_without_the_token(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError) as caught:
        FileSessions(tmp_path / "file/sessions").save(SESSION)
    assert "refresh-1" not in f"{caught.value!r} {caught.value.hint}"


def test_a_session_that_cannot_be_forgotten_is_a_store_error(sessions: FileSessions, folder: Path) -> None:
    sessions.save(SESSION)
    path = session_file(folder)
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreError, match="cannot be removed"):
        sessions.forget(BROKER)


def test_a_folder_that_cannot_hold_a_lock_is_a_store_error(sessions: FileSessions, folder: Path) -> None:
    with sessions.exclusive(BROKER):
        (lock,) = folder.glob("*.lock")
    lock.unlink()
    lock.mkdir()
    with pytest.raises(StoreError, match="cannot hold a lock"), sessions.exclusive(BROKER):
        pytest.fail("entered without a lock")


def test_an_error_under_the_lock_stays_what_it_is(sessions: FileSessions) -> None:
    with pytest.raises(ConnectionResetError), sessions.exclusive(BROKER):
        raise ConnectionResetError


def test_an_error_under_the_lock_releases_it(sessions: FileSessions) -> None:
    with pytest.raises(KeyError), sessions.exclusive(BROKER):
        raise KeyError
    with sessions.exclusive(BROKER):
        reached = True
    assert reached


def test_one_process_at_a_time_uses_a_session(sessions: FileSessions, folder: Path) -> None:
    order: list[str] = []

    def contend() -> None:
        with FileSessions(folder).exclusive(BROKER):
            order.append("second")

    contender = threading.Thread(target=contend)
    with sessions.exclusive(BROKER):
        contender.start()
        contender.join(0.2)  # time to go wrong in
        order.append("first")
    contender.join()
    assert order == ["first", "second"]


def test_sessions_at_two_brokers_do_not_wait_for_each_other(sessions: FileSessions) -> None:
    with sessions.exclusive(BROKER), sessions.exclusive("https://tokens.other.example"):
        reached = True
    assert reached
