"""Ends what a client never finishes: a request whose head or body does not come.

The server itself waits for ever for both, and who opens enough connections and says nothing would keep all others out.
This module never looks at what a request says, and never hurries an answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from anyio import move_on_after

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEAD_SECONDS = 20.0  # for all headers of a request; a client that can reach us at all needs a fraction of one
PAUSE_SECONDS = 60.0  # an upload may take as long as it likes, but no pause in it may be longer
_WITHOUT_BODY = {"GET", "HEAD"}
_TOO_SLOW: list[Message] = [
    {"type": "http.response.start", "status": 408, "headers": [(b"connection", b"close"), (b"content-length", b"0")]},
    {"type": "http.response.body", "body": b""},
]


class Connection(Protocol):
    """A connection of uvicorn's, as far as this module knows it. ``cycle`` is its latest request and answer."""

    transport: asyncio.Transport
    cycle: Cycle | None


class Cycle(Protocol):
    """One request and its answer."""

    response_complete: bool


class HeadDeadline:
    """Closes connections on which no request comes about. To be asked again and again, on the event loop."""

    def __init__(self, seconds: float = HEAD_SECONDS) -> None:
        """Know no connection yet."""
        self._seconds = seconds
        self._waiting: dict[Connection, tuple[Cycle | None, float]] = {}

    def close_overdue(self, connections: Iterable[Connection], now: float) -> None:
        """Close those that have waited for a request for too long; ``now`` is in seconds by any steady clock."""
        before, self._waiting = self._waiting, {}
        for connection in list(connections):
            cycle = connection.cycle
            if cycle is not None and not cycle.response_complete:
                continue
            latest, since = before.get(connection, (cycle, now))
            if latest is not cycle:  # it was busy in between
                since = now
            if now - since >= self._seconds:
                connection.transport.abort()
            else:
                self._waiting[connection] = cycle, since


class BodyDeadline:
    """An ASGI application in front of another: bodies that stop coming are answered with 408 (RFC 9110)."""

    def __init__(self, app: ASGIApp, seconds: float = PAUSE_SECONDS) -> None:
        """Wait so long for each next part of a body."""
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request. Those without a body, nearly all, are handed on as they are."""
        if scope["type"] != "http" or scope["method"] in _WITHOUT_BODY:
            await self._app(scope, receive, send)
            return
        body = _Body(receive, send, self._seconds)
        try:
            await self._app(scope, body.receive, body.send)
        except Exception:
            if not body.is_over:  # the application is told that the client is gone, and may well say so
                raise


class _Body:
    def __init__(self, receive: Receive, send: Send, seconds: float) -> None:
        self._receive = receive
        self._send = send
        self._seconds = seconds
        self._is_whole = False
        self._is_answered = False
        self.is_over = False

    async def receive(self) -> Message:
        if self._is_whole:  # all that can come is that the client goes away
            return await self._receive()
        with move_on_after(self._seconds):
            message = await self._receive()
            self._is_whole = not message.get("more_body", False)
            return message
        self.is_over = True
        if not self._is_answered:
            for part in _TOO_SLOW:
                await self._send(part)
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self._is_answered = True
        if not self.is_over:
            await self._send(message)
