"""Sessions in private files and in the desktop keyring: what comes back, and what is refused."""

from __future__ import annotations

import json
import stat
import threading
from typing import TYPE_CHECKING

import pytest
from keyring.errors import KeyringError

from indexpass._desktop_keyring import DesktopKeyring
from indexpass._model import Session
from indexpass._secret import Secret
from indexpass._sessions import FileSessions, open_sessions
from indexpass.errors import ConfigError, SessionError, StoreError
from servers.keyrings import fake_backend

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BROKER = "https://tokens.acme.example"
SESSION = Session(BROKER, "eve", Secret("refresh-1"))
NEXT = SESSION._replace(refresh_token=Secret("refresh-2"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


@pytest.fixture
def sessions(folder: Path) -> FileSessions:
    return FileSessions(folder)


def session_file(folder: Path) -> Path:
    (path,) = folder.glob("*.session")
    return path


def name_of_file(sessions: FileSessions) -> str:
    return sessions._path(BROKER, "session").name


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
        pytest.param(b'{"broker": "b", "user": "u", "refresh_token": ""}', id="empty-token"),
        pytest.param(b'{"broker": "b", "user": "u", "refresh_token": 1}', id="token-no-text"),
        pytest.param(b'{"broker": "b", "user": 1, "refresh_token": "r"}', id="user-no-text"),
        pytest.param(b'{"broker": "b", "user": "u", "keyring": []}', id="no-entries"),
        pytest.param(b'{"broker": "b", "user": "u", "keyring": "fake:1"}', id="entries-no-list"),
        pytest.param(b'{"broker": "b", "user": "u", "keyring": [1]}', id="entry-no-text"),
        pytest.param(b'{"broker": "b", "user": "u", "keyring": [["fake", "1"]]}', id="entry-a-list"),
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


def test_a_file_that_is_a_link_is_refused(sessions: FileSessions, folder: Path, tmp_path: Path) -> None:
    sessions.save(SESSION)
    session_file(folder).rename(tmp_path / "elsewhere")
    (folder / name_of_file(sessions)).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="cannot be opened"):
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


# In the desktop keyring


class Desktop:
    """A person's desktop: a folder of sessions, a keyring, and what each process makes of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.entries: dict[str, str] = {}
        self.calls: list[str] = []
        self.fault: Callable[[str], object] = lambda _: None

    def sessions(self, *, is_open: bool = True, file_only: bool = False, seconds: float = 60) -> FileSessions:
        """Return what a new process sees."""

        def before(call: str) -> None:
            self.calls.append(call)
            self.fault(call)

        backend = fake_backend(entries=self.entries, is_open=is_open, before=before)
        return FileSessions(self.folder, DesktopKeyring((backend,), seconds=seconds), file_only=file_only)

    def without_keyring(self) -> FileSessions:
        """Return what a process on another machine sees."""
        return FileSessions(self.folder, DesktopKeyring(()))

    def fail_at(self, *calls: str) -> None:
        """Let the keyring fail at these calls from now on."""

        def fail(call: str) -> None:
            if call in calls:
                raise KeyringError

        self.fault = fail

    @property
    def file(self) -> dict[str, object]:
        return dict(json.loads(session_file(self.folder).read_bytes()))


@pytest.fixture
def desktop(folder: Path) -> Desktop:
    return Desktop(folder)


def test_a_session_goes_to_the_keyring_where_there_is_one(desktop: Desktop) -> None:
    desktop.sessions().save(SESSION)
    assert list(desktop.entries.values()) == ["refresh-1"]


def test_what_the_file_then_says_is_no_secret(desktop: Desktop) -> None:
    desktop.sessions().save(SESSION)
    (key,) = desktop.entries
    number = key.rpartition(" ")[2]
    assert desktop.file == {"broker": BROKER, "user": "eve", "keyring": [f"fake:{number}"]}


def test_people_can_tell_what_is_in_their_keyring(desktop: Desktop) -> None:
    desktop.sessions().save(SESSION)
    (key,) = desktop.entries
    assert key.startswith(f"indexpass session at {BROKER} ")


def test_a_session_in_the_keyring_is_there_for_every_process(desktop: Desktop) -> None:
    desktop.sessions().save(SESSION)
    assert desktop.sessions().load(BROKER) == SESSION


def test_looking_for_no_session_asks_no_keyring(desktop: Desktop) -> None:
    desktop.sessions().load(BROKER)
    desktop.sessions().forget(BROKER)
    assert desktop.calls == []


def test_a_session_in_a_file_asks_no_keyring(desktop: Desktop) -> None:
    desktop.without_keyring().save(SESSION)
    desktop.sessions().load(BROKER)
    desktop.sessions().save(NEXT)
    desktop.sessions().forget(BROKER)
    assert desktop.calls == []


def test_a_later_session_replaces_the_earlier_in_the_keyring(desktop: Desktop) -> None:
    desktop.sessions().save(SESSION)
    desktop.sessions().save(NEXT)
    assert list(desktop.entries.values()) == ["refresh-2"]
    assert len(desktop.file["keyring"]) == 1  # type: ignore[arg-type]
    assert desktop.sessions().load(BROKER) == NEXT


def test_the_same_session_once_more_only_writes_the_file(desktop: Desktop, folder: Path) -> None:
    """As a provider does it before it spends the token, to know that the disk is not full."""
    desktop.sessions().save(SESSION)
    before = session_file(folder).stat().st_ino, desktop.file, dict(desktop.entries)
    sessions = desktop.sessions()
    session = sessions.load(BROKER)
    assert session is not None
    desktop.calls.clear()
    sessions.save(session)
    assert desktop.calls == []
    assert session_file(folder).stat().st_ino != before[0]
    assert (desktop.file, desktop.entries) == before[1:]


def test_a_forgotten_session_is_gone_from_the_keyring_and_the_disk(desktop: Desktop, folder: Path) -> None:
    desktop.sessions().save(SESSION)
    desktop.sessions().forget(BROKER)
    assert (desktop.entries, list(folder.iterdir())) == ({}, [])


def test_a_half_written_file_is_forgotten_too(sessions: FileSessions, folder: Path) -> None:
    sessions.save(SESSION)
    (folder / f"{name_of_file(sessions)}.123-abcd.new").write_bytes(b"refresh-2")
    sessions.forget(BROKER)
    assert list(folder.iterdir()) == []


def test_a_session_in_the_keyring_of_one_broker_is_none_at_another(desktop: Desktop) -> None:
    desktop.sessions().save(SESSION)
    assert desktop.sessions().load("https://tokens.other.example") is None


@pytest.mark.parametrize("call", ["load", "look", "set", "get"])
def test_a_keyring_that_fails_at_the_sign_in_leaves_it_to_the_file(desktop: Desktop, call: str) -> None:
    desktop.fail_at(call)
    desktop.sessions().save(SESSION)
    assert desktop.file["refresh_token"] == "refresh-1"
    assert desktop.sessions().load(BROKER) == SESSION


@pytest.mark.parametrize("call", ["load", "look", "set", "get"])
def test_a_keyring_that_fails_at_the_refresh_leaves_it_to_the_file(desktop: Desktop, call: str) -> None:
    desktop.sessions().save(SESSION)
    desktop.fail_at(call)
    desktop.sessions().save(NEXT)
    assert desktop.file["refresh_token"] == "refresh-2"
    assert desktop.sessions().load(BROKER) == NEXT


def test_a_locked_keyring_leaves_it_to_the_file(desktop: Desktop) -> None:
    desktop.sessions(is_open=False).save(SESSION)
    assert (desktop.entries, desktop.file["refresh_token"]) == ({}, "refresh-1")


def test_a_keyring_that_hangs_leaves_it_to_the_file(desktop: Desktop) -> None:
    over = threading.Event()
    desktop.fault = lambda call: over.wait() if call == "set" else None
    desktop.sessions(seconds=0.5).save(SESSION)
    assert desktop.sessions().load(BROKER) == SESSION
    over.set()


def test_a_token_that_the_keyring_takes_too_late_does_no_harm(desktop: Desktop) -> None:
    """The call that was left behind ends after the person has signed in again."""
    hangs, over, written = threading.Event(), threading.Event(), threading.Event()

    def hang(call: str) -> None:
        if call == "set" and not hangs.is_set():
            hangs.set()
            over.wait()
        if call == "get" and over.is_set():
            written.set()

    desktop.fault = hang
    desktop.sessions(seconds=0.5).save(SESSION)
    desktop.sessions().forget(BROKER)
    desktop.sessions().save(NEXT)
    over.set()
    assert written.wait(60)
    assert sorted(desktop.entries.values()) == ["refresh-1", "refresh-2"]
    assert desktop.sessions().load(BROKER) == NEXT


def test_a_token_that_is_too_long_for_a_keyring_goes_to_the_file(desktop: Desktop) -> None:
    long = SESSION._replace(refresh_token=Secret("r" * 3000))
    desktop.sessions().save(SESSION)
    desktop.sessions().save(long)
    assert desktop.sessions().load(BROKER) == long
    assert desktop.entries == {}


def test_what_the_keyring_did_not_remove_is_removed_the_next_time(desktop: Desktop) -> None:
    desktop.sessions().save(SESSION)
    desktop.fail_at("delete")
    desktop.sessions().save(NEXT)
    assert sorted(desktop.entries.values()) == ["refresh-1", "refresh-2"]
    desktop.fail_at()
    desktop.sessions().save(NEXT)
    assert list(desktop.entries.values()) == ["refresh-2"]


def test_a_keyring_that_never_removes_anything_does_not_make_the_file_grow(desktop: Desktop) -> None:
    desktop.fail_at("delete")
    for _ in range(10):
        desktop.sessions().save(NEXT)
    assert len(desktop.file["keyring"]) == 4  # type: ignore[arg-type]
    assert desktop.sessions().load(BROKER) == NEXT


def test_the_latest_token_that_the_keyring_has_is_found(desktop: Desktop) -> None:
    """As a process leaves it that is killed before the keyring has taken the next token."""
    desktop.sessions().save(SESSION)
    entries = {**desktop.file, "keyring": ["fake:0123", *desktop.file["keyring"]]}  # type: ignore[misc]
    session_file(desktop.folder).write_text(json.dumps(entries))
    assert desktop.sessions().load(BROKER) == SESSION


def test_a_session_that_the_keyring_has_lost_means_that_nobody_is_signed_in(desktop: Desktop) -> None:
    desktop.sessions().save(SESSION)
    desktop.entries.clear()
    assert desktop.sessions().load(BROKER) is None


def test_a_session_behind_a_lock_says_what_to_do(desktop: Desktop) -> None:
    desktop.sessions().save(SESSION)
    with pytest.raises(SessionError, match="is in the desktop keyring") as caught:
        desktop.sessions(is_open=False).load(BROKER)
    assert "indexpass login" in caught.value.hint


def test_a_session_on_another_machine_says_what_to_do(desktop: Desktop) -> None:
    desktop.sessions().save(SESSION)
    with pytest.raises(SessionError, match="is in the desktop keyring"):
        desktop.without_keyring().load(BROKER)


def test_an_older_token_is_not_taken_for_one_that_cannot_be_read(desktop: Desktop) -> None:
    """The older one is spent, and using it again would end the session."""
    desktop.sessions().save(SESSION)
    entries = {**desktop.file, "keyring": ["elsewhere:0123", *desktop.file["keyring"]]}  # type: ignore[misc]
    session_file(desktop.folder).write_text(json.dumps(entries))
    with pytest.raises(SessionError):
        desktop.sessions().load(BROKER)


def test_a_new_sign_in_works_without_the_keyring_that_has_the_old_one(desktop: Desktop) -> None:
    desktop.sessions().save(SESSION)
    desktop.without_keyring().save(NEXT)
    assert desktop.without_keyring().load(BROKER) == NEXT
    assert desktop.sessions().load(BROKER) == NEXT


def test_what_another_keyring_had_is_removed_with_the_session(desktop: Desktop) -> None:
    desktop.sessions().save(SESSION)
    desktop.without_keyring().save(NEXT)
    desktop.sessions().forget(BROKER)
    assert desktop.entries == {}


def test_a_session_is_forgotten_even_if_the_keyring_cannot_be_asked(desktop: Desktop, folder: Path) -> None:
    desktop.sessions().save(SESSION)
    desktop.without_keyring().forget(BROKER)
    assert list(folder.iterdir()) == []


def test_a_file_that_others_can_write_gives_no_orders_to_the_keyring(desktop: Desktop, folder: Path) -> None:
    desktop.sessions().save(SESSION)
    session_file(folder).chmod(0o666)
    desktop.calls.clear()
    with pytest.raises(StoreError, match="open to others"):
        desktop.sessions().load(BROKER)
    desktop.sessions().forget(BROKER)
    assert desktop.calls == []


# Which store


def test_people_may_want_the_file(desktop: Desktop) -> None:
    desktop.sessions(file_only=True).save(SESSION)
    assert (desktop.calls, desktop.file["refresh_token"]) == ([], "refresh-1")


def test_who_wants_the_file_finds_the_session_in_the_keyring(desktop: Desktop) -> None:
    desktop.sessions().save(SESSION)
    assert desktop.sessions(file_only=True).load(BROKER) == SESSION


def test_who_wants_the_file_has_the_session_moved_there(desktop: Desktop) -> None:
    desktop.sessions().save(SESSION)
    desktop.sessions(file_only=True).save(NEXT)
    assert desktop.entries == {}
    assert desktop.file == {"broker": BROKER, "user": "eve", "refresh_token": "refresh-2"}


@pytest.mark.parametrize("store", ["", "auto", "file"])
def test_the_stores_are_known_by_name(folder: Path, store: str) -> None:
    assert open_sessions(folder, {"INDEXPASS_SESSION_STORE": store}).load(BROKER) is None


@pytest.mark.parametrize("store", ["keyring", "File", "auto "])
def test_another_store_is_a_configuration_error(folder: Path, store: str) -> None:
    with pytest.raises(ConfigError, match="INDEXPASS_SESSION_STORE is"):
        open_sessions(folder, {"INDEXPASS_SESSION_STORE": store})
