"""``broker usage``: which packages and versions were fetched, by whom; so that old versions can be retired."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from indexpass import _table
from indexpass.broker.commands.folder import folder_argument
from indexpass.broker.commands.moments import parse_moment, shown
from indexpass.broker.settings import file as settings_file
from indexpass.broker.state.audit import rfc3339
from indexpass.broker.state.store import Store
from indexpass.broker.state.usage import Search

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from indexpass.broker.state.usage import Used

_HEAD = ("PROJECT", "VERSION", "WHO", "INDEX", "FETCHES", "LAST (UTC)")


def _parse_version(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        raise click.BadParameter(f"{text!r} is not a version, such as 2.0") from None


@click.command(name="usage", short_help="Show which versions were fetched, by whom, and when last.")
@folder_argument
@click.option("--index", metavar="NAME", help="From this index.")
@click.option("--project", metavar="NAME", help="Of this project.")
@click.option("--version", "exactly", type=_parse_version, metavar="VERSION", help="This version.")
@click.option("--older-than", type=_parse_version, metavar="VERSION", help="Versions before this one.")
@click.option("--who", metavar="NAME", help="By this person or workload.")
@click.option("--since", type=parse_moment, metavar="WHEN", help="On the day of WHEN or later: 90d, or 2026-11-22.")
@click.option(
    "--unused-since",
    type=parse_moment,
    metavar="WHEN",
    help="Versions that nobody has fetched since; WHO is how many had.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def usage(  # noqa: PLR0913  # one for each option
    folder: Path,
    *,
    index: str | None,
    project: str | None,
    exactly: Version | None,
    older_than: Version | None,
    who: str | None,
    since: float | None,
    unused_since: float | None,
    as_json: bool,
) -> None:
    """Show which versions were fetched through the broker in FOLDER, by whom, how often, and when last.

    Counted are requests for files, where broker.toml says usage = true. Who has a file in a cache asks for nothing.

    \b
    Example:
      indexpass broker usage ./broker --project acme-lib --older-than 2.0
      indexpass broker usage ./broker --unused-since 180d
    """  # noqa: D301  # click wants the character itself
    if unused_since is not None and (since is not None or who is not None):
        raise click.UsageError("--unused-since goes with neither --since nor --who: it is about everybody, ever")
    settings = settings_file.load(folder.absolute())
    search = Search(
        index=index,
        project=canonicalize_name(project) if project else None,
        version=str(exactly) if exactly else None,
        who=who,
        since=since,
    )
    with closing(Store(settings.database)) as store:
        found = search.by_person(store) if unused_since is None else search.by_version(store, unused_since=unused_since)
        chosen = (used for used in found if older_than is None or _is_older(used.version, older_than))
        _print(chosen, as_json=as_json)
    if not settings.running.has_usage:
        click.echo("Nothing is being counted: write usage = true into broker.toml.", err=True)


def _is_older(version: str, limit: Version) -> bool:
    return Version(version) < limit  # only versions that can be read are counted


def _print(found: Iterator[Used], *, as_json: bool) -> None:
    if as_json:
        for used in found:
            click.echo(json.dumps({**asdict(used), "last": rfc3339(used.last)}))
        return
    rows = [
        (used.project, used.version, str(used.who), used.index, str(used.times), shown(used.last))
        for used in sorted(found, key=lambda used: (used.project, Version(used.version), used.index))
    ]
    if not rows:
        click.echo("Nothing of the kind was fetched.", err=True)
        return
    head, *lines = _table.render(_HEAD, rows, cut=(2, 0), width=_table.terminal_width(), right=(4,))
    click.secho(head, bold=True)
    for line in lines:
        click.echo(line)
