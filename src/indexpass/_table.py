"""Tables on the terminal: columns as wide as they have to be, one of them cut where the line is too long.

What is shown may come from outside, so nothing in it is passed to the terminal but what can be seen. Colours are always
in the lines; ``click.echo`` takes them out where nobody wants them. This module never writes.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

_GAP = "  "
_BARS = (("█", "░"), ("#", "."))
_INDENT = "    "
_MIN_WIDTH = 8


class Cell(NamedTuple):
    """A text in a colour: one of those that ``click.style`` knows by name."""

    text: str
    colour: str | None = None


def terminal_width() -> int | None:
    """Return how many columns a line may have; None where nobody looks at it but a program."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def render(
    head: Sequence[str],
    rows: Sequence[Sequence[str | Cell]],
    *,
    cut: Sequence[int],
    width: int | None,
    right: Sequence[int] = (),
) -> list[str]:
    """Return the table's lines. Where they are wider than ``width``, the columns ``cut`` share what is left.

    The columns ``right`` are numbers.
    """
    colours = [[cell.colour if isinstance(cell, Cell) else None for cell in row] for row in (head, *rows)]
    table = [[visible(cell.text if isinstance(cell, Cell) else cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    if width is not None:
        excess = sum(widths) + len(_GAP) * (len(widths) - 1) - width
        for column in sorted(cut, key=lambda column: widths[column], reverse=True):
            given = min(max(0, excess), max(0, widths[column] - _MIN_WIDTH))
            widths[column] -= given
            excess -= given
    return [
        _GAP.join(
            _padded(shortened(text, width), width, colour, is_right=column in right)
            for column, (text, width, colour) in enumerate(zip(row, widths, row_colours, strict=True))
        ).rstrip()
        for row, row_colours in zip(table, colours, strict=True)
    ]


def _padded(text: str, width: int, colour: str | None, *, is_right: bool) -> str:
    """Return the text in its column. Only the text is coloured, because a terminal may show coloured blanks."""
    blanks = " " * (width - len(text))
    shown = click.style(text, fg=colour) if colour and text else text
    return blanks + shown if is_right else shown + blanks


def indented(text: str, width: int | None) -> str:
    """Return the text as what belongs to the row above it: on several lines where it does not fit on one."""
    line = visible(text)
    return textwrap.fill(line, width or len(line) + len(_INDENT), initial_indent=_INDENT, subsequent_indent=_INDENT)


def bar(fraction: float, width: int) -> str:
    """Return a bar of which ``fraction`` is full, in characters that the terminal can show."""
    full, empty = next((pair for pair in _BARS if _is_encodable("".join(pair))), _BARS[-1])
    count = round(min(max(fraction, 0.0), 1.0) * width)
    return full * count + empty * (width - count)


def span(seconds: int) -> str:
    """Return how long that is, as people say it: to the unit that matters."""
    if seconds < 100:  # noqa: PLR2004  # to a minute and a half, seconds matter
        return f"{seconds} s"
    if seconds < 100 * 60:
        return f"{seconds // 60} min"
    if seconds < 48 * 3600:
        return f"{seconds // 3600} h {seconds // 60 % 60:02} min"
    return f"{seconds // (24 * 3600)} days"


def shortened(text: str, width: int) -> str:
    """Return the text, or as much of it as fits with a sign that it goes on."""
    sign = "…" if _is_encodable("…") else "~"
    return text if len(text) <= width else f"{text[: width - 1]}{sign}"


def visible(text: str) -> str:
    """Return the text, and as escapes what cannot be shown or is not printable: a name must not move the cursor."""
    return "".join(
        char
        if char.isprintable() and (char.isascii() or _is_encodable(char))
        else char.encode("unicode_escape", "surrogatepass").decode()
        for char in text
    )


def _is_encodable(text: str) -> bool:
    """Can stdout show the text?"""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
