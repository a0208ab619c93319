"""``broker resource-server``: who may ask the broker what a token says (RFC 7662).

A secret is printed once, when it is made. Whatever is changed is audited in the same transaction.
"""

from __future__ import annotations

import json
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import click

from indexpass.broker.commands import moments
from indexpass.broker.commands.folder import folder_argument
from indexpass.broker.settings import file as settings_file
from indexpass.broker.settings import values
from indexpass.broker.settings.table import nearest
from indexpass.broker.state import audit, resource_servers
from indexpass.broker.state.store import Store
from indexpass.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection

_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")


@click.group(short_help="Say which servers may ask what a token says.")
def resource_server() -> None:
    """Add, list and remove servers that may ask what a token says, and whether it was revoked.

    They ask /oauth/introspect with their name and their secret (RFC 7662).

    \b
    Example:
      indexpass broker resource-server add artifactory ./broker
    """  # noqa: D301  # click wants the character itself


@resource_server.command(short_help="Add the server NAME and print its secret, this once.")
@click.argument("name")
@folder_argument
@_json_option
def add(name: str, folder: Path, *, as_json: bool) -> None:
    """Add the server NAME and print its secret, which is never shown again.

    \b
    Example:
      indexpass broker resource-server add artifactory ./broker
    """  # noqa: D301  # click wants the character itself
    try:
        values.name(name)
    except ValueError as error:
        raise ConfigError(f"{name!r} cannot be a name: {error}", hint="for example: artifactory") from error
    now = time.time()
    with _writing(folder) as connection:
        secret = resource_servers.add(connection, name, now)
        if secret is None:
            raise ConfigError(
                f"there is a resource server {name} already",
                hint=f"for another secret, remove it first: indexpass broker resource-server remove {name} {folder}",
            )
        audit.write_command(connection, "resource-server-added", about=name, now=now)
    if as_json:
        click.echo(json.dumps({"name": name, "secret": secret.reveal()}))  # it leaves: for whoever runs this, once
        return
    click.echo(f"{name} shows this secret as its password. It is not kept here: it cannot be shown again.", err=True)
    click.echo(secret.reveal())  # likewise


@resource_server.command(name="list")
@folder_argument
@_json_option
def list_servers(folder: Path, *, as_json: bool) -> None:
    """List the servers that may ask, and since when.

    \b
    Example:
      indexpass broker resource-server list ./broker
    """  # noqa: D301  # click wants the character itself
    settings = settings_file.load(folder.absolute())
    with closing(Store(settings.database)) as store, store.reading() as connection:
        found = resource_servers.read(connection)
    if as_json:
        rows = [{"name": each.name, "created_at": audit.rfc3339(each.created_at)} for each in found]
        click.echo(json.dumps(rows, indent=2))
        return
    width = max([4, *(len(each.name) for each in found)])
    click.echo(f"{'NAME':{width}}  SINCE")
    for each in found:
        click.echo(f"{each.name:{width}}  {moments.day(each.created_at)}")


@resource_server.command()
@click.argument("name")
@folder_argument
@_json_option
def remove(name: str, folder: Path, *, as_json: bool) -> None:
    """Remove the server NAME: it is told nothing from now on.

    \b
    Example:
      indexpass broker resource-server remove artifactory ./broker
    """  # noqa: D301  # click wants the character itself
    now = time.time()
    with _writing(folder) as connection:
        if not resource_servers.remove(connection, name):
            names = [each.name for each in resource_servers.read(connection)]
            raise ConfigError(f"there is no resource server {name!r}", hint=nearest(name, names))
        audit.write_command(connection, "resource-server-removed", about=name, now=now)
    click.echo(json.dumps({"name": name}) if as_json else f"Removed {name}.")


@contextmanager
def _writing(folder: Path) -> Iterator[Connection]:
    settings = settings_file.load(folder.absolute())
    with closing(Store(settings.database)) as store, store.writing() as connection:
        yield connection
