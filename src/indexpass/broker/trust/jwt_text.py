"""What stands in a JWT, read more strictly than JSON demands and believed by nobody yet.

A member that stands twice would be one value to us and another to whoever checked the token before us, so it is
refused. This module never verifies a signature.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_TOKEN_LENGTH = 16 * 1024
MAX_LEVELS = 16  # of nested claims; the parser's own limit differs from one Python to the next
_COMPACT = re.compile(r"([\w-]+)\.([\w-]+)\.([\w-]*)", re.ASCII)  # RFC 7515 section 7.1


class NotJwt(ValueError):
    """The text is not a signed JWT. The message contains nothing of it."""


class Jwt(NamedTuple):
    """Header and claims as they stand there; ``signature`` is made over ``signed``, both in bytes."""

    header: Mapping[str, object]
    claims: Mapping[str, object]
    signed: bytes
    signature: bytes


def read_jwt(text: str) -> Jwt:
    """Take the text apart. Raises NotJwt."""
    if len(text) > MAX_TOKEN_LENGTH:
        raise NotJwt("it is too large or not a JWT")
    parts = _COMPACT.fullmatch(text)
    if not parts:
        raise NotJwt("it is not a JWT")
    header, claims, signature = parts.groups()
    signed = text[: parts.end(2)].encode("ascii")
    return Jwt(_read_object(header), _read_object(claims), signed, _read_bytes(signature))


def _read_bytes(part: str) -> bytes:
    try:
        return urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise NotJwt("it is not a JWT") from None


def _read_object(part: str) -> Mapping[str, object]:
    try:
        found = _DECODER.decode(_read_bytes(part).decode())
    except NotJwt:
        raise
    except (ValueError, RecursionError):
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


_DECODER = json.JSONDecoder(object_pairs_hook=_without_duplicates)
