"""Where a claim stands: by its name, or by a JSON pointer (RFC 6901) into claims that hold others.

This module reads claims; whether they are believed, and what they are good for, is decided elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_BAD_ESCAPE = re.compile(r"~(?![01])")
_ARRAY_INDEX = re.compile(r"0|[1-9][0-9]{0,3}")


def check_key(key: str) -> str:
    """Return the key of a claim. Raises ValueError if it is meant as a pointer and is none."""
    if key.startswith("/") and _BAD_ESCAPE.search(key):
        msg = "in a JSON pointer, ~ is written ~0 and a slash within a name ~1"
        raise ValueError(msg)
    return key


def find_claim(claims: Mapping[str, object], key: str) -> object:
    """Return the claim of this name, or what the pointer leads to; None where there is nothing."""
    if not key.startswith("/"):
        return claims.get(key)
    found: object = claims
    for part in key[1:].split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list):
            found = found[int(name)] if _ARRAY_INDEX.fullmatch(name) and int(name) < len(found) else None
        else:
            found = found.get(name) if isinstance(found, Mapping) else None
    return found
