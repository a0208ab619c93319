"""Searches what a run left behind for the secrets that are known: as they are, quoted for a URL, and as HTTP Basic.

A search that finds nothing proves nothing unless it can find: the places where secrets belong are searched too, and
there each must be found.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from indexpass._secret import Secret

_TAIL_CHARS = 40  # the end of a JWT is its signature: as good as the whole, and found in truncated lines too


@dataclass(frozen=True, slots=True)
class Findings:
    """Where secrets were found outside of where they belong, and how much was searched."""

    leaks: tuple[str, ...]
    count: int


def search_files(folder: Path, secrets: Sequence[Secret], *, private: Iterable[Path]) -> Findings:
    """Search every file below ``folder`` that is not in a ``private`` folder."""
    needles = _needles(secrets)
    skipped = tuple(private)
    leaks: list[str] = []
    count = 0
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file() or any(place in path.parents for place in skipped):
            continue
        data = path.read_bytes()
        count += 1
        if any(needle in data for needle in needles):
            leaks.append(f"file {path.relative_to(folder)}")
    return Findings(tuple(leaks), count)


def search_texts(kind: str, texts: Iterable[str], secrets: Sequence[Secret]) -> Findings:
    """Search texts of one kind, such as command lines."""
    needles = _needles(secrets)
    leaks: list[str] = []
    count = 0
    for text in texts:
        data = text.encode()
        count += 1
        if any(needle in data for needle in needles):
            leaks.append(f"{kind} beginning {text[:20]!r}")
    return Findings(tuple(leaks), count)


def found_in(folder: Path, secrets: Sequence[Secret]) -> int:
    """Return how many of the secrets stand in the files below ``folder``, where they belong."""
    contents = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return sum(any(needle in data for data in contents for needle in _needles([secret])) for secret in secrets)


def _needles(secrets: Sequence[Secret]) -> tuple[bytes, ...]:
    needles: set[bytes] = set()
    for secret in secrets:
        value = secret.reveal()  # to look for it, and for nothing else
        tail = value[-_TAIL_CHARS:]
        needles |= {tail.encode(), quote(tail, safe="").encode()}
        # Base64 of "user:secret" shows the secret at one of three offsets; the ends depend on what stands beside it.
        for lead in range(3):
            encoded = base64.b64encode(b"-" * lead + value.encode())
            needles.add(encoded[4:-4][-_TAIL_CHARS:])
    return tuple(needle for needle in needles if needle)
