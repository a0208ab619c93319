"""``broker audit``: what was decided, from the database. It reads; nothing here changes or removes an entry."""

from __future__ import annotations

import json
import re
import time
from contextlib import closing
from hashlib import sha256
from typing import TYPE_CHECKING, BinaryIO

import click

from indexpass import _table
from indexpass.broker.commands.folder import folder_argument
from indexpass.broker.commands.moments import parse_moment, shown
from indexpass.broker.settings import file as settings_file
from indexpass.broker.state.audit import Search
from indexpass.broker.state.store import Store
from indexpass.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from indexpass.broker.state.audit import Entry

DEFAULT_ROWS = 50
FOLLOW_SECONDS = 1.0
SETTLED_SECONDS = 60.0  # entries of two brokers may appear in another order than their times, by less than this
ROWS_IN_TABLE = 500  # columns are as wide as so many rows need them
_MAX_TOKEN_BYTES = 16 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HEAD = ("TIME (UTC)", "RESULT", "EVENT", "WHO", "WHAT")


@click.command(name="audit", short_help="Show what was decided: who, what, by which policy, why not.")
@folder_argument
@click.option("--since", type=parse_moment, metavar="WHEN", help="Not before: 2h, 30d, or 2026-11-22T10:00Z (UTC).")
@click.option("--until", type=parse_moment, metavar="WHEN", help="Before then.")
@click.option("--who", metavar="NAME", help="By or about this person, workload or @operator.")
@click.option("--index", metavar="NAME", help="On this index.")
@click.option("--event", metavar="EVENT", help="Such as sign-in, session-exchange, identity-exchange.")
@click.option("--result", type=click.Choice(["granted", "denied"]), help="How it went.")
@click.option("--policy", metavar="NAME", help="Granted by this policy.")
@click.option("--token-sha256", metavar="HEX", help="For the token with this SHA-256.")
@click.option("--token-file", type=click.File("rb"), metavar="FILE", help="For the token in FILE; - is standard input.")
@click.option(
    "--limit", type=click.IntRange(1, 1_000_000), metavar="N", help=f"The newest N.  [default: {DEFAULT_ROWS}]"
)
@click.option("--all", "wants_all", is_flag=True, help="All there are, oldest first.")
@click.option("--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, with all that is known.")
def audit(  # noqa: PLR0913  # one for each option
    folder: Path,
    *,
    token_sha256: str | None,
    token_file: BinaryIO | None,
    limit: int | None,
    wants_all: bool,
    follow: bool,
    as_json: bool,
    **asked: str | float | None,
) -> None:
    """Show what the broker in FOLDER has decided: who, what, by which policy, and why not.

    A token that has leaked is found by its SHA-256, which --token-file computes: the token itself is kept nowhere.

    \b
    Example:
      indexpass broker audit ./broker --since 2h --result denied
      indexpass broker audit ./broker --who alice --since 30d --all --json
      indexpass broker audit ./broker --token-file leaked.txt
    """  # noqa: D301  # click wants the character itself
    if wants_all and (follow or limit):
        raise click.UsageError("--all goes with neither --follow nor --limit")
    search = Search(**asked, token_sha256=_fingerprint(token_sha256, token_file))  # type: ignore[arg-type]  # click has checked them
    with closing(Store(settings_file.load(folder.absolute()).database)) as store:
        if wants_all:
            found = (entry for _, entry in search.oldest_first(store))
            _print(found, as_json=as_json)
            return
        newest = search.newest(store, limit or DEFAULT_ROWS)
        _print((entry for _, entry in newest), as_json=as_json)
        if follow:
            for entry in follow_entries(search, store, {row_id: entry.time for row_id, entry in newest}):
                _print([entry], as_json=as_json, has_head=False)


def _fingerprint(text: str | None, file: BinaryIO | None) -> str | None:
    if file is None:
        if text is not None and not _SHA256.fullmatch(text):
            raise ConfigError(
                "--token-sha256 takes 64 hexadecimal digits", hint="or name a file with the token: --token-file FILE"
            )
        return text
    if text is not None:
        raise click.UsageError("--token-file and --token-sha256 exclude each other")
    token = file.read(_MAX_TOKEN_BYTES + 1).strip()
    if not token or len(token) > _MAX_TOKEN_BYTES or b"\n" in token:
        raise ConfigError("the file does not hold one token", hint="put the token, and nothing else, into the file")
    return sha256(token).hexdigest()


def follow_entries(
    search: Search,
    store: Store,
    seen: dict[int, float],
    *,
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Entry]:
    """Yield entries as they come, without end, but not the rows of ``seen``: their times by number."""
    while True:
        sleep(FOLLOW_SECONDS)
        begin = now() - SETTLED_SECONDS
        seen = {row_id: decided_at for row_id, decided_at in seen.items() if decided_at >= begin}
        for row_id, entry in search.after(begin).oldest_first(store):
            if row_id not in seen:
                seen[row_id] = entry.time
                yield entry


def _print(entries: Iterable[Entry], *, as_json: bool, has_head: bool = True) -> None:
    if as_json:
        for entry in entries:
            click.echo(json.dumps(entry.to_json()))
        return
    width = _table.terminal_width()
    page: list[Entry] = []
    for entry in entries:
        page.append(entry)
        if len(page) == ROWS_IN_TABLE:
            _print_page(page, width, has_head=has_head)
            page, has_head = [], False
    if page:
        _print_page(page, width, has_head=has_head)
    elif has_head:
        click.echo("Nothing of the kind was decided.", err=True)


def _print_page(page: list[Entry], width: int | None, *, has_head: bool) -> None:
    head, *lines = _table.render(_HEAD, [_row(entry) for entry in page], cut=(4, 3), width=width)
    if has_head:
        click.secho(head, bold=True)
    for entry, line in zip(page, lines, strict=True):
        click.secho(line, fg="red" if entry.result == "denied" else None)
        if entry.reason:
            click.echo(_table.indented(entry.reason, width))


def _row(entry: Entry) -> tuple[str, ...]:
    what = " ".join(filter(None, (entry.operation, entry.index, entry.about)))
    return shown(entry.time), entry.result, entry.event, entry.who or "-", what or f"from {entry.address}"
