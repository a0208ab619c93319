"""A proxy on loopback that is every host which a platform's library asks for, over TLS by an authority of the test's.

So a library is used as it is, with the host names that it has, and nothing leaves the machine. Each request is kept,
and answered by the function that the test gives, which may send it on to a server on loopback. Speaks CONNECT (RFC 9110
section 9.3.6) and plain requests for http.
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

import requests
import trustme

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import pytest

TIMEOUT_SECONDS = 60
_OF_ONE_CONNECTION = {"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"}


class Request(NamedTuple):
    """What a library sent: to which host, on which path, with which query, headers and body.

    ``target`` is path and query as they came.
    """

    method: str
    host: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    target: str

    @property
    def url(self) -> str:
        """What was asked for over TLS, without the query."""
        return f"https://{self.host}{self.path}"

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


def send_on(request: Request, place: str) -> Reply:
    """Return what the server at this URL answers to the request, as it came."""
    with requests.Session() as session:
        session.trust_env = False  # neither proxies nor .netrc
        with session.request(
            request.method,
            f"{place.rstrip('/')}{request.target}",
            data=request.body,
            headers={"accept-encoding": "identity", **request.headers},
            allow_redirects=False,
            timeout=TIMEOUT_SECONDS,
        ) as answer:
            headers = {name.title(): value for name, value in answer.headers.items()}
            kept = {name: value for name, value in headers.items() if name.lower() not in _OF_ONE_CONNECTION}
            return Reply(answer.status_code, answer.content, kept)


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

    @property
    def environ(self) -> dict[str, str]:
        """The variables by which programs take the way through it, and trust its authority."""
        ways = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"), self.url)
        trust = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "PIP_CERT", "GIT_SSL_CAINFO")
        return {**ways, **dict.fromkeys(trust, str(self.authority))}


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
            target=f"{parts.path}?{parts.query}" if parts.query else parts.path,
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
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_POST = do_GET  # noqa: N815  # the names that http.server looks for

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
def every_host(hosts: tuple[str, ...], folder: Path, reply: Callable[[Request], Reply]) -> Iterator[AnyHost]:
    """Be all ``hosts`` meanwhile, and those of http, for whoever goes by :attr:`AnyHost.environ`."""
    with AnyHost(hosts, folder, reply) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def being_every_host(
    monkeypatch: pytest.MonkeyPatch, folder: Path, reply: Callable[[Request], Reply], *, hosts: tuple[str, ...]
) -> Iterator[AnyHost]:
    """Be all ``hosts`` meanwhile, and those of http, for whoever goes by this process's environment."""
    with every_host(hosts, folder, reply) as server:
        for name in ("NO_PROXY", "no_proxy", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
            monkeypatch.delenv(name, raising=False)
        for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy", "REQUESTS_CA_BUNDLE"):
            monkeypatch.setenv(name, server.environ[name])
        yield server
