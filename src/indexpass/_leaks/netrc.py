"""Finds passwords in a ``.netrc``, which pip, uv, Poetry and curl send to a host before anyone asks keyring.

The file is for all programs, so only what concerns package indexes is told: the hosts of configured indexes, and tokens
that tell by their beginning what they are. The rest is masked wherever a part of the file is shown.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from indexpass._leaks.kinds import name_kind
from indexpass._leaks.leak import Edit, Sighting
from indexpass._leaks.values import is_password

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|\S+')
_BEGINNINGS = ("machine", "default", "macdef")
_REST_OF_LINE = re.compile(r"[^\S\n]*(?:\n|\Z)")
_END_OF_MACRO = re.compile(r"\r?\n[ \t]*\r?\n")


def find_in_netrc(text: str, hosts: Collection[str]) -> Iterator[Sighting]:
    """Yield each password; those for other hosts than ``hosts`` only to be masked."""
    for words in _entries(text):
        machine, user, password = _read_entry(words)
        if password is None or not is_password(password[0].strip('"')):
            continue
        is_ours = machine.lower() in hosts or name_kind(password[0].strip('"')) is not None
        start, end = words[0].start(), _end_of_entry(text, max(word.end() for word in words))
        yield Sighting(
            "password-in-file",
            password.start() + password[0].startswith('"'),
            password.end() - password[0].endswith('"'),
            host=machine,
            user=user,
            edit=Edit(start, end, ""),
            is_other=not is_ours,
        )


def _entries(text: str) -> Iterator[list[re.Match[str]]]:
    """Yield the words of each entry, from its ``machine`` or ``default`` on; comments and macros are left out."""
    words: list[re.Match[str]] = []
    place = 0
    while word := _WORD.search(text, place):
        place = word.end()
        if word[0] in _BEGINNINGS:
            if words:
                yield words
            words = [word]
            if word[0] == "macdef":
                macro_end = _END_OF_MACRO.search(text, place)
                place, words = (macro_end.end() if macro_end else len(text)), []
        elif word[0].startswith("#") and not (words and words[-1][0] in ("login", "password", "account", "machine")):
            end = text.find("\n", place)
            place = len(text) if end < 0 else end
        elif words:
            words.append(word)
    if words:
        yield words


def _read_entry(words: list[re.Match[str]]) -> tuple[str, str, re.Match[str] | None]:
    """Return machine, login and the place of the password. What is named twice counts the last time."""
    machine = user = ""
    password = None
    rest = iter(words)
    for word in rest:
        if word[0] == "machine":
            found = next(rest, None)
            machine = found[0].strip('"') if found else ""
        elif word[0] in ("login", "user"):
            found = next(rest, None)
            user = found[0].strip('"') if found else ""
        elif word[0] == "password":
            password = next(rest, None) or password
        elif word[0] == "account":
            next(rest, None)
    return machine, user, password


def _end_of_entry(text: str, place: int) -> int:
    """Return the beginning of the next line if nothing but space stands before it, else the place itself."""
    rest = _REST_OF_LINE.match(text, place)
    return rest.end() if rest else place
