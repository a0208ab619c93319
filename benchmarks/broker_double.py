"""A broker's double on loopback: says where its endpoints are, grants every exchange, and counts what it mints.

It checks nothing. Each token is another one, so that whoever got the same token got it from the same mint.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from indexpass._metadata import METADATA_PATH, Metadata
from indexpass._secret import Secret
from indexpass._wire import TokenAnswer

if TYPE_CHECKING:
    from collections.abc import Iterator

SLOW_SECONDS = 0.3  # whoever does not wait for the first mint has time to ask such a broker for a second
TOKEN_SECONDS = 3600  # fresh until long after the run


class BrokerDouble(ThreadingHTTPServer):
    """Listens on a free port of 127.0.0.1; each mint takes ``seconds``; ``mints`` have been granted so far."""

    daemon_threads = True
    request_queue_size = 128  # every process may knock at once

    def __init__(self, seconds: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._seconds = seconds
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.mints = 0
        self._lock = threading.Lock()

    def mint(self) -> TokenAnswer:
        with self._lock:
            self.mints += 1
            number = self.mints
        time.sleep(self._seconds)
        token = f"token-{number}-".ljust(900, "x")  # as long as a real one
        return TokenAnswer(Secret(token), expires_in=TOKEN_SECONDS, scope="pypi:read")

    def metadata(self) -> Metadata:
        return Metadata(
            issuer=self.url,
            token_endpoint=f"{self.url}/oauth/token",
            device_authorization_endpoint=f"{self.url}/oauth/device_authorization",
            revocation_endpoint=f"{self.url}/oauth/revoke",
            jwks_uri=f"{self.url}/jwks.json",
        )


class _Handler(BaseHTTPRequestHandler):
    server: BrokerDouble

    def do_GET(self) -> None:  # http.server's name
        if self.path == METADATA_PATH:
            self._answer(200, self.server.metadata().to_json())
        else:
            self._answer(404, {"error": "not_found"})

    def do_POST(self) -> None:  # http.server's name
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, self.server.mint().to_json())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's signature
        """Say nothing: the table is the output."""

    def _answer(self, status: int, body: dict[str, object]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def running_double(*, seconds: float) -> Iterator[BrokerDouble]:
    with BrokerDouble(seconds) as double:
        thread = threading.Thread(target=double.serve_forever, name="broker-double", daemon=True)
        thread.start()
        try:
            yield double
        finally:
            double.shutdown()
            thread.join()
