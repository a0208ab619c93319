"""How HTTP is read: by uvicorn's fast parser, with an end to what a client may write around a body.

The parser itself holds as many headers and trailers as somebody sends. This module never looks at what they say.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024  # the largest headers of a proxy, cookies and all, are half of it


class BoundedHttp(HttpToolsProtocol):
    """One connection. It is closed once 64 KiB have come that neither were a body nor ended a request."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # as uvicorn has them
        """Have read nothing yet."""
        super().__init__(*args, **kwargs)
        self._head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Read on."""
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for the next request."""
        self._head_bytes = 0
        super().on_message_complete()
