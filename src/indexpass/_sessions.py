"""Refresh tokens: one session a broker, in a private file.

A session is written whole before the old one is given up, so that a crash leaves one that works. This module never
speaks to a broker.
"""

from __future__ import annotations

import hashlib
import json
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from indexpass._files import ensure_private_folder, read_private, write_private
from indexpass._model import Session
from indexpass._secret import Secret
from indexpass.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK_SECONDS = 50.0  # longer than the two exchanges of one refresh may take
_log = logging.getLogger("indexpass.sessions")


class FileSessions:
    """Sessions in a folder of private files, as :class:`indexpass._model.SessionStore` describes."""

    def __init__(self, folder: Path) -> None:
        """Touch nothing yet."""
        self._folder = folder

    def load(self, broker: str) -> Session | None:
        """Return the session at this broker, or None. Raises StoreError if others can read or write its file."""
        data = read_private(self._path(broker, "session"))
        if data is None:
            return None
        try:
            entry = json.loads(data)
            return Session(broker=entry["broker"], user=entry["user"], refresh_token=Secret(entry["refresh_token"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            _log.debug("the session file of %s is damaged", broker)
            return None

    def save(self, session: Session) -> None:
        """Keep the session in place of an older one; this reveals the token. Raises StoreError."""
        entry = {"broker": session.broker, "user": session.user, "refresh_token": session.refresh_token.reveal()}
        write_private(self._path(session.broker, "session"), json.dumps(entry).encode())

    def forget(self, broker: str) -> None:
        """Remove the session at this broker, if there is one. Raises StoreError if its file cannot be removed."""
        path = self._path(broker, "session")
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{path} cannot be removed: {error.strerror}", hint=f"remove it: rm -rf {path}") from error

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

    def _path(self, broker: str, kind: str) -> Path:
        return self._folder / f"{hashlib.sha256(broker.encode()).hexdigest()[:40]}.{kind}"
