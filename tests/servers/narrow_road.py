"""A slow network: a proxy through which clients reach loopback, and what they send passes piece by piece.

``narrow_road(seconds)`` takes so long for each piece, and lets only one pass at a time, whoever sends it: eight clients
at once wait eight times as long. What servers answer passes at once. It speaks CONNECT (RFC 9110 section 9.3.6) and
understands nothing of what passes.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT_SECONDS = 60
_PIECE_BYTES = 64 * 1024


class NarrowRoad(socketserver.ThreadingTCPServer):
    """The proxy; ``environ`` makes clients take it."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, seconds: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._seconds = seconds
        self._lane = threading.Lock()
        self._closed = threading.Event()

    @property
    def environ(self) -> dict[str, str]:
        """The variables by which requests and urllib3 find a proxy, in both spellings."""
        url = f"http://127.0.0.1:{self.server_address[1]}"
        return {"HTTPS_PROXY": url, "https_proxy": url, "NO_PROXY": "", "no_proxy": ""}

    def let_one_pass(self) -> None:
        """Return when it is this piece's turn, and it has passed."""
        with self._lane:
            self._closed.wait(self._seconds)

    def close(self) -> None:
        """Let everything pass at once, and stop."""
        self._closed.set()
        self.shutdown()


class _Handler(socketserver.StreamRequestHandler):
    timeout = TIMEOUT_SECONDS

    def handle(self) -> None:
        road = cast("NarrowRoad", self.server)
        port = self.rfile.readline().split()[1].rpartition(b":")[2]
        while self.rfile.readline().strip():
            pass
        with suppress(OSError), socket.create_connection(("127.0.0.1", int(port)), TIMEOUT_SECONDS) as there:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=_copy, args=(there, self.connection), daemon=True)
            back.start()
            while piece := self.connection.recv(_PIECE_BYTES):
                road.let_one_pass()
                there.sendall(piece)
            there.shutdown(socket.SHUT_WR)
            back.join(TIMEOUT_SECONDS)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(_PIECE_BYTES):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def narrow_road(seconds: float) -> Iterator[NarrowRoad]:
    """Let clients take it meanwhile."""
    with NarrowRoad(seconds) as road:
        thread = threading.Thread(target=road.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield road
        finally:
            road.close()
            thread.join()
