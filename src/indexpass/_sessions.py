"""Sessions: one file a broker, and the refresh token in the desktop keyring where a usable one exists.

The file says where the token is: in the file itself, or in an entry of the keyring. So a look-up without a session
loads nothing of keyring, and a session is found again wherever it was kept. Where it is, is decided when a person signs
in; it stays there while it lasts, unless the keyring fails. This module never speaks to a broker.
"""

from __future__ import annotations

import hashlib
import json
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from indexpass._desktop_keyring import DesktopKeyring, KeyringUnusable, desktop_keyring
from indexpass._files import ensure_private_folder, read_private, write_private
from indexpass._model import Session
from indexpass._secret import Secret
from indexpass.errors import ConfigError, SessionError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

LOCK_SECONDS = 50.0  # longer than the two exchanges of one refresh may take
_MAX_ENTRIES = 4  # a keyring that never removes anything must not make the file grow
_STORES = ("auto", "file")
_log = logging.getLogger("indexpass.sessions")


class _Kept(NamedTuple):
    """What the file of a session says. Without a token, it is in the first of the entries that the keyring has."""

    broker: str
    user: str
    token: Secret | None
    entries: tuple[str, ...]

    @property
    def service(self) -> str:
        """The name that people read in their keyring; no URL, so that no client that asks by URL is given it."""
        return f"indexpass session at {self.broker}"


class FileSessions:
    """Sessions in a folder of private files, as :class:`indexpass._model.SessionStore` describes.

    ``keyring`` may hold the tokens; new ones go there unless ``file_only``.
    """

    def __init__(self, folder: Path, keyring: DesktopKeyring | None = None, *, file_only: bool = False) -> None:
        """Touch nothing yet."""
        self._folder = folder
        self._keyring = keyring or DesktopKeyring(())
        self._file_only = file_only
        self._loaded: tuple[_Kept, Secret] | None = None  # what the file said, and the token that it led to

    def load(self, broker: str) -> Session | None:
        """Return the session at this broker, or None.

        Raises StoreError if others can read or write its file, and SessionError if it is in a keyring that is locked,
        hangs, or is not on this machine.
        """
        kept = self._read(broker)
        if kept is None:
            return None
        token = kept.token or self._token_in_keyring(kept)
        if token is None:
            return None
        self._loaded = (kept, token)
        return Session(kept.broker, kept.user, token)

    def save(self, session: Session) -> None:
        """Keep the session in place of an older one; this reveals the token. Raises StoreError.

        The order of the writes makes a crash between any two of them harmless:

        1. the file names a new entry, before the old ones;
        2. the keyring takes the token in the new entry;
        3. the keyring gives up the old entries;
        4. the file gives up their names.

        So the file names every entry that there may be, and the first that exists is the latest. Until 2, only this
        process knows the new token, as if the broker's answer had been lost: the old one is still found, and the broker
        gives the same successor for it. Where the token goes to the file, one write replaces it.
        """
        token = session.refresh_token
        before = self._read_if_safe(session.broker)
        if before and not self._file_only and self._loaded == (before, token):
            self._write(before)  # it is there already; whoever saves it again wants to know what the disk takes
            return
        stays_in_file = before is not None and before.token is not None
        kept = _Kept(session.broker, session.user, token, before.entries if before else ())
        entry = None if stays_in_file or self._file_only else self._keyring.new_entry(token)
        if entry:
            kept = self._put_in_keyring(kept, entry, token)
        if kept.token:
            self._write(kept)
        if stays_in_file:
            return  # what may be left in a keyring that failed once is not worth its two seconds each time
        in_use = () if kept.token else kept.entries[:1]
        left = self._remove(kept, kept.entries[len(in_use) :])
        if in_use + left != kept.entries:
            self._write(kept._replace(entries=in_use + left))

    def forget(self, broker: str) -> None:
        """Remove the session at this broker, if there is one. Raises StoreError if its file cannot be removed.

        The keyring's entries go first: without the file, nobody would find them. A keyring that does not answer keeps
        them.
        """
        kept = self._read_if_safe(broker)
        if kept:
            self._remove(kept, kept.entries)
        path = self._path(broker, "session")
        drafts = sorted(self._folder.glob(f"{path.name}.*.new"))  # a process that was killed may have left a token
        try:
            for each in (path, *drafts):
                each.unlink(missing_ok=True)
        except OSError as error:
            name = error.filename
            raise StoreError(f"{name} cannot be removed: {error.strerror}", hint=f"remove it: rm -rf {name}") from error

    @contextmanager
    def exclusive(self, broker: str) -> Iterator[None]:
        """Keep other processes from this broker's session meanwhile.

        Raises StoreError after 50 seconds of waiting, or if the folder cannot hold a lock.
        """
        import filelock  # noqa: PLC0415  # loaded only when a session is used

        ensure_private_folder(self._folder)
        lock = filelock.FileLock(self._path(broker, "lock"), timeout=LOCK_SECONDS, mode=0o600)
        try:
            lock.acquire()
        except filelock.Timeout as error:
            raise StoreError(
                f"another process has been using the session at {broker} for too long",
                hint="try again; if it stays so, sign in again with indexpass login",
            ) from error
        except OSError as error:
            raise StoreError(
                f"{self._folder} cannot hold a lock: {error.strerror}",
                hint="free some disk space, or point INDEXPASS_HOME to a folder of yours",
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _token_in_keyring(self, kept: _Kept) -> Secret | None:
        try:
            for entry in kept.entries:
                token = self._keyring.read(kept.service, entry)
                if token:
                    return token
        except KeyringUnusable as error:  # an older entry would be no answer: its token is spent
            raise SessionError(
                f"your session at {kept.broker} is in the desktop keyring, which is locked or does not answer",
                hint="unlock it and try again, or sign in again with indexpass login",
            ) from error
        _log.debug("the desktop keyring has no session at %s any more", kept.broker)
        return None

    def _put_in_keyring(self, kept: _Kept, entry: str, token: Secret) -> _Kept:
        """Return what there is to keep: without the token if the keyring has taken it, else with it."""
        named = kept._replace(token=None, entries=(entry, *kept.entries)[:_MAX_ENTRIES])
        self._write(named)
        try:
            self._keyring.write(kept.service, entry, token)
        except KeyringUnusable as error:
            _log.debug("the session at %s goes to its file, because of the desktop keyring: %s", kept.broker, error)
            return named._replace(token=token)
        return named

    def _remove(self, kept: _Kept, entries: tuple[str, ...]) -> tuple[str, ...]:
        """Remove the entries from the keyring, and return those that are still there."""
        return tuple(entry for entry in entries if not self._is_removed(kept.service, entry))

    def _is_removed(self, service: str, entry: str) -> bool:
        try:
            self._keyring.remove(service, entry)
        except KeyringUnusable as error:
            _log.debug("an entry stays in the desktop keyring: %s", error)
            return False
        return True

    def _read(self, broker: str) -> _Kept | None:
        data = read_private(self._path(broker, "session"))
        if data is None:
            return None
        kept = _parsed(data)
        if kept is None:
            _log.debug("the session file of %s is damaged", broker)
        return kept

    def _read_if_safe(self, broker: str) -> _Kept | None:
        """Read what is about to be replaced or removed; a file that others can write says nothing that counts."""
        try:
            return self._read(broker)
        except StoreError:
            return None

    def _write(self, kept: _Kept) -> None:
        document: dict[str, object] = {"broker": kept.broker, "user": kept.user}
        if kept.token:
            document["refresh_token"] = kept.token.reveal()
        if kept.entries:
            document["keyring"] = kept.entries
        write_private(self._path(kept.broker, "session"), json.dumps(document).encode())

    def _path(self, broker: str, kind: str) -> Path:
        return self._folder / f"{hashlib.sha256(broker.encode()).hexdigest()[:40]}.{kind}"


def open_sessions(folder: Path, environ: Mapping[str, str]) -> FileSessions:
    """Return the sessions of a client's process. Raises ConfigError if INDEXPASS_SESSION_STORE is unknown."""
    store = environ.get("INDEXPASS_SESSION_STORE") or "auto"
    if store not in _STORES:
        raise ConfigError(f"INDEXPASS_SESSION_STORE is {store!r}", hint="set it to auto or to file")
    return FileSessions(folder, desktop_keyring(), file_only=store == "file")


def _parsed(data: bytes) -> _Kept | None:
    try:
        document = json.loads(data)
        broker, user = document["broker"], document["user"]
        token, entries = document.get("refresh_token"), document.get("keyring", [])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(entries, list) or not all(isinstance(text, str) for text in (broker, user, *entries)):
        return None
    if token is None:
        return _Kept(broker, user, None, tuple(entries)) if entries else None
    return _Kept(broker, user, Secret(token), tuple(entries)) if isinstance(token, str) and token else None
