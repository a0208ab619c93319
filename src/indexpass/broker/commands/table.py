"""Tables on the terminal: columns as wide as they have to be, one of them cut where the line is too long.

What is shown may come from outside, so nothing in it is passed to the terminal but what can be seen. This module never
writes.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_GAP = "  "
_INDENT = "    "
_MIN_WIDTH = 8


def terminal_width() -> int | None:
    """Return how many columns a line may have; None where nobody looks at it but a program."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def render(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    cut: Sequence[int],
    width: int | None,
    right: Sequence[int] = (),
) -> list[str]:
    """Return the table's lines. Where they are wider than ``width``, the columns ``cut`` share what is left.

    The columns ``right`` are numbers.
    """
    table = [[visible(text) for text in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    if width is not None:
        excess = sum(widths) + len(_GAP) * (len(widths) - 1) - width
        for column in sorted(cut, key=lambda column: widths[column], reverse=True):
            given = min(max(0, excess), max(0, widths[column] - _MIN_WIDTH))
            widths[column] -= given
            excess -= given
    return [
        _GAP.join(
            text.rjust(width) if column in right else shortened(text, width).ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def indented(text: str, width: int | None) -> str:
    """Return the text as what belongs to the row above it: on several lines where it does not fit on one."""
    line = visible(text)
    return textwrap.fill(line, width or len(line) + len(_INDENT), initial_indent=_INDENT, subsequent_indent=_INDENT)


def shortened(text: str, width: int) -> str:
    """Return the text, or as much of it as fits with a sign that it goes on."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def visible(text: str) -> str:
    """Return the text with all that is not printable as escapes: a name must not move the cursor."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in text
    )
