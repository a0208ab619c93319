"""How the database is opened: one SQLite file, or PostgreSQL. Every wait for it is bounded.

This module holds no table and asks for no row.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, create_engine, event, make_url
from sqlalchemy.exc import DisconnectionError, InterfaceError, InternalError, OperationalError, SQLAlchemyError

from indexpass.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

    from indexpass.broker.settings import Database

BUSY_SECONDS = 5  # how long a writer of SQLite waits for the others
_RETRY_SECONDS = 0.01
# What may be otherwise at the next try: no connection, a lock, a full disk, a server that became read-only.
AWAY = (InterfaceError, InternalError, OperationalError)


class DatabaseAway(SQLAlchemyError):
    """The database does not answer, or takes nothing. What needs it is refused until it does, and may be tried again.

    The text says why, in the driver's words; it names no value of any row.
    """


def create(database: Database, *, is_upgrade: bool = False) -> Engine:
    """Return the database, without having connected; a new SQLite file has mode 0600. Raises StoreError.

    With ``is_upgrade`` it is for changing tables, which takes longer, and for nothing else.
    """
    url = make_url(database.url)
    try:
        if url.get_backend_name() == "sqlite":
            return _create_sqlite(url, has_foreign_keys=not is_upgrade)
        from indexpass.broker.state import postgresql  # noqa: PLC0415  # its driver takes a while to load

        bounds = postgresql.FOR_UPGRADES if is_upgrade else postgresql.FOR_REQUESTS
        return postgresql.create(url, database.password_file, bounds)
    except (OSError, SQLAlchemyError) as error:
        raise unopened(database, error) from error


def sqlite_file(database: Database) -> Path | None:
    """Return the file that the database is in, or None for PostgreSQL."""
    url = make_url(database.url)
    return Path(url.database or "").absolute() if url.get_backend_name() == "sqlite" else None


def unopened(database: Database, error: Exception) -> StoreError:
    """Return the error that says why the database cannot be used."""
    if database.url.startswith("sqlite:"):
        hint = "check its path, its owner and the free space on the disk"
    else:
        hint = f"check that PostgreSQL runs, and who may come in: psql '{database.url}'"
    return StoreError(f"the database {database.url} cannot be opened: {reason(error)}", hint=hint)


def reason(error: BaseException) -> str:
    """Return what went wrong in one line of the driver's own words, without the statement and its values."""
    return (str(getattr(error, "orig", None) or error).strip() or type(error).__name__).splitlines()[0]


def _create_sqlite(url: URL, *, has_foreign_keys: bool) -> Engine:
    file = Path(url.database or "").absolute()
    # SQLite gives its journals the mode of the main file, so this one call covers them all.
    os.close(os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600))
    # Opened in mode rw: SQLite would make a file that has been removed anew, empty and open to others.
    there = URL.create("sqlite", database=file.as_uri(), query={"mode": "rw", "uri": "true"})
    engine = create_engine(there, hide_parameters=True, pool_timeout=BUSY_SECONDS)

    def configure(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # the driver would begin transactions by its own rules; _begin does it
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
        _begin_wal(cursor)
        # SQLite changes a table by making it anew. Removing the old one would remove what refers to it as well.
        cursor.execute(f"PRAGMA foreign_keys = {'ON' if has_foreign_keys else 'OFF'}")
        cursor.close()
        entry.info["file"] = _identity(file)

    def compare(_connection: DBAPIConnection, entry: ConnectionPoolEntry, _proxy: PoolProxiedConnection) -> None:
        # What is written to a file that was removed, or replaced by a backup, would be lost without a word.
        if entry.info["file"] != _identity(file):
            raise DisconnectionError

    event.listen(engine, "connect", configure)
    event.listen(engine, "checkout", compare)
    event.listen(engine, "begin", _begin)
    return engine


def _begin_wal(cursor: DBAPICursor) -> None:
    """Have the database keep a write-ahead log, which it then does for good."""
    deadline = time.monotonic() + BUSY_SECONDS
    while not _has_begun_wal(cursor, is_last_try=time.monotonic() > deadline):
        time.sleep(_RETRY_SECONDS)


def _has_begun_wal(cursor: DBAPICursor, *, is_last_try: bool) -> bool:
    try:
        cursor.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:  # where several begin it at once, SQLite itself does not wait
        if is_last_try or "locked" not in str(error):
            raise
        return False
    return True


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        facts = file.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def _begin(connection: Connection) -> None:
    # A transaction that reads first and then writes fails if another has written in between; IMMEDIATE waits instead.
    is_reading = connection.get_execution_options().get("is_reading", False)
    connection.exec_driver_sql("BEGIN" if is_reading else "BEGIN IMMEDIATE")
