"""A server on loopback that answers by a function: what doubles of platforms, brokers and indexes are made of.

It keeps what it was asked, and fails when it is told to. It says in each answer that it is a double. It speaks plain
http, bounds what it reads, and never leaves the machine.
"""

from __future__ import annotations

import base64
import binascii
import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, cast
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from typing_extensions import Self

MAX_BODY_BYTES = 1024 * 1024
_SILENCE_SECONDS = 10.0  # a client that stops in the middle of a request
_STOP_SECONDS = 10.0
_TICK_SECONDS = 0.02  # how soon a server notices that it is to stop


class Request(NamedTuple):
    """What a double was asked. ``path`` is percent-decoded; ``headers`` have names in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> Mapping[str, str]:
        """The body, if it is a form; nothing of a parameter that stands twice but the first."""
        return _first_values(self.body.decode(errors="replace"))

    @property
    def json(self) -> Mapping[str, object]:
        """The body, if it is a JSON object; else nothing."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def basic(self) -> tuple[str, str] | None:
        """User name and password, if the request carries them (RFC 7617); else None."""
        scheme, _, encoded = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            username, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return (username, password) if colon else None

    def __repr__(self) -> str:
        """Show what was asked for, and nothing that may be a secret."""
        return f"Request({self.method} {self.path})"


class Reply(NamedTuple):
    """What a double answers: ``body`` is sent as it is if it is bytes, as a page if it is text, else as JSON.

    It comes after ``delay_seconds``. If it ``is_cut_off``, the connection is closed instead.
    """

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = MappingProxyType({})
    delay_seconds: float = 0.0
    is_cut_off: bool = False

    @classmethod
    def refused(cls, error: str = "access_denied", description: str = "the double was told to say no") -> Reply:
        """Return a refusal as OAuth words it (RFC 6749 section 5.2)."""
        return cls(400, {"error": error, "error_description": description})

    @classmethod
    def throttled(cls, seconds: int) -> Reply:
        """Return the answer that asks to come back after so many seconds (RFC 6585 section 4)."""
        return cls(429, {"error": "slow_down"}, {"Retry-After": str(seconds)})

    @classmethod
    def away(cls) -> Reply:
        """Return what a client sees of a server that goes away in the middle of a request."""
        return cls(is_cut_off=True)


class FakePlatform:
    """A server on a free port of loopback while its ``with`` block lasts; ``asked`` are the requests that it had.

    ``answer`` is called on a thread of each request; a double of a platform passes a method of its own.
    """

    def __init__(self, answer: Callable[[Request], Reply]) -> None:
        """Begin nothing yet."""
        self.asked: list[Request] = []
        self._answer = answer
        self._failure: Reply | None = None
        self._failures_left = 0
        self._counting = threading.Lock()
        self._closing = threading.Event()
        self._running: tuple[_Server, threading.Thread] | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """The origin, such as ``http://127.0.0.1:49152``. Raises RuntimeError before the ``with`` block begins."""
        if not self._port:
            msg = "a double has no URL before its with block begins"
            raise RuntimeError(msg)
        return f"http://127.0.0.1:{self._port}"

    def fail(self, reply: Reply, *, times: int | None = None) -> None:
        """Answer the next ``times`` requests by ``reply``, whatever they ask; without a number, all of them."""
        with self._counting:
            self._failure, self._failures_left = reply, -1 if times is None else times

    def recover(self) -> None:
        """Answer again as if nothing had been ordered."""
        self.fail(Reply(), times=0)

    def take(self, request: Request) -> Reply:
        """Keep the request, and return what is to be answered."""
        with self._counting:
            self.asked.append(request)
            failure = self._failure if self._failures_left else None
            self._failures_left -= 1 if failure and self._failures_left > 0 else 0
        reply = failure or self._answer(request)
        if reply.delay_seconds:
            self._closing.wait(reply.delay_seconds)
        return reply

    def __enter__(self) -> Self:
        """Take a free port, and begin to answer."""
        self._closing.clear()
        server = _Server(self)
        self._port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(_TICK_SECONDS,), daemon=True)
        thread.start()
        self._running = (server, thread)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, also where an answer is still being waited for; the URL stays, and nobody is there."""
        if self._running:
            server, thread = self._running
            self._closing.set()
            server.shutdown()
            thread.join(_STOP_SECONDS)
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, platform: FakePlatform) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.platform = platform

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # that of http.server asks a name server who we are
        self.server_name, self.server_port = "127.0.0.1", self.socket.getsockname()[1]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _SILENCE_SECONDS

    def do_GET(self) -> None:
        platform = cast("_Server", self.server).platform
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES or "Transfer-Encoding" in self.headers:
            self._send(Reply(413, "a double takes 1 MiB at most, and has to be told how much comes"))
            return
        parts = urlsplit(self.path)
        request = Request(
            method=self.command,
            path=unquote(parts.path),
            query=_first_values(parts.query),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(int(length)),
        )
        self._send(platform.take(request))

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815  # the names that http.server looks for

    def _send(self, reply: Reply) -> None:
        self.close_connection = True
        if reply.is_cut_off:
            return
        body, kind = _encoded(reply.body)
        self.send_response(reply.status)
        for name, value in {"Content-Type": kind, **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def version_string(self) -> str:
        """Say what this is: nobody is to take it for the real thing."""
        return "indexpass.testing (a double)"

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # a client that has hung up
            self.close_connection = True

    def log_message(self, *_words: object) -> None:
        """Say nothing: what is asked may carry secrets."""


def _encoded(body: object) -> tuple[bytes, str]:
    if isinstance(body, bytes):
        return body, "application/octet-stream"
    if isinstance(body, str):
        return body.encode(), "text/html; charset=utf-8"
    return (b"" if body is None else json.dumps(body).encode()), "application/json"


def _first_values(text: str) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(text, keep_blank_values=True).items()}
