"""Which line of a TOML file says this? For errors only: the parser keeps no lines.

This module reads lines as people write them. In a text over several lines that looks like TOML itself it can be wrong,
and no value is ever taken from here.
"""

from __future__ import annotations

import re
from collections import Counter

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"\s*([^=#\[\]{}]+?)\s*=")
_PLACE = re.compile(r"\[\[?([^\]]+)\]\]?(?: ([0-9]+))?")


def find_line(text: str, where: str, key: str) -> int:
    """Return the number of the line that sets ``key`` in the table ``where``: ``[[index]] 2``, ``[name]`` or "".

    Of a key such as ``claims.ref`` the first part counts. Where the key is missing, it is the line that begins the
    table, or 1.
    """
    place = _PLACE.fullmatch(where)
    table, number = (place[1], int(place[2] or 1)) if place else ("", 1)
    first = key.partition(".")[0]
    counts = Counter({"": 1})
    begin, is_inside = 1, not table
    for line_number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.match(line)
        if header:
            name = _plain(header[2])
            counts[name] += 1
            is_inside = name == table and counts[table] == number
            if is_inside:
                begin = line_number
            elif name.startswith(f"{table}.{first}") and counts[table] == number:
                return line_number
        elif is_inside and (found := _KEY.match(line)) and _plain(found[1]).partition(".")[0] == first:
            return line_number
    return begin


def _plain(key: str) -> str:
    return key.replace('"', "").replace("'", "")
