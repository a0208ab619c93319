"""The tables, and how the database is opened.

Opaque tokens and codes are kept as SHA-256 only: who reads the database can use none of them. Times are seconds since
the epoch. This module holds no query but the one insertion that several tables need.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import (
    Column,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    insert,
    make_url,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from indexpass.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

BUSY_SECONDS = 5  # how long a writer waits for another process's transaction

metadata = MetaData()

users = Table(
    "users",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("password_hash", Text, nullable=False),
    Column("created_at", Float, nullable=False),
)

device_codes = Table(
    "device_codes",
    metadata,
    Column("device_code_sha256", String(64), primary_key=True),
    # In clear: eight letters that live ten minutes are found faster than any hash of them is computed.
    Column("user_code", String(8), nullable=False, unique=True),
    Column("client_id", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False, index=True),
    Column("interval", Integer, nullable=False),
    Column("polled_at", Float),
    Column("user", ForeignKey("users.name", ondelete="CASCADE")),
    Column("decision", String(8)),  # approved or denied; none while nobody has decided
    Column("redeemed_at", Float),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("user", ForeignKey("users.name", ondelete="CASCADE"), nullable=False, index=True),
    Column("client_id", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False, index=True),
    Column("revoked_at", Float),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("token_sha256", String(64), primary_key=True),
    Column("session", ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("created_at", Float, nullable=False),
    Column("rotated_at", Float),
)

authorization_codes = Table(
    "authorization_codes",
    metadata,
    Column("code_sha256", String(64), primary_key=True),
    Column("user", ForeignKey("users.name", ondelete="CASCADE"), nullable=False),
    Column("client_id", Text, nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("code_challenge", String(43), nullable=False),
    Column("resource", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("session", ForeignKey("sessions.id", ondelete="CASCADE")),  # none while nobody has used the code
    Column("expires_at", Float, nullable=False, index=True),  # the code's end; once it is used, its session's
)

replay = Table(
    "replay",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("expires_at", Float, nullable=False, index=True),
)

revocations = Table(
    "revocations",
    metadata,
    Column("id", String(64), primary_key=True),  # a token's jti, or a session's id: that is the tokens' sid
    Column("expires_at", Float, nullable=False, index=True),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("time", Float, nullable=False),
    Column("event", String(32), nullable=False),
    Column("who", Text, nullable=False),
    Column("index", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("result", String(8), nullable=False),
    Column("reason", Text, nullable=False),
    Column("token_sha256", String(64), nullable=False),
    Column("address", Text, nullable=False),
    Index("audit_time", "time"),
)


def open_database(url: str) -> Engine:
    """Return the database with all its tables; a new SQLite file has mode 0600. Raises StoreError."""
    engine = create_engine(url)
    try:
        if engine.dialect.name == "sqlite":
            _prepare_sqlite(engine)
        metadata.create_all(engine)
    except (SQLAlchemyError, OSError) as error:
        raise StoreError(
            f"the database {make_url(url).render_as_string(hide_password=True)} cannot be opened",
            hint="check its path, its owner and the free space on the disk",
        ) from error
    return engine


def insert_new(connection: Connection, table: Table, **values: object) -> bool:
    """Insert a row. Returns False, and changes nothing, if one with its key is there."""
    try:
        with connection.begin_nested():
            connection.execute(insert(table).values(**values))
    except IntegrityError:
        return False
    return True


def _prepare_sqlite(engine: Engine) -> None:
    database = engine.url.database
    if database:
        # SQLite gives its journals the mode of the main file, so this one call covers them all.
        os.close(os.open(Path(database), os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600))
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)


def _configure(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver would begin transactions by its own rules; _begin does it
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
    cursor.close()


def _begin(connection: Connection) -> None:
    # A transaction that reads first and then writes fails if another has written in between; IMMEDIATE waits instead.
    is_reading = connection.get_execution_options().get("is_reading", False)
    connection.exec_driver_sql("BEGIN" if is_reading else "BEGIN IMMEDIATE")
