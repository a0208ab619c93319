"""What stands in a JWT, read more strictly than JSON demands and believed by nobody yet.

A member that stands twice would be one value to us and another to whoever checked the token before us, so it is
refused. This module never verifies a signature.
"""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_TOKEN_LENGTH = 16 * 1024
MAX_LEVELS = 16  # of nested claims; the parser's own limit differs from one Python to the next
_PARTS = 3


class NotJwt(ValueError):
    """The text is not a signed JWT. The message contains nothing of it."""


def read_jwt(text: str) -> tuple[Mapping[str, object], Mapping[str, object]]:
    """Return header and claims as they stand there. Raises NotJwt."""
    if len(text) > MAX_TOKEN_LENGTH or not text.isascii():
        raise NotJwt("it is too large or not a JWT")
    parts = text.split(".")
    if len(parts) != _PARTS:
        raise NotJwt("it is not a JWT")
    return _read_part(parts[0]), _read_part(parts[1])


def _read_part(part: str) -> Mapping[str, object]:
    try:
        found = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)), object_pairs_hook=_without_duplicates)
    except NotJwt:
        raise
    except (binascii.Error, ValueError, RecursionError):
        raise NotJwt("it is not a JWT") from None
    if not isinstance(found, dict) or _is_deeper(found, MAX_LEVELS):
        raise NotJwt("it is not a JWT")
    return found


def _is_deeper(value: object, levels: int) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    members = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(member, levels - 1) for member in members)


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotJwt("something in it stands twice")
    return found
