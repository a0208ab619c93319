"""Whose turn it is to write to SQLite, which has one writer: among threads, and among the processes of one machine.

SQLite's own waiting is sleeping for longer and longer, so that under load some wait for a tenth of a second. Here a
thread is woken at once, and a process asks again soon. What is right is never decided here: SQLite has its own lock,
and where this one cannot be had at all, that one serves alone.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if os.name == "posix":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ASK_AGAIN_SECONDS = 0.0005


class Turns:
    """The turns of all who write to the database in one folder. The lock is on the folder itself: it needs no file."""

    def __init__(self, folder: Path) -> None:
        """Take no turn yet."""
        self._threads = threading.Lock()
        self._folder: int | None = None
        if os.name == "posix":
            with suppress(OSError):
                self._folder = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Take no turn any more."""
        folder, self._folder = self._folder, None
        if folder is not None:
            os.close(folder)

    @contextmanager
    def taken(self, seconds: float) -> Iterator[None]:
        """Have the turn meanwhile. Raises TimeoutError if nobody gives it up in time."""
        deadline = time.monotonic() + seconds
        if not self._threads.acquire(timeout=seconds):
            raise TimeoutError
        try:
            while not self._is_ours():
                if time.monotonic() > deadline:
                    raise TimeoutError
                time.sleep(ASK_AGAIN_SECONDS)
            try:
                yield
            finally:
                if self._folder is not None:
                    with suppress(OSError):  # closed meanwhile
                        fcntl.flock(self._folder, fcntl.LOCK_UN)
        finally:
            self._threads.release()

    def _is_ours(self) -> bool:
        if self._folder is None:
            return True
        try:
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without such locks
            self.close()
        return True
