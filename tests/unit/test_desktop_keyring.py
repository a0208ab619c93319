"""The desktop keyring: which one is taken, what becomes of its faults, and that nobody waits for it twice."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringError, KeyringLocked

from indexpass import _desktop_keyring
from indexpass._desktop_keyring import Backend, DesktopKeyring, KeyringUnusable
from indexpass._secret import Secret
from servers.keyrings import fake_backend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SERVICE = "indexpass session at https://tokens.acme.example"
TOKEN = Secret("refresh-1")
BLINK = 0.5  # seconds for a keyring that hangs; enough for all that does not, on a busy machine
EVERY_BACKEND = [*_desktop_keyring._FREE_DESKTOP, *(each for row in _desktop_keyring.BACKENDS.values() for each in row)]


@pytest.fixture
def wait_for_ever() -> Iterator[Callable[[], object]]:
    """What a keyring does that shows a window to nobody; it ends with the test."""
    over = threading.Event()
    yield over.wait
    over.set()


def kept(keyring: DesktopKeyring, secret: Secret = TOKEN) -> str:
    """Keep the secret, and return its entry."""
    entry = keyring.new_entry(secret)
    assert entry is not None
    keyring.write(SERVICE, entry, secret)
    return entry


# What it keeps


def test_what_was_written_is_read() -> None:
    keyring = DesktopKeyring((fake_backend(),))
    assert keyring.read(SERVICE, kept(keyring)) == TOKEN


def test_every_process_finds_what_was_written() -> None:
    entries: dict[str, str] = {}
    entry = kept(DesktopKeyring((fake_backend(entries=entries),)))
    assert DesktopKeyring((fake_backend(entries=entries),)).read(SERVICE, entry) == TOKEN


def test_an_entry_is_never_used_twice() -> None:
    keyring = DesktopKeyring((fake_backend(),))
    assert kept(keyring) != kept(keyring)


def test_what_was_removed_is_gone() -> None:
    keyring = DesktopKeyring((fake_backend(),))
    entry = kept(keyring)
    keyring.remove(SERVICE, entry)
    assert keyring.read(SERVICE, entry) is None


def test_what_is_not_there_counts_as_removed() -> None:
    DesktopKeyring((fake_backend(),)).remove(SERVICE, "fake:0123")


def test_a_keyring_that_refuses_to_remove_is_unusable() -> None:
    entries: dict[str, str] = {}

    def refuse(call: str) -> None:
        if call == "delete":
            raise KeyringError

    entry = kept(DesktopKeyring((fake_backend(entries=entries),)))
    with pytest.raises(KeyringUnusable):
        DesktopKeyring((fake_backend(entries=entries, before=refuse),)).remove(SERVICE, entry)


# Which one is taken


@pytest.mark.parametrize(
    ("backends", "taken"),
    [
        pytest.param((), None, id="none-on-this-system"),
        pytest.param((fake_backend(viable=False),), None, id="not-viable"),
        pytest.param((fake_backend(is_open=False),), None, id="locked"),
        pytest.param((fake_backend("low", priority=4.8), fake_backend("high")), "high", id="by-priority"),
        pytest.param((fake_backend("low", priority=4.8), fake_backend("high", viable=False)), "low", id="viable-first"),
        pytest.param((fake_backend("low", priority=4.8), fake_backend("high", is_open=False)), "low", id="open-first"),
        pytest.param((fake_backend("first"), fake_backend("second")), "first", id="equal"),
    ],
)
def test_the_best_keyring_that_is_open_is_taken(backends: tuple[Backend, ...], taken: str | None) -> None:
    entry = DesktopKeyring(backends).new_entry(TOKEN)
    assert (entry and entry.partition(":")[0]) == taken


@pytest.mark.parametrize(
    ("secret", "is_taken"),
    [
        pytest.param("x" * 1280, True, id="what-windows-takes"),
        pytest.param("x" * 1281, False, id="one-more"),
        pytest.param("\N{KEY}" * 641, False, id="two-units-each"),
        pytest.param("\udcff" * 1281, False, id="no-text-at-all"),
    ],
)
def test_a_secret_that_windows_does_not_take_is_taken_nowhere(secret: str, *, is_taken: bool) -> None:
    assert (DesktopKeyring((fake_backend(),)).new_entry(Secret(secret)) is not None) == is_taken


def test_nothing_is_loaded_before_something_is_asked() -> None:
    calls: list[str] = []
    DesktopKeyring((fake_backend(before=calls.append),))
    assert calls == []


def test_an_entry_is_looked_for_in_its_own_keyring_only() -> None:
    calls: list[str] = []
    other = fake_backend("other", before=calls.append)
    keyring = DesktopKeyring((fake_backend(priority=6), other))
    keyring.read(SERVICE, kept(keyring))
    assert calls == ["load"]  # to ask for its priority


def test_an_entry_of_another_system_s_keyring_is_out_of_reach() -> None:
    with pytest.raises(KeyringUnusable):
        DesktopKeyring((fake_backend(),)).read(SERVICE, "keychain:0123")


@pytest.mark.parametrize("backend", EVERY_BACKEND, ids=lambda backend: backend.name)
def test_every_kind_names_a_backend_of_the_keyring_package(backend: Backend) -> None:
    assert issubclass(backend.load(), KeyringBackend)


def test_a_backend_that_takes_long_to_load_does_not_hang() -> None:
    loads: list[str] = []

    def load_slowly(call: str) -> None:
        if call == "load":
            loads.append(call)
            time.sleep(1.5 * BLINK)

    keyring = DesktopKeyring((fake_backend(before=load_slowly),), seconds=BLINK)
    assert keyring.new_entry(TOKEN) is not None
    assert loads == ["load"]


def test_the_kinds_have_names_of_their_own() -> None:
    assert len({backend.name for backend in EVERY_BACKEND}) == len(EVERY_BACKEND)


def test_a_process_has_one_keyring() -> None:
    assert _desktop_keyring.desktop_keyring() is _desktop_keyring.desktop_keyring()


# Faults

ASK = {
    "new-entry": lambda keyring: keyring.new_entry(TOKEN),
    "write": lambda keyring: keyring.write(SERVICE, "fake:0123", TOKEN),
    "read": lambda keyring: keyring.read(SERVICE, "fake:0123"),
    "remove": lambda keyring: keyring.remove(SERVICE, "fake:0123"),
}
FAULTS = [KeyringError, KeyringLocked, RuntimeError, OSError, ImportError, TypeError, NotImplementedError]


@pytest.mark.parametrize("ask", ["write", "read", "remove"])
@pytest.mark.parametrize("call", ["load", "look", "get", "set", "delete"])
@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_a_backend_raises_makes_it_unusable(fault: type[Exception], call: str, ask: str) -> None:
    seen: list[str] = []

    def fail(name: str) -> None:
        seen.append(name)
        if name == call:
            raise fault

    keyring = DesktopKeyring((fake_backend(entries={f"{SERVICE} 0123": "refresh-1"}, before=fail),))
    try:
        ASK[ask](keyring)
    except KeyringUnusable:
        failed = True
    else:
        failed = False
    assert failed == (call in seen)


@pytest.mark.parametrize("call", ["load", "look"])
def test_a_keyring_that_cannot_be_chosen_is_none(call: str) -> None:
    def fail(name: str) -> None:
        if name == call:
            raise RuntimeError

    assert DesktopKeyring((fake_backend(before=fail),)).new_entry(TOKEN) is None


def test_what_a_backend_says_stays_inside() -> None:
    def tell(call: str) -> None:
        if call == "set":
            raise KeyringError(TOKEN.reveal())

    with pytest.raises(KeyringUnusable) as caught:
        kept(DesktopKeyring((fake_backend(before=tell),)))
    error: BaseException | None = caught.value
    said = []
    while error is not None:
        said.append(repr(error))
        error = error.__cause__ or error.__context__
    assert "refresh-1" not in " ".join(said)


def test_a_keyring_that_only_seems_to_store_is_unusable() -> None:
    entries: dict[str, str] = {}
    keyring = DesktopKeyring((fake_backend(entries=entries, before=lambda _: entries.clear()),))
    with pytest.raises(KeyringUnusable):
        kept(keyring)


def test_a_locked_keyring_is_not_asked_for_anything() -> None:
    calls: list[str] = []
    keyring = DesktopKeyring((fake_backend(is_open=False, before=calls.append),))
    with pytest.raises(KeyringUnusable):
        keyring.read(SERVICE, "fake:0123")
    assert calls == ["load", "look"]


@pytest.mark.parametrize("call", ["look", "get"])
def test_a_keyring_that_hangs_is_asked_once(call: str, wait_for_ever: Callable[[], object]) -> None:
    calls: list[str] = []

    def hang(name: str) -> None:
        calls.append(name)
        if name == call:
            wait_for_ever()

    keyring = DesktopKeyring((fake_backend(before=hang),), seconds=BLINK)
    for _ in range(3):
        with pytest.raises(KeyringUnusable):
            keyring.read(SERVICE, "fake:0123")
    assert calls.count(call) == 1


def test_a_keyring_that_hangs_is_not_chosen(wait_for_ever: Callable[[], object]) -> None:
    def hang(call: str) -> None:
        if call == "look":
            wait_for_ever()

    assert DesktopKeyring((fake_backend(before=hang),), seconds=BLINK).new_entry(TOKEN) is None


@pytest.mark.parametrize(
    ("fault", "asked"),
    [
        pytest.param(KeyringLocked, 1, id="the-person-said-no"),
        pytest.param(KeyringError, 2, id="any-other-fault"),
    ],
)
def test_a_keyring_that_the_person_keeps_locked_is_asked_once(fault: type[Exception], asked: int) -> None:
    calls: list[str] = []

    def fail(call: str) -> None:
        calls.append(call)
        if call == "get":
            raise fault

    keyring = DesktopKeyring((fake_backend(before=fail),))
    for _ in range(2):
        with pytest.raises(KeyringUnusable):
            keyring.read(SERVICE, "fake:0123")
    assert calls.count("get") == asked


def refuse_to_be_looked_at(call: str) -> None:
    if call == "look":
        raise KeyringError


@pytest.mark.parametrize(
    ("backends", "would_ask"),
    [
        ((), False),
        ((fake_backend(viable=False, is_open=False),), False),
        ((fake_backend(),), False),
        ((fake_backend("a"), fake_backend("b", is_open=False)), True),
        ((fake_backend(before=refuse_to_be_looked_at),), True),
    ],
    ids=["none", "none that is running", "open", "one of two is locked", "cannot be looked at"],
)
def test_the_person_is_asked_where_a_keyring_is_not_known_to_be_open(
    backends: tuple[Backend, ...], *, would_ask: bool
) -> None:
    assert DesktopKeyring(backends).would_ask_the_person() is would_ask


def test_a_keyring_that_hangs_counts_as_one_that_asks(wait_for_ever: Callable[[], object]) -> None:
    def hang(call: str) -> None:
        if call == "look":
            wait_for_ever()

    keyring = DesktopKeyring((fake_backend(before=hang),), seconds=BLINK)
    assert keyring.would_ask_the_person()


def test_where_no_thread_can_be_started_there_is_no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(KeyringUnusable):
        DesktopKeyring((fake_backend(),)).read(SERVICE, "fake:0123")


HANG = """
import ctypes, os, sys
from indexpass._desktop_keyring import Backend, DesktopKeyring
from indexpass._secret import Secret
unread, _ = os.pipe()
class Keyring:
    viable, priority = True, 5
def hang():
    {how}
backend = Backend("fake", lambda: Keyring, hang)
print(DesktopKeyring((backend,), seconds=0.2).new_entry(Secret("refresh-1")))
"""


@pytest.mark.parametrize(
    "how",
    [
        pytest.param("os.read(unread, 1)", id="in-a-system-call"),
        pytest.param("ctypes.CDLL(None).read(unread, ctypes.create_string_buffer(1), 1)", id="in-c"),
        pytest.param("__import__('threading').Event().wait()", id="in-a-lock"),
        pytest.param("while True: pass", id="in-python"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="reads from a pipe through the C library by its POSIX name")
def test_a_keyring_that_hangs_does_not_hold_up_the_end_of_python(how: str) -> None:
    program = HANG.format(how=how)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "None\n", "")
