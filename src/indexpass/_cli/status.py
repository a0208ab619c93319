"""``indexpass status``: every index, who I am there, and how old my credentials are. Asks nobody."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING

import click

from indexpass import _table
from indexpass._cache import Cache
from indexpass._cli.redrawing import redraw
from indexpass._cli.selection import chosen, complete_index, configured
from indexpass._locations import locate
from indexpass._resolve import default_context
from indexpass._standing import examine
from indexpass._waiting import is_redrawable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from indexpass._model import Context
    from indexpass._standing import Held, Standing

_COLOURS = {"fresh": "green", "usable": "yellow"}
_HEAD = ("INDEX", "WHO", "READ", "UPLOAD", "RENEWAL")
_MIN_WHO = 24  # columns: what would be cut further says nothing any more
_BAR = 10  # columns
WATCH_SECONDS = 2.0


@click.command(
    epilog="Examples:\n\n\b\n  indexpass status\n  indexpass status acme --json\n  indexpass status --watch\n"
    "  indexpass status acme --watch 10"
)
@click.argument("index", required=False, metavar="[INDEX]", shell_complete=complete_index)
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects instead of text.")
@click.option(
    "--watch",
    "watch_seconds",
    type=click.FloatRange(1, 3600),
    is_flag=False,
    flag_value=WATCH_SECONDS,
    metavar="[SECONDS]",
    help="Show it anew every 2 seconds, or as many as you say, until Ctrl-C.",
)
def status(index: str | None, *, as_json: bool, watch_seconds: float | None) -> None:
    """Show the configured indexes, who you are there, and what is held for them. No secret is shown.

    The bars are the part of its life that a credential has left. It is renewed by whoever asks for it after the time
    of its renewal, not by itself.
    """
    context = default_context()
    if watch_seconds is None:
        standings = _examine(index, context)
        for line in [json.dumps([_json(each) for each in standings], indent=2)] if as_json else _lines(standings):
            click.echo(line)
        return
    if as_json:
        raise click.UsageError("--watch shows a table: leave out --json, or run status --json in a loop of your own")
    if not is_redrawable(sys.stdout):
        raise click.UsageError("--watch needs a terminal; for a program, run status --json in a loop of its own")
    redraw(lambda: [*_lines(_examine(index, context)), "", _clock(watch_seconds)], every_seconds=watch_seconds)


def _examine(index: str | None, context: Context) -> list[Standing]:
    wanted = (chosen(index),) if index else configured()
    cache = Cache(locate(os.environ).credentials)
    return [examine(each, cache, context) for each in wanted]


def _clock(seconds: float) -> str:
    return click.style(f"{time.strftime('%H:%M:%S')}, again in {seconds:g} s. Ctrl-C ends it.", dim=True)


def _lines(standings: list[Standing]) -> list[str]:
    """Return the table, or where it does not fit or a program reads it, a few lines for each index."""
    width = _table.terminal_width()
    if width is not None:
        lines = _as_table(standings, width)
        if lines:
            return lines
    return [line for each in standings for line in _as_block(each, width)]


def _as_table(standings: list[Standing], width: int) -> list[str] | None:
    """Return the table's lines, or None if so much would have to be cut off that it says nothing."""
    rows = [_row(each) for each in standings]
    widths = [max(len(row[column]) for row in [_HEAD, *map(_plain, rows)]) for column in range(len(_HEAD))]
    widths[1] = min(widths[1], _MIN_WHO)
    if sum(widths) + 2 * len(widths) - 2 > width:
        return None
    head, *lines = _table.render(_HEAD, rows, cut=(1,), width=width)
    shown = [click.style(head, dim=True)]
    for each, line in zip(standings, lines, strict=True):
        shown.append(line)
        shown += [click.style(_table.indented(remark, width), fg="yellow") for remark in _remarks(each)]
    return shown


def _row(each: Standing) -> tuple[_table.Cell, ...]:
    return (
        _table.Cell(each.name),
        _table.Cell(each.identity or "nobody", None if each.identity else "yellow"),
        _table.Cell(_aged(each.read), _COLOURS.get(each.read.age)),
        _table.Cell(_aged(each.upload), _COLOURS.get(each.upload.age)),
        _table.Cell(_renewal(each)),
    )


def _plain(row: tuple[_table.Cell, ...]) -> list[str]:
    return [_table.visible(cell.text) for cell in row]


def _aged(held: Held) -> str:
    """Return a bar and the time left, or the one word for what has neither."""
    if held.age in {"none", "expired"}:
        return held.age
    return f"{_bar(held)} {_table.span(held.seconds_left)}" if held.seconds_left is not None else "fresh, for good"


def _bar(held: Held) -> str:
    return _table.bar((held.seconds_left or 0) / held.life_seconds if held.life_seconds else 1.0, _BAR)


def _renewal(each: Standing) -> str:
    """Say when the next credential is asked for, at the earliest."""
    held = [operation for operation in (each.read, each.upload) if operation.age in _COLOURS]
    if not held:
        return "at next use"
    coming = [operation.renews_in_seconds for operation in held if operation.renews_in_seconds is not None]
    if not coming:
        return "never"
    return f"in {_table.span(min(coming))}" if min(coming) > 0 else "at next use"


def _remarks(each: Standing) -> Iterator[str]:
    """Yield what stands below an index: what somebody has to know or to do."""
    if not each.identity:
        yield f"sign in: indexpass login {each.name}"
    for operation, held in (("read", each.read), ("upload", each.upload)):
        if held.failure:
            yield f"{operation}: last attempt failed: {held.failure}"
    if each.outlook:
        yield each.outlook


def _as_block(each: Standing, width: int | None) -> Iterator[str]:
    """Yield the lines for one index where there is no room for a table."""
    yield f"{click.style(_table.visible(each.name), bold=True)}  {each.url}"
    nobody = click.style(f"nobody: indexpass login {each.name}", fg="yellow")
    yield f"  identity  {_table.visible(each.identity) if each.identity else nobody}"
    for operation, held in (("read", each.read), ("upload", each.upload)):
        bar = f"  {_bar(held)}" if width is not None and held.seconds_left and held.age != "expired" else ""
        yield f"  {operation:<8}  {_words(held)}{bar}"
    if any(held.age in _COLOURS for held in (each.read, each.upload)):
        yield f"  renewal   {_renewal(each)}"
    if each.outlook:
        yield f"  outlook   {click.style(each.outlook, fg='yellow')}"


def _words(held: Held) -> str:
    words = click.style(held.age, fg=_COLOURS[held.age]) if held.age in _COLOURS else held.age
    if held.seconds_left and held.age != "expired":
        minutes, seconds = divmod(held.seconds_left, 60)
        words += f", {minutes // 60:02}:{minutes % 60:02}:{seconds:02} left"
    return f"{words} (last attempt failed: {held.failure})" if held.failure else words


def _json(each: Standing) -> dict[str, object]:
    return {**each._asdict(), "read": each.read._asdict(), "upload": each.upload._asdict()}
