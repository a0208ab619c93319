"""Transactions that are shared: who waits to write is taken along by who writes next, for one wait for the disk.

SQLite has one writer, and each of its commits waits until the disk has it. The first who comes writes; those who come
meanwhile are written together by the first of them. Each has a savepoint: what one refuses concerns no other. Nobody
has an answer before all of it is committed. This module never knows what is written.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from indexpass.broker.state.database import AWAY, BUSY_SECONDS, DatabaseAway

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

T = TypeVar("T")

PATIENCE_SECONDS = 2 * BUSY_SECONDS  # one transaction may be in the way, and the one that takes us along
MAX_SHARING = 100  # so that nobody waits for long for the others


class _Work(Generic[T]):
    """What one thread wants written, and what came of it."""

    def __init__(self, do: Callable[[Connection], T]) -> None:
        self.do = do
        self.outcome: T | None = None
        self.failure: Exception | None = None
        self.is_over = False
        self.turn = threading.Event()  # it is over, or the thread is the next who writes

    def result(self) -> T:
        if self.failure:
            raise self.failure
        return self.outcome  # type: ignore[return-value]  # it is over, and did not fail


class SharedWriting:
    """Shares the transactions that ``writing`` begins among all threads that wait for one."""

    def __init__(
        self, writing: Callable[[], AbstractContextManager[Connection]], *, at_most: int = MAX_SHARING
    ) -> None:
        """Begin nothing yet; later, let so many share a transaction."""
        self._writing = writing
        self._at_most = at_most
        self._lock = threading.Lock()
        self._waiting: list[_Work[object]] = []
        self._is_busy = False

    def write(self, do: Callable[[Connection], T]) -> T:
        """Do this within a transaction and return what it returns, once that is committed.

        What it raises is raised here, and it alone is rolled back. Raises DatabaseAway for all who share it if the
        transaction fails.
        """
        work = _Work(do)
        with self._lock:
            self._waiting.append(work)  # type: ignore[arg-type]  # of whatever type: it goes back to who brought it
            is_first, self._is_busy = not self._is_busy, True
        if not is_first and not work.turn.wait(PATIENCE_SECONDS):
            self._withdraw(work)
        if not work.is_over:
            self._write_all_that_wait()
        return work.result()

    def _withdraw(self, work: _Work[T]) -> None:
        """Wait no longer. Raises DatabaseAway, unless it is this thread's turn at this very moment."""
        with self._lock:
            if work.turn.is_set():
                return
            if work in self._waiting:
                self._waiting.remove(work)  # type: ignore[arg-type]  # as above
        raise DatabaseAway("too many wait to write")

    def _write_all_that_wait(self) -> None:
        with self._lock:
            works, self._waiting = self._waiting[: self._at_most], self._waiting[self._at_most :]
        lost: Exception | None = DatabaseAway("the transaction was given up")
        try:
            self._write(works)
            lost = None
        except Exception as error:  # noqa: BLE001  # each of the threads raises it
            lost = error
        finally:
            with self._lock:
                if self._waiting:
                    self._waiting[0].turn.set()
                else:
                    self._is_busy = False
            for work in works:
                work.failure = lost or work.failure
                work.is_over = True
                work.turn.set()

    def _write(self, works: list[_Work[object]]) -> None:
        with self._writing() as connection:
            for work in works:
                connection.exec_driver_sql("SAVEPOINT work")
                try:
                    work.outcome = work.do(connection)
                except AWAY:  # the database itself has failed, and perhaps rolled all of it back
                    raise
                except Exception as error:  # noqa: BLE001  # whoever brought it raises it
                    work.failure = error
                    connection.exec_driver_sql("ROLLBACK TO work")
                connection.exec_driver_sql("RELEASE work")
