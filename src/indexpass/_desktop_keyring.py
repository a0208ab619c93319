"""The desktop keyring: macOS Keychain, Windows Credential Manager, Secret Service or KWallet, within two seconds.

The backends of the keyring package are called by class, never through ``keyring.get_keyring()``: in that chain are our
own backend, those of strangers, and null backends that only seem to store. A keyring that is known to be locked is not
asked, so that no window opens in the middle of an install. This module never touches files, and never says where a
session is.

A call may block for ever, in C or on D-Bus, while a window waits for a person. Every call therefore runs in a daemon
thread, which is left behind after two seconds: Python does not wait for it when it exits, and all four keyrings wait
outside Python's lock. A child process could be killed instead, but would cost a second interpreter for each refresh,
and there is none to start in a frozen program. What a thread that was left behind still writes can do no harm: every
write has an entry of its own (see :mod:`indexpass._sessions`).
"""

from __future__ import annotations

import functools
import secrets
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from indexpass._secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from keyring.backend import KeyringBackend

SECONDS = 2.0  # an open keyring answers in 50 ms, and pip is waiting
_DEFAULT_COLLECTION = "/org/freedesktop/secrets/aliases/default"  # Secret Service API, section 4
MAX_BYTES = 2560  # CRED_MAX_CREDENTIAL_BLOB_SIZE of Windows, which keeps texts as UTF-16
_T = TypeVar("_T")


class KeyringUnusable(Exception):
    """The keyring is missing, locked, or does not do its work. Never leaves the sessions; it carries no secret."""


class Backend(NamedTuple):
    """One kind of desktop keyring: the name that is kept on disk, its class in the keyring package, and its lock.

    ``is_open`` says whether it can be asked without a question to the person. Both may raise whatever they like.
    """

    name: str
    load: Callable[[], type[KeyringBackend]]
    is_open: Callable[[], bool]


class DesktopKeyring:
    """Keeps secrets in entries of the desktop keyring. An entry is a text: the backend's name, a colon, a number."""

    def __init__(self, backends: tuple[Backend, ...], *, seconds: float = SECONDS) -> None:
        """Ask nothing yet, and load nothing."""
        self._backends = {backend.name: backend for backend in backends}
        self._kinds: dict[str, type[KeyringBackend]] = {}
        self._seconds = seconds
        self._is_given_up = False

    def new_entry(self, secret: Secret) -> str | None:
        """Return an entry that was never used before, in the best keyring that is open.

        Returns None if there is none, or if the secret is longer than Windows takes.
        """
        if len(secret.reveal().encode("utf-16-le", errors="surrogatepass")) > MAX_BYTES:
            return None
        try:
            name = self._bounded(self._best, self._backends)
        except KeyringUnusable:
            return None
        return f"{name}:{secrets.token_hex(16)}" if name else None

    def write(self, service: str, entry: str, secret: Secret) -> None:
        """Put the secret in the entry. Raises KeyringUnusable; then it may be there or not, now or later."""

        def write(ring: KeyringBackend, key: str) -> bool:
            ring.set_password(service, key, secret.reveal())
            found = ring.get_password(service, key)  # KWallet's backend does not look at what the wallet answered
            return found is not None and Secret(found) == secret

        if not self._asked(entry, write):
            raise KeyringUnusable("it does not give back what it took")

    def read(self, service: str, entry: str) -> Secret | None:
        """Return the secret in the entry, or None if the keyring has no such entry. Raises KeyringUnusable."""
        found = self._asked(entry, lambda ring, key: ring.get_password(service, key))
        return None if found is None else Secret(found)

    def remove(self, service: str, entry: str) -> None:
        """Remove the entry, if there is one. Raises KeyringUnusable."""

        def remove(ring: KeyringBackend, key: str) -> None:
            from keyring.errors import PasswordDeleteError  # noqa: PLC0415

            try:
                ring.delete_password(service, key)
            except PasswordDeleteError:
                if ring.get_password(service, key) is not None:
                    raise

        self._asked(entry, remove)

    def would_ask_the_person(self) -> bool:
        """Would somebody who asks keyring's own backends open a window, or wait for ever?

        It is taken for granted of one that cannot be looked at. False if there is no desktop keyring at all.
        """
        try:
            return not self._bounded(self._are_all_open, self._backends)
        except KeyringUnusable:
            return True

    def _are_all_open(self) -> bool:
        return all(self._backends[name].is_open() for name, kind in self._kinds.items() if kind.viable)

    def _best(self) -> str | None:
        viable = [(kind.priority, name) for name, kind in self._kinds.items() if kind.viable]
        for _, name in sorted(viable, key=lambda each: each[0], reverse=True):
            if self._backends[name].is_open():
                return name
        return None

    def _asked(self, entry: str, question: Callable[[KeyringBackend, str], _T]) -> _T:
        """Ask the keyring that the entry is in. Raises KeyringUnusable."""
        name, _, key = entry.partition(":")

        def ask() -> _T:
            from keyring.errors import KeyringLocked  # noqa: PLC0415

            if not self._backends[name].is_open():
                raise KeyringLocked
            return question(self._kinds[name](), key)

        return self._bounded(ask, (name,))

    def _bounded(self, work: Callable[[], _T], names: Iterable[str]) -> _T:
        """Load these backends, then do the work in a thread, and leave it behind if it takes too long.

        A keyring that hangs or is locked is not asked again by this process. Raises KeyringUnusable.
        """
        if self._is_given_up:
            raise KeyringUnusable("it was given up on before")
        results: list[_T] = []
        errors: list[Exception] = []

        def run() -> None:
            try:
                results.append(work())
            except Exception as error:  # noqa: BLE001  # a backend may raise anything; the client must not see it
                errors.append(error)

        thread = threading.Thread(target=run, name="indexpass-keyring", daemon=True)
        try:
            for name in names:
                self._load(name)  # not in the thread: a slow disk must not be taken for a keyring that hangs
            thread.start()  # RuntimeError: the interpreter is ending, or may have no more threads
        except Exception as error:
            raise KeyringUnusable(f"it cannot be asked: {type(error).__name__}") from error
        thread.join(self._seconds)
        if results:
            return results[0]
        if not errors:
            self._is_given_up = True
            raise KeyringUnusable("it does not answer")
        from keyring.errors import KeyringLocked  # noqa: PLC0415

        self._is_given_up = isinstance(errors[0], KeyringLocked)
        raise KeyringUnusable(f"it raised {type(errors[0]).__name__}")  # its text may hold anything

    def _load(self, name: str) -> None:
        if name not in self._kinds:
            self._kinds[name] = self._backends[name].load()


@functools.cache
def desktop_keyring() -> DesktopKeyring:
    """Return this system's keyring; the same one each time, because it remembers what this process has given up on."""
    return DesktopKeyring(BACKENDS.get(sys.platform, _FREE_DESKTOP))


def _keychain() -> type[KeyringBackend]:
    from keyring.backends.macOS import Keyring  # noqa: PLC0415

    return Keyring


def _credential_manager() -> type[KeyringBackend]:
    from keyring.backends.Windows import WinVaultKeyring  # noqa: PLC0415

    return WinVaultKeyring


def _secret_service() -> type[KeyringBackend]:
    from keyring.backends.SecretService import Keyring  # noqa: PLC0415

    return Keyring


def _kwallet() -> type[KeyringBackend]:
    from keyring.backends.kwallet import DBusKeyring  # noqa: PLC0415

    return DBusKeyring


def _is_always_open() -> bool:
    return True  # these open with the person's session; neither can be asked whether it would ask


def _is_secret_service_open() -> bool:
    """Look at the collection that keyring's own backend would ask the person to unlock, or to make."""
    import secretstorage  # noqa: PLC0415

    place = getattr(_secret_service()(), "preferred_collection", _DEFAULT_COLLECTION)  # KEYRING_PROPERTY_… may set it
    with closing(secretstorage.dbus_init()) as bus:
        return not secretstorage.Collection(bus, place).is_locked()


def _is_kwallet_open() -> bool:
    """Look at the wallet that keyring's own backend would ask the person to open."""
    import dbus  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: PLC0415  # from the system
    from keyring.backends.kwallet import DBusKeyring  # noqa: PLC0415

    def call(method: str, signature: str, *arguments: object) -> object:
        # Not through dbus.Interface, which knows only one of the two methods that are called isOpen.
        place = (DBusKeyring.bus_name, DBusKeyring.object_path, "org.kde.KWallet")
        return dbus.SessionBus().call_blocking(*place, method, signature, arguments)

    return bool(call("isOpen", "s", call("networkWallet", "")))


_FREE_DESKTOP = (
    Backend("secret-service", _secret_service, _is_secret_service_open),
    Backend("kwallet", _kwallet, _is_kwallet_open),
)
BACKENDS = {
    "darwin": (Backend("keychain", _keychain, _is_always_open),),
    "win32": (Backend("credential-manager", _credential_manager, _is_always_open),),
}
