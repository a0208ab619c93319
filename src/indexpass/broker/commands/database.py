"""``broker database``: which version the database's tables have, and bringing them up to date before a broker starts.

No row is read or shown.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
from sqlalchemy.exc import SQLAlchemyError

from indexpass._waiting import waiting
from indexpass.broker.commands.folder import folder_argument
from indexpass.broker.settings import file as settings_file
from indexpass.broker.state import database as state_database
from indexpass.broker.state import migrations

if TYPE_CHECKING:
    from pathlib import Path

    from indexpass.broker.state.migrations import Version

_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
_MEANINGS = {
    "empty": "it has no tables yet: the broker makes them when it starts",
    "older": "the broker upgrades it when it starts, or now: indexpass broker database upgrade",
    "current": "it is up to date",
    "newer": "it is of a newer indexpass, and this one does not touch it",
    "foreign": "it has tables that are not of a broker, and is not touched",
}


@click.group(short_help="Show and upgrade the version of the database's tables.")
def database() -> None:
    """Show the version of the database's tables, and upgrade them.

    A broker upgrades its database by itself when it starts, if it may change tables.

    \b
    Example:
      indexpass broker database status ./broker
    """  # noqa: D301  # click wants the character itself


@database.command(short_help="Show the tables' version, and the one that is needed.")
@folder_argument
@_json_option
def status(folder: Path, *, as_json: bool) -> None:
    """Show which version the tables have, and which one this program needs.

    \b
    Example:
      indexpass broker database status ./broker
    """  # noqa: D301  # click wants the character itself
    where = settings_file.load(folder.absolute()).database
    engine = state_database.create(where)
    try:
        with waiting(f"asking {where.url}"), engine.connect().execution_options(is_reading=True) as connection:
            found = migrations.read_version(connection)
    except SQLAlchemyError as error:
        raise state_database.unopened(where, error) from error
    finally:
        engine.dispose()
    if as_json:
        click.echo(_document(where.url, found))
        return
    click.echo(f"{where.url}\nversion {found.number} of {found.newest}: {_MEANINGS[found.status]}")


@database.command()
@folder_argument
@_json_option
def upgrade(folder: Path, *, as_json: bool) -> None:
    """Bring the tables up to date; rows stay. Back up the database before: there is no way back.

    Brokers that run go on meanwhile. For a database whose user may not change tables, run this as one who may: leave
    the user out of the URL in a copy of broker.toml, and name it in PGUSER.

    \b
    Example:
      indexpass broker database upgrade ./broker
    """  # noqa: D301  # click wants the character itself
    where = settings_file.load(folder.absolute()).database
    try:
        with waiting(f"changing the tables of {where.url}"):
            before = migrations.upgrade(where)
    except SQLAlchemyError as error:
        raise state_database.unopened(where, error) from error
    if as_json:
        click.echo(_document(where.url, before))
    elif before.status == "current":
        click.echo(f"Nothing to do: the database is at version {before.newest}.")
    else:
        click.echo(f"Brought the database from version {before.number} to {before.newest}.")


def _document(url: str, version: Version) -> str:
    """Return what was found: before the upgrade, where there was one."""
    facts = {"database": url, "version": version.number, "newest": version.newest, "status": version.status}
    return json.dumps(facts)
