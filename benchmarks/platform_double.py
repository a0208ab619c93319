"""Doubles of the platforms that the peers ask, on one loopback port: each answers at once, as its platform documents.

They check nothing and hand out made-up tokens. None has a cost of its own worth measuring, so what is measured is the
peer.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "made-up-token".ljust(900, "x")  # as long as a real one
TOKEN_SECONDS = 3600


def unsigned_jwt(**claims: str) -> str:
    """Return a token that a client can decode, and that nobody would believe."""
    parts = (json.dumps(part).encode() for part in ({"alg": "none"}, claims))
    return ".".join([*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), "x"])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # http.server's name
        if self.path.startswith("http://"):  # asked as a proxy: Azure Artifacts, which names its authorities
            self._answer(
                401,
                {},
                {
                    "WWW-Authenticate": "Bearer authorization_uri=https://login.microsoftonline.com/made-up-tenant",
                    "X-VSS-AuthorizationEndpoint": "https://vssps.dev.azure.com/acme/",
                },
            )
        elif self.path.startswith("/computeMetadata/v1/instance/service-accounts/default/token"):
            self._answer(200, {"access_token": TOKEN, "expires_in": TOKEN_SECONDS, "token_type": "Bearer"})
        elif self.path.startswith("/computeMetadata/v1/instance/service-accounts/default/"):
            self._answer(200, {"aliases": ["default"], "email": "robot@acme.example", "scopes": []})
        elif self.path == "/computeMetadata/v1/project/project-id":
            self._answer(200, "acme")
        else:  # the metadata server's root, and Posit's index, which is asked whether a token is good
            self._answer(200, {})

    def do_POST(self) -> None:  # http.server's name
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path.startswith("/v1/authorization-token"):  # AWS CodeArtifact
            self._answer(200, {"authorizationToken": TOKEN, "expiration": time.time() + TOKEN_SECONDS})
        elif self.path == "/__api__/token":  # Posit Package Manager
            self._answer(200, {"access_token": TOKEN, "token_type": "Bearer", "expires_in": TOKEN_SECONDS})
        else:
            self._answer(404, {"error": "not_found"})

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's signature
        """Say nothing: the table is the output."""

    def _answer(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Type", "application/text" if isinstance(body, str) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def running_platforms() -> Iterator[str]:
    """Yield ``host:port`` of the doubles."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as double:
        double.daemon_threads = True
        thread = threading.Thread(target=double.serve_forever, name="platform-double", daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{double.server_port}"
        finally:
            double.shutdown()
            thread.join()
