"""Credentials on disk, shared by every client of this user: ages, one lock an index, remembered failures and runs.

What is kept is bound to the index, the operation and the provider's settings, so that a changed configuration never
meets an old credential. A file that cannot be read safely counts as absent; what cannot be written is kept for the
rest of this process only. This module never obtains a credential.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from indexpass._credential import Credential
from indexpass._files import ensure_private_folder, read_private, write_private
from indexpass._secret import Secret
from indexpass._url import IndexUrl
from indexpass.errors import BrokerUnreachable, IndexpassError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from indexpass._credential import Index, Operation

DOUBT_SECONDS = 30.0  # a credential that is asked for again sooner was tried at its index only just now
RUN_SECONDS = 86_400.0  # what a run was given is of no use to anyone after a day
MAX_GIVEN = 32  # to one run: it meets few indexes, and a new credential at most every 30 seconds
LOCK_SECONDS = 45.0  # longer than one exchange may take, so that a waiter finds the other's result
_VERSION = 1
_log = logging.getLogger("indexpass.cache")


class Cache:
    """The credentials and failures in one folder."""

    def __init__(self, folder: Path) -> None:
        """Touch nothing yet."""
        self._folder = folder
        self._unwritten: dict[Path, dict[str, object]] = {}
        self._turns: dict[Path, threading.Lock] = {}

    def load(self, index: Index, operation: Operation) -> Credential | None:
        """Return the credential held for this operation, of whatever age, or None."""
        entry = self._read(self._path(index, operation, "credential"))
        if entry is None:
            return None
        username, secret = entry.get("username"), entry.get("secret")
        issued_at, expires_at = entry.get("issued_at"), entry.get("expires_at")
        if (
            not isinstance(username, str)
            or not isinstance(secret, str)
            or not isinstance(issued_at, float)
            or not isinstance(expires_at, float | None)
        ):
            return None
        return Credential(username, Secret(secret), issued_at, expires_at)

    def store(self, index: Index, operation: Operation, credential: Credential) -> None:
        """Hold the credential in place of an older one, and forget the failures before it. This reveals the secret.

        A disk that does not take it is logged, not raised: this process still has it. What is not to be kept, this
        process alone has.
        """
        entry = {
            "username": credential.username,
            "secret": credential.secret.reveal(),
            "issued_at": float(credential.issued_at),
            "expires_at": None if credential.expires_at is None else float(credential.expires_at),
        }
        path = self._path(index, operation, "credential")
        if credential.is_kept:
            self._write(path, entry)
        else:
            self._unlink(path)
            self._unwritten[path] = {"version": _VERSION, **entry}
        for path in self._failure_paths(index, operation):
            self._unlink(path)

    def forget(self, index: Index, operation: Operation) -> None:
        """Remove what is held for this operation: credential and failure."""
        self._unlink(self._path(index, operation, "credential"))
        self._unlink(self._path(index, operation, "failure"))

    def failure(self, index: Index, operation: Operation, now: float) -> IndexpassError | None:
        """Return the remembered failure of the last attempt, or None if there is none or its time is over."""
        for path in self._failure_paths(index, operation):
            entry = self._read(path) or {}
            until, message, hint, code = (entry.get(key) for key in ("until", "message", "hint", "code"))
            if isinstance(until, float) and now < until < now + 3600:
                return IndexpassError(str(message), hint=str(hint), code=str(code))
        return None

    def remember_failure(self, index: Index, operation: Operation, error: IndexpassError, until: float) -> None:
        """Let every process of this user fail at once, without asking again, until ``until``.

        A broker that cannot be reached is remembered for all of its indexes, anything else for this operation.
        """
        entry = {"message": error.message, "hint": error.hint, "code": error.code, "until": until}
        own, *shared = self._failure_paths(index, operation)
        self._write(shared[0] if shared and isinstance(error, BrokerUnreachable) else own, entry)

    def forget_failures(self) -> None:
        """Let every index be asked for again at once; for use after a sign-in, or a change of the configuration."""
        try:
            for path in self._folder.glob("*.failure"):
                self._unlink(path)
        except OSError:
            _log.debug("the cache folder cannot be listed")

    def is_given_again(self, run: str, credential: Credential, now: float) -> bool:
        """Note that a run of a client is given the credential, and say whether it was given it before.

        Says so at most once in 30 seconds for one credential. What is kept is the secret's fingerprint and a time.
        """
        path = self._run_path(run)
        given = self._given(path)
        fingerprint = hashlib.sha256(credential.secret.reveal().encode(errors="surrogatepass")).hexdigest()
        doubted_at = given.pop(fingerprint, None)
        if doubted_at is not None and 0 <= now - doubted_at < DOUBT_SECONDS:
            return False
        if not given and doubted_at is None:
            self._forget_old_runs(now)
        given[fingerprint] = 0.0 if doubted_at is None else now
        self._write(path, {"given": dict(list(given.items())[-MAX_GIVEN:])}, durable=False)
        return doubted_at is not None

    @contextmanager
    def lock(self, index: Index, operation: Operation) -> Iterator[None]:
        """Keep every other thread and process from obtaining the same credential meanwhile.

        Where the folder cannot hold a lock, other processes are not kept out; where the holder takes longer than 45
        seconds, nobody is.
        """
        import filelock  # noqa: PLC0415  # loaded only when a credential is obtained

        ends = time.monotonic() + LOCK_SECONDS
        path = self._path(index, operation, "lock")
        turn = self._turns.setdefault(path, threading.Lock())  # one step: Poetry asks from several threads
        has_turn = turn.acquire(timeout=LOCK_SECONDS)
        lock = filelock.FileLock(path, mode=0o600)
        try:
            try:
                ensure_private_folder(self._folder)
                lock.acquire(timeout=max(ends - time.monotonic(), 0))
            except (OSError, StoreError):
                _log.debug("going on without a lock in %s", self._folder)
            yield
        finally:
            lock.release()
            if has_turn:
                turn.release()

    def _path(self, index: Index, operation: Operation, kind: str) -> Path:
        identity = (str(index.url), operation, index.provider, *sorted(index.options.items()))
        digest = hashlib.sha256(repr(identity).encode()).hexdigest()
        return self._folder / f"{digest[:40]}.{kind}"

    def _failure_paths(self, index: Index, operation: Operation) -> list[Path]:
        """Return where failures are remembered: of this operation, and of the index's broker if it has one."""
        own = self._path(index, operation, "failure")
        if "broker" not in index.options:
            return [own]
        digest = hashlib.sha256(str(IndexUrl.parse(index.options["broker"]).origin).encode()).hexdigest()
        return [own, own.with_name(f"{digest[:40]}.failure")]

    def _run_path(self, run: str) -> Path:
        return self._folder / f"{hashlib.sha256(run.encode()).hexdigest()[:40]}.run"

    def _given(self, path: Path) -> dict[str, float]:
        given = (self._read(path) or {}).get("given")
        return {key: at for key, at in given.items() if isinstance(at, float)} if isinstance(given, dict) else {}

    def _forget_old_runs(self, now: float) -> None:
        try:
            for path in self._folder.glob("*.run"):
                if not now - RUN_SECONDS < path.lstat().st_mtime < now + RUN_SECONDS:
                    self._unlink(path)
        except OSError:
            _log.debug("the runs of the past cannot be removed")

    def _read(self, path: Path) -> dict[str, object] | None:
        import json  # noqa: PLC0415  # strangers' look-ups end before anything is read

        if path in self._unwritten:
            return self._unwritten[path]
        try:
            data = read_private(path)
            entry: object = json.loads(data) if data else None
        except (StoreError, ValueError, RecursionError) as error:
            _log.debug("%s is left out: %s", path, type(error).__name__)
            return None
        return entry if isinstance(entry, dict) and entry.get("version") == _VERSION else None

    def _write(self, path: Path, entry: dict[str, object], *, durable: bool = True) -> None:
        import json  # noqa: PLC0415

        try:
            write_private(path, json.dumps({"version": _VERSION, **entry}).encode(), durable=durable)
        except StoreError as error:
            _log.warning("%s", error)
            self._unwritten[path] = entry
        else:
            self._unwritten.pop(path, None)

    def _unlink(self, path: Path) -> None:
        self._unwritten.pop(path, None)
        try:
            path.unlink(missing_ok=True)
        except OSError:
            _log.warning("%s cannot be removed", path)
