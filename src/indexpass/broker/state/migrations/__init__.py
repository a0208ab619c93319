"""The database's shape over time: made, brought up to date, or refused, before anything else touches it.

A new database gets the tables of ``schema`` at once. An older one is changed step by step by the revisions in
``versions``, which Alembic runs; a test holds that both lead to the same tables. Nothing is ever taken back: a database
that is newer than this program is refused. ``python -m indexpass.broker.state.migrations`` writes a revision.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sqlalchemy import Column, MetaData, PrimaryKeyConstraint, String, Table, func, insert, inspect, select

from indexpass.broker.state import database, schema
from indexpass.errors import StoreError

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

    from indexpass.broker.settings import Database

FOLDER = Path(__file__).parent
REVISIONS = FOLDER / "versions"
VERSION_TABLE = "indexpass_version"  # not Alembic's own name: a database may hold others' tables beside ours
_LOCK = 0x696E6465  # any number that nobody else locks: "inde"
_version = Table(  # as Alembic makes it
    VERSION_TABLE,
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
)
_log = logging.getLogger("indexpass.broker")

Status = Literal["empty", "older", "current", "newer", "foreign"]


@dataclass(frozen=True, slots=True)
class Version:
    """Which revision the database is at, 0 for none, and what that means to this program, which knows ``newest``."""

    number: int
    newest: int
    status: Status


def upgrade(where: Database, revisions: Path = REVISIONS) -> Version:
    """Make the tables, or bring them up to date by the files in ``revisions``; return what was there before.

    Several brokers may do so at once: the first does it, the others wait. Raises StoreError if the database is newer
    than this program or holds somebody else's tables, and SQLAlchemyError if it does not answer.
    """
    engine = database.create(where, is_upgrade=True)
    try:
        with engine.connect() as connection:
            connection.execution_options(is_reading=True)
            found = read_version(connection, revisions)
        if found.status == "current":
            return found
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
            return _upgrade(connection, revisions)
    finally:
        engine.dispose()


def read_version(connection: Connection, revisions: Path = REVISIONS) -> Version:
    """Return which revision the database is at."""
    newest = int(max(path.stem[-4:] for path in revisions.glob("revision_*.py")))
    there = set(inspect(connection).get_table_names())
    if VERSION_TABLE not in there:
        status: Status = "foreign" if there & set(schema.metadata.tables) else "empty"
        return Version(0, newest, status)
    number = int(connection.execute(select(_version.c.version_num)).scalar_one())
    return Version(number, newest, "older" if number < newest else "newer" if number > newest else "current")


def alembic_config(connection: Connection, revisions: Path = REVISIONS) -> Config:
    """Return Alembic's settings, for work on this connection."""
    from alembic.config import Config  # noqa: PLC0415  # loaded only where there is something to upgrade

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("version_locations", str(revisions).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "revision_%%(rev)s")
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: Connection, revisions: Path) -> Version:
    found = read_version(connection, revisions)  # once more: another broker may have been faster
    if found.status == "foreign":
        raise StoreError(
            "the database holds tables that are not of this broker",
            hint="give the broker a database of its own",
        )
    if found.status == "newer":
        raise StoreError(
            f"the database is at version {found.number}, this program knows {found.newest}: a newer one was here",
            hint="install the newer indexpass again, or restore the backup from before it",
        )
    if found.status == "empty":
        schema.metadata.create_all(connection)
        _version.create(connection)
        connection.execute(insert(_version).values(version_num=f"{found.newest:04}"))
    if found.status == "older":
        from alembic import command  # noqa: PLC0415  # likewise

        command.upgrade(alembic_config(connection, revisions), "head")
        _log.info("the database was brought from version %d to %d", found.number, found.newest)
        if connection.dialect.name == "sqlite" and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
            raise StoreError("the upgrade would leave rows that lead nowhere", hint="report this as a bug")
    return found
