"""``indexpass add``: put an index into the user's file, after a look at who would receive what."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

import click

from indexpass import _config, _known, _metadata
from indexpass._asking import require_yes
from indexpass._cache import Cache
from indexpass._files import write_whole
from indexpass._http import HttpClient
from indexpass._locations import locate
from indexpass._platforms import PLATFORMS
from indexpass._url import IndexUrl, redacted
from indexpass._waiting import waiting
from indexpass.errors import BrokerError, ConfigError, StoreError, UrlError

if TYPE_CHECKING:
    from pathlib import Path

    from indexpass._model import Index

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class _Entry(NamedTuple):
    """What will be written."""

    name: str
    url: IndexUrl
    broker: str
    upload_url: IndexUrl | None
    files_url: IndexUrl | None


@click.command(
    epilog="Examples:\n\n\b\n  indexpass add https://packages.example.com/simple/\n"
    "  indexpass add https://packages.example.com/simple/ --broker https://tokens.example.com --yes"
)
@click.argument("url")
@click.option("--name", help="What to call it in commands. [default: its host]")
@click.option("--broker", help="The broker's URL. [default: what the index says about itself]")
@click.option("--upload-url", help="Where packages are uploaded, if the index does not say so itself.")
@click.option("--files-url", help="Where files are, if not beside the index's simple page.")
@click.option("--yes", is_flag=True, help="Do not ask; for scripts.")
def add(  # noqa: PLR0913  # one parameter an option
    url: str, *, name: str | None, broker: str | None, upload_url: str | None, files_url: str | None, yes: bool
) -> None:
    """Configure the index at URL for this user.

    Shows which broker will vouch for you there and where credentials will be sent, and asks before it writes.
    """
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise ConfigError(
            f"{redacted(url)} contains a user name or password",
            hint="leave them out, and revoke the password if it was shared",
        )
    if "://" not in url:
        shown = redacted(url) or "packages.example.com/simple/"
        raise UrlError("the URL does not start with https://", hint=f"indexpass add https://{shown}")
    index_url = IndexUrl.parse(url)
    known = None if broker else _known.find(index_url)
    if known:
        _say_known(known)
        return
    entry = _Entry(
        name=name or index_url.origin.host,
        url=index_url,
        broker=str(IndexUrl.parse(broker)).rstrip("/") if broker else "",
        upload_url=IndexUrl.parse(upload_url) if upload_url else None,
        files_url=IndexUrl.parse(files_url) if files_url else None,
    )
    if not broker:
        with waiting(f"asking {entry.url.origin} who its broker is"):
            entry = _discovered(entry)
    if not _NAME.fullmatch(entry.name):
        raise ConfigError(f"{entry.name!r} cannot be a name", hint="use letters, digits, dots, dashes: --name acme")
    path = locate(os.environ).user_file
    _refuse_known(entry, path)
    _show(entry)
    if not yes:
        require_yes(f"Write this to {path}?")
    _write(entry, path)
    Cache(locate(os.environ).credentials).forget_failures()  # a broker may be reachable again, or be another one now
    program = click.get_current_context().find_root().info_name  # "poetry indexpass" inside Poetry
    click.echo(f"Added {entry.name}. Next: {program} login {entry.name}", err=True)


def _say_known(index: Index) -> None:
    """Say that there is nothing to add. Raises ConfigError if the platform needs settings nevertheless."""
    needed = ", ".join(PLATFORMS[index.provider].needs)
    if needed:
        raise ConfigError(
            f"{index.url} is an index at {index.provider}, which needs settings: {needed}",
            hint=f"write an [[index]] table with them into {locate(os.environ).user_file}",
        )
    click.echo(f"{index.url} is known by its URL to be at {index.provider}: there is nothing to add.", err=True)
    click.echo(f"What clients get there: indexpass explain {index.url}", err=True)


def _discovered(entry: _Entry) -> _Entry:
    """Fill in what the index says about itself (RFC 9728); what the person said wins.

    The broker that it names has to say the same of itself (RFC 8414), and to keep its endpoints on its own host.
    """
    http = HttpClient()
    answer = http.get_json(_metadata.well_known_url(_metadata.RESOURCE_METADATA_PATH, entry.url))
    try:
        found = _metadata.ResourceMetadata.parse(answer, resource=entry.url)
        answer = http.get_json(_metadata.well_known_url(_metadata.METADATA_PATH, IndexUrl.parse(found.broker)))
        _metadata.Metadata.parse(answer, issuer=found.broker)
    except BrokerError as error:
        error.hint = f"name the broker yourself: indexpass add {entry.url} --broker https://…"
        raise
    return entry._replace(
        broker=found.broker,
        upload_url=entry.upload_url or found.upload_url,
        files_url=entry.files_url or found.files_url,
    )


def _refuse_known(entry: _Entry, path: Path) -> None:
    for index in _config.read_file(path):
        if index.name == entry.name or index.url == entry.url:
            raise ConfigError(
                f"{index.name!r} ({index.url}) is configured already",
                hint=f"edit or remove its [[index]] table in {path}, or choose another --name",
            )


def _show(entry: _Entry) -> None:
    rows = [("index", entry.url), ("broker", entry.broker), ("uploads", entry.upload_url), ("files", entry.files_url)]
    for label, value in rows:
        if value:
            click.echo(f"  {label:<8} {value}", err=True)
    if IndexUrl.parse(entry.broker).origin != entry.url.origin:
        click.secho(f"  The broker is another site than the index: do you know {entry.broker}?", fg="yellow", err=True)


def _write(entry: _Entry, path: Path) -> None:
    """Append the table and keep every other byte of the file. Raises ConfigError or StoreError."""
    import tomlkit

    table = tomlkit.table()
    table["name"] = entry.name
    table["url"] = str(entry.url)
    if entry.upload_url:
        table["upload-url"] = str(entry.upload_url)
    if entry.files_url:
        table["files-url"] = str(entry.files_url)
    table["broker"] = entry.broker
    try:
        place = path.resolve()  # a link into somebody's dotfiles stays a link
        document = tomlkit.parse(place.read_text(encoding="utf-8")) if place.exists() else tomlkit.document()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint=f"check: ls -ld {path.parent}") from error
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"{place.parent} cannot be made: {error.strerror}", hint="point INDEXPASS_HOME to a folder of yours"
        ) from error
    document.setdefault("index", tomlkit.aot()).append(table)
    write_whole(place, tomlkit.dumps(document).encode())
