"""The Bearer challenge of an index that does not take a token: built by the broker, read by the client.

RFC 6750 section 3, and RFC 9110 section 11.6.1 for the header that may hold it among others. This module does no I/O
and believes nothing that it reads.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Why an index does not take a token: the ``error_description`` of its challenge. Clients compare the whole text, so the
# wording is part of the protocol.
TOKEN_EXPIRED = "the token has expired"  # noqa: S105  # what happened to one
TOKEN_REVOKED = "the token was revoked"  # noqa: S105  # likewise
TOKEN_UNKNOWN = "the token is not one of this broker"  # noqa: S105  # likewise
TOKEN_ELSEWHERE = "the token is for another index"  # noqa: S105  # likewise
TOKEN_OTHER_PROJECTS = "the token is for other projects of this index"  # noqa: S105  # likewise
URL_UNGUARDED = "this URL belongs to no index of this broker"
_MAX_CHALLENGE_LENGTH = 4096
# One word of WWW-Authenticate: a scheme, or a parameter with its value quoted or bare (RFC 9110 section 11.6.1).
_CHALLENGE_WORD = re.compile(r"""([\w!#$%&'*+.^`|~-]+)(?:\s*(=)\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?""", re.ASCII)


def bearer_challenge(parameters: Mapping[str, str]) -> str:
    """Return the challenge (RFC 6750 section 3); the values hold neither quotes nor backslashes."""
    return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in parameters.items())


def bearer_parameters(header: str) -> dict[str, str]:
    """Return the parameters of the Bearer challenge in ``WWW-Authenticate``, which may hold several challenges.

    Nothing is believed of a header that is longer than any honest one. Values are as the server wrote them: compare
    or parse them, and never show them.
    """
    found: dict[str, str] = {}
    scheme = ""
    for name, equals, quoted, bare in _CHALLENGE_WORD.findall(header if len(header) <= _MAX_CHALLENGE_LENGTH else ""):
        if not equals:
            scheme = name.lower()
        elif scheme == "bearer":
            found.setdefault(name.lower(), quoted or bare)
    return found
