"""A proxy on loopback that is every host which a platform's library asks for, over TLS by an authority of the test's.

So a library is used as it is, with the host names that it has, and nothing leaves the machine. Each request is kept,
and answered by the function that the test gives. Speaks CONNECT (RFC 9110 section 9.3.6) and plain requests for http.
"""

from __future__ import annotations

import json
import ssl
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, cast
from urllib.parse import parse_qs, urlsplit

import trustme

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import pytest


class Request(NamedTuple):
    """What a library sent: to which host, on which path, with which query, headers and body."""

    method: str
    host: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        """The body, if it is a form."""
        return {key: values[0] for key, values in parse_qs(self.body.decode()).items()}

    @property
    def json(self) -> dict[str, object]:
        """The body, if it is a JSON object."""
        found: dict[str, object] = json.loads(self.body)
        return found


class Reply(NamedTuple):
    """What the platform answers; ``body`` becomes JSON unless it is bytes."""

    status: int
    body: object
    headers: Mapping[str, str] = MappingProxyType({})


class AnyHost(ThreadingHTTPServer):
    """Answers for every host by ``reply``, and keeps what was asked."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, hosts: tuple[str, ...], folder: Path, reply: Callable[[Request], Reply]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reply = reply
        self.asked: list[Request] = []
        authority = trustme.CA()
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*hosts).configure_cert(self.tls)
        self.authority = folder / "any_host.pem"
        authority.cert_pem.write_to_path(self.authority)

    @property
    def url(self) -> str:
        """Where the proxy is."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    _tunnel = ""

    def do_CONNECT(self) -> None:
        self._tunnel = self.path.rpartition(":")[0]
        self.send_response(200)
        self.end_headers()
        self.connection = cast("AnyHost", self.server).tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)  # type: ignore[assignment]
        self.close_connection = False

    def do_GET(self) -> None:
        server = cast("AnyHost", self.server)
        parts = urlsplit(self.path)
        request = Request(
            method=self.command,
            host=self._tunnel or parts.hostname or "",
            path=parts.path,
            query={key: values[0] for key, values in parse_qs(parts.query).items()},
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(int(self.headers.get("Content-Length", "0"))),
        )
        server.asked.append(request)
        reply = server.reply(request)
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815  # the name that http.server looks for

    def finish(self) -> None:
        super().finish()
        self.connection.close()

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # a client that hangs up
            self.close_connection = True

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@contextmanager
def being_every_host(
    monkeypatch: pytest.MonkeyPatch, folder: Path, reply: Callable[[Request], Reply], *, hosts: tuple[str, ...]
) -> Iterator[AnyHost]:
    """Be all ``hosts`` meanwhile, and those of http, for whoever goes by the environment."""
    server = AnyHost(hosts, folder, reply)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, server.url)
    for name in ("NO_PROXY", "no_proxy", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.authority))
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
