"""A server on loopback that sends whatever bytes a test wants, well-formed or not, and a proxy that tunnels or refuses.

``raw_server`` answers each request with its ``pieces``, one after the other, then hangs up. ``proxy`` speaks CONNECT
(RFC 9110 section 9.3.6). Both remember the first line of each request. Neither understands anything else of HTTP.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, cast

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_CHUNK_BYTES = 64 * 1024


class RawServer(socketserver.ThreadingTCPServer):
    """Sends ``pieces`` to whoever asks."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, handler: type[socketserver.StreamRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.asked: list[str] = []
        self.pieces: Iterable[bytes] = ()
        self.stopping = threading.Event()

    @property
    def netloc(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def url(self) -> str:
        """Where it is reached, over plain http."""
        return f"http://{self.netloc}"

    def trickle(self) -> Iterator[bytes]:
        """Begin an answer's headers, and never come to their end."""
        yield b"HTTP/1.1 200 OK\r\nX-Slow: "
        while not self.stopping.wait(0.05):
            yield b"x"

    def flood(self) -> Iterator[bytes]:
        """Begin an answer's body, and never come to its end."""
        yield b"HTTP/1.1 200 OK\r\n\r\n"
        while not self.stopping.is_set():
            yield b"x" * _CHUNK_BYTES


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server = cast("RawServer", self.server)
        server.asked.append(self.rfile.readline().decode().strip())
        while self.rfile.readline().strip():
            pass
        with suppress(OSError):  # clients that hang up are what these tests are about
            for piece in server.pieces:
                self.wfile.write(piece)


class _ProxyHandler(socketserver.StreamRequestHandler):
    """Sends ``pieces`` if there are any; else tunnels as asked."""

    def handle(self) -> None:
        server = cast("RawServer", self.server)
        line = self.rfile.readline().decode().strip()
        server.asked.append(line)
        while self.rfile.readline().strip():
            pass
        with suppress(OSError):
            for piece in server.pieces:
                self.wfile.write(piece)
                return
            host, _, port = line.split()[1].rpartition(":")
            with socket.create_connection((host, int(port)), timeout=10) as target:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_copy, args=(target, self.connection), daemon=True)
                back.start()
                _copy(self.connection, target)
                back.join(10)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK_BYTES):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def _running(handler: type[socketserver.StreamRequestHandler]) -> Iterator[RawServer]:
    with RawServer(handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.stopping.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def raw_server() -> Iterator[RawServer]:
    """A server that sends what a test puts into ``pieces``."""
    with _running(_Handler) as server:
        yield server


@pytest.fixture
def proxy() -> Iterator[RawServer]:
    """A proxy that tunnels, or refuses with what a test puts into ``pieces``."""
    with _running(_ProxyHandler) as server:
        yield server
