"""PostgreSQL as the broker's database: no wait for it is without an end, and a restart of it goes unnoticed.

The server bounds each statement and each lock, and we bound the server: one that is gone, or stands still, says nothing
at all. This module holds no table and asks for no row.
"""

from __future__ import annotations

import selectors
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from sqlalchemy import create_engine, event
from sqlalchemy.exc import DisconnectionError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from psycopg.abc import PQGen
    from sqlalchemy import URL, Engine
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

    _T = TypeVar("_T")

CONNECT_SECONDS = 3  # for each address of the server
SILENCE_SECONDS = 3  # how long sent data may stay unconfirmed by the server's machine
IDLE_SECONDS = 10  # a broker that froze in mid-transaction holds its locks no longer
POOL_SECONDS = 5  # how long a request waits for one of this process's connections
POOL_SIZE = 10  # a connection costs PostgreSQL some megabytes; more of them would only wait for each other's rows
_MAX_PASSWORD_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a statement may take, how long it may wait for others' locks, and how long the server may be silent."""

    statement_seconds: int
    lock_seconds: int
    answer_seconds: int


# A client gives up after ten seconds without an answer. What is slower than this, the broker refuses before that.
FOR_REQUESTS = Bounds(statement_seconds=5, lock_seconds=3, answer_seconds=6)
# An index on a year of audit takes its time; and another broker may be at it.
FOR_UPGRADES = Bounds(statement_seconds=600, lock_seconds=60, answer_seconds=660)


def create(url: URL, password_file: Path | None, bounds: Bounds) -> Engine:
    """Return the database, without having connected. The file of the password is read anew for each connection."""
    engine = create_engine(
        url.set(drivername="postgresql+psycopg").update_query_dict(_parameters(url, bounds)),
        hide_parameters=True,
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=POOL_SECONDS,
    )

    def connect(
        _dialect: object, _entry: object, words: tuple[Any, ...], parameters: dict[str, Any]
    ) -> psycopg.Connection[Any]:
        if password_file:
            parameters["password"] = _read_password(password_file)
        connection = _BoundedConnection.connect(*words, **parameters)
        connection.answer_seconds = bounds.answer_seconds
        return connection

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "checkout", _refuse_broken)
    return engine


class _BoundedConnection(psycopg.Connection[Any]):
    """A connection that is closed if the server says nothing for too long: psycopg itself waits for ever."""

    answer_seconds: float = FOR_REQUESTS.answer_seconds

    def wait(self, gen: PQGen[_T], *args: Any, **kwargs: Any) -> _T:  # noqa: ANN401  # as psycopg has them
        try:
            return super().wait(_bounded(gen, time.monotonic() + self.answer_seconds), *args, **kwargs)
        except _Silent:
            self.close()
            raise


class _Silent(psycopg.OperationalError):
    """The server has said nothing for too long."""


def _bounded(work: PQGen[_T], until: float) -> Generator[Any, Any, _T]:
    """Do the same work, which is told now and then that nothing has come, and end it once that is so for too long."""
    try:
        state = next(work)
        while True:
            ready = yield state
            if not ready and time.monotonic() > until:
                raise _Silent("the server does not answer")
            state = work.send(ready)
    except StopIteration as end:
        result: _T = end.value
        return result


def _refuse_broken(connection: Any, _entry: ConnectionPoolEntry, _proxy: PoolProxiedConnection) -> None:  # noqa: ANN401  # psycopg's
    """Have a connection replaced that the server has closed: that can be seen without asking it."""
    with selectors.DefaultSelector() as selector:
        selector.register(connection.pgconn.socket, selectors.EVENT_READ)
        if selector.select(0):  # between two questions a server has nothing to say but goodbye
            raise DisconnectionError


def _parameters(url: URL, bounds: Bounds) -> dict[str, str]:
    """Return what libpq is told; what the URL says goes before, except for the bounds."""
    settings = {
        "statement_timeout": bounds.statement_seconds,
        "lock_timeout": bounds.lock_seconds,
        "idle_in_transaction_session_timeout": IDLE_SECONDS if bounds is FOR_REQUESTS else bounds.statement_seconds,
    }
    options = " ".join(f"-c {name}={seconds}s" for name, seconds in settings.items())
    said = {name: value for name, value in url.query.items() if isinstance(value, str)}
    return {
        "application_name": "indexpass",
        "connect_timeout": str(CONNECT_SECONDS),
        "tcp_user_timeout": str(SILENCE_SECONDS * 1000),
        "keepalives_idle": "30",
        "keepalives_interval": "5",
        "keepalives_count": "3",
        **said,
        "options": f"{said.get('options', '')} {options}".strip(),
    }


def _read_password(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return opened.read(_MAX_PASSWORD_BYTES).decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise psycopg.OperationalError(f"the password in {file} cannot be read") from None
