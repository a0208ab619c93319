"""Takes our lines out of a text that somebody else has changed since, or says that this cannot be told."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from indexpass._changes.file import Change


def merge_lines(change: Change, current: str) -> str | None:
    """Return ``current`` without our lines; None if somebody else has changed those.

    None also if we have put a heading (``[…]``) there and somebody else lines that touch ours: without the heading they
    would mean another thing.
    """
    base, ours, theirs = (text.splitlines(keepends=True) for text in (change.after or "", change.before or "", current))
    edits = [(*edit, "ours") for edit in find_edits(base, ours)]
    edits += [(*edit, "theirs") for edit in find_edits(base, theirs)]
    edits.sort(key=lambda edit: edit[:2])
    merged: list[str] = []
    done, last, last_begin, has_heading = 0, "", 0, False
    for begin, end, lines, whose in edits:
        is_heading = whose == "ours" and any(line.lstrip().startswith("[") for line in base[begin:end])
        are_in_one_place = begin == end == done == last_begin  # nobody knows which comes first
        is_apart = begin > done or (begin == done and not (is_heading or has_heading or are_in_one_place))
        if last not in ("", whose) and not is_apart:
            return None
        merged += [*base[done:begin], *lines]
        done, last, last_begin, has_heading = end, whose, begin, is_heading
    return "".join([*merged, *base[done:]])


def find_edits(base: list[str], other: list[str]) -> Iterator[tuple[int, int, list[str]]]:
    """Yield which lines of ``base`` are other lines in ``other``: from, to, and what is there instead.

    A lock file has a hundred thousand lines, many of them alike, and to compare each with each would take minutes. So
    what both have in common at the beginning and at the end is left out, and of long texts what is frequent.
    """
    begin = _count_alike(base, other)
    end = _count_alike(base[begin:][::-1], other[begin:][::-1])
    matcher = difflib.SequenceMatcher(None, base[begin : len(base) - end], other[begin : len(other) - end])
    for tag, start, stop, other_start, other_stop in matcher.get_opcodes():
        if tag != "equal":
            yield begin + start, begin + stop, other[begin + other_start : begin + other_stop]


def _count_alike(one: list[str], other: list[str]) -> int:
    """Return how many lines at the beginning are the same."""
    pairs = zip(one, other, strict=False)
    return next((number for number, (mine, yours) in enumerate(pairs) if mine != yours), min(len(one), len(other)))
