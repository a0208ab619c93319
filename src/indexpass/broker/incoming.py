"""What every request brings, whoever answers it: its body, up to a limit, and the address that it came from.

This module never looks into a body, and never answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_TOKEN_REQUEST_BYTES = 64 * 1024  # the largest identity tokens seen have some 4 KiB


class TooLarge(Exception):
    """The body is larger than anybody needs it to be. The rest of it was not waited for."""


async def read_body(request: Request, at_most: int = MAX_TOKEN_REQUEST_BYTES) -> bytes:
    """Return the body. Raises TooLarge if it has more than so many bytes."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > at_most:
            raise TooLarge
    return bytes(body)


def address_of(request: Request) -> str:
    """Return the address that the request came from, or nothing if that is not known."""
    return request.client.host if request.client else ""
