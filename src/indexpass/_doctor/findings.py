"""A finding, and a list of them as people read it: one part, how it is, and the one line that mends it.

This module judges nothing and never writes.
"""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import click

from indexpass._table import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Verdict = Literal["ok", "note", "sign-in", "fault"]

EXIT_FAULT = 1
EXIT_SIGN_IN = 3
_COLOURS = {"ok": "green", "note": "yellow", "sign-in": "yellow", "fault": "red"}
_VERDICT_WIDTH = max(map(len, _COLOURS)) + 2
_MAX_PART_WIDTH = 16  # of 80 columns, most are for the message
_MIN_MESSAGE_WIDTH = 24


class Finding(NamedTuple):
    """One part, how it is, and what to do about it.

    A ``note`` keeps nothing from working, a ``sign-in`` nothing but the person, a ``fault`` something. The hint can be
    pasted or followed as it is.
    """

    part: str
    verdict: Verdict
    message: str
    hint: str = ""


def exit_code(findings: Sequence[Finding]) -> int:
    """Return 1 if there is a fault, 3 if only a sign-in is missing, else 0."""
    verdicts = {finding.verdict for finding in findings}
    if "fault" in verdicts:
        return EXIT_FAULT
    return EXIT_SIGN_IN if "sign-in" in verdicts else 0


def with_tilde(path: str) -> str:
    """Return the path with ~ for the home folder, as people read it."""
    try:
        home = f"{Path.home()}{os.sep}"
    except RuntimeError:  # a container may run as a user whom no file knows
        return path
    return f"~{os.sep}{path.removeprefix(home)}" if path.startswith(home) else path


def render(findings: Sequence[Finding], width: int | None) -> Iterator[str]:
    """Yield the table's lines, coloured; ``width`` is that of the terminal, None where nobody but a program looks.

    A message goes on in its column where the line is full. A hint never does: a line break would be pasted with it.
    """
    part_width = min(max((len(visible(finding.part)) for finding in findings), default=0), _MAX_PART_WIDTH) + 2
    indent = " " * (_VERDICT_WIDTH + part_width)
    for finding in findings:
        part = visible(finding.part)
        # A name that is longer than its column has the line to itself.
        lead = f"{part}\n{indent}" if len(part) > _MAX_PART_WIDTH else part.ljust(part_width)
        verdict = click.style(finding.verdict, fg=_COLOURS[finding.verdict])
        blanks = " " * (_VERDICT_WIDTH - len(finding.verdict))
        yield from f"{verdict}{blanks}{lead}{_folded(visible(finding.message), indent, width)}".split("\n")
        if finding.hint:
            yield f"{indent}{click.style(f'→ {visible(finding.hint)}', bold=True)}"


def _folded(text: str, indent: str, width: int | None) -> str:
    if width is None:
        return text
    room = max(width - len(indent), _MIN_MESSAGE_WIDTH)
    # Not at hyphens, and not in a word: paths and URLs are copied as well.
    lines = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
    return f"\n{indent}".join(lines)
