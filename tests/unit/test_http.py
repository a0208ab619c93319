"""The way out, against a real server on loopback that behaves as badly as servers do."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from base64 import b64decode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest
import trustme

from indexpass._http import MAX_ANSWER_BYTES, HttpClient
from indexpass._model import Credential
from indexpass._secret import Secret
from indexpass.errors import BrokerError, BrokerMisbehaved, BrokerUnreachable, UrlError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CANARY = "canary-71be"
CREDENTIAL = Credential("us\u00e9r", Secret(CANARY), 0.0, None)
BRIEFLY = 0.5  # seconds, for exchanges that would otherwise never end


class Server(ThreadingHTTPServer):
    """Remembers what it was asked; each path is one way to answer."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.stopping = threading.Event()
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.paths: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """Say nothing: clients that hang up are what these tests are about."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    answers = {  # noqa: RUF012  # read only
        "/json": (200, {}, b'{"a": 1}'),
        "/empty": (200, {}, b""),
        "/html": (200, {"Content-Type": "text/html"}, b"<h1>Sign in to the proxy</h1>"),
        "/garbage": (200, {}, b"\xff\x00{"),
        "/deep": (200, {}, b"[" * 100_000),
        "/refused": (400, {}, b'{"error": "invalid_grant"}'),
        "/busy": (503, {"Retry-After": "120"}, b""),
        "/too-many": (429, {"Retry-After": "7"}, b"{}"),
        "/date": (503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, b""),
        "/negative": (503, {"Retry-After": "-1"}, b""),
        "/for-ever": (503, {"Retry-After": "9" * 400}, b""),
        "/other-digits": (503, {"Retry-After": "\xb2"}, b""),
        "/redirect": (302, {"Location": "/json"}, b""),
        "/redirect-for-good": (308, {"Location": "https://evil.test/"}, b""),
        "/whole": (200, {}, b'"' + b"x" * (MAX_ANSWER_BYTES - 2) + b'"'),
        "/oversized": (200, {}, b'"' + b"x" * (MAX_ANSWER_BYTES - 1) + b'"'),
    }

    def do_GET(self) -> None:
        self.server.headers.append(dict(self.headers))
        self.server.paths.append(self.path)
        self.server.bodies.append(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        if self.path in self.answers:
            status, headers, body = self.answers[self.path]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        else:
            self.close_connection = True
            getattr(self, f"misbehave_{self.path[1:].replace('-', '_')}")()

    do_POST = do_GET  # noqa: N815  # the name that http.server calls

    def do_HEAD(self) -> None:
        self.server.headers.append(dict(self.headers))
        self.server.paths.append(f"HEAD {self.path}")
        if self.path == "/silent":
            self.misbehave_silent()
        elif self.path == "/hang-up":
            self.misbehave_hang_up()
        else:
            self.send_response(302 if self.path == "/redirect" else 401)
            self.send_header("Location", "/json")
            self.end_headers()

    def misbehave_silent(self) -> None:
        self.server.stopping.wait()

    def misbehave_slow_headers(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not self.server.stopping.wait(0.02):
            self.wfile.write(b"x")

    def misbehave_slow_body(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not self.server.stopping.wait(0.02):
            self.wfile.write(b" ")

    def misbehave_endless_body(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not self.server.stopping.is_set():
            self.wfile.write(b"x" * 65_536)

    def misbehave_hang_up(self) -> None:
        self.connection.shutdown(socket.SHUT_RDWR)

    def misbehave_not_http(self) -> None:
        self.wfile.write(b"\x16\x03\x01 220 smtp.example ESMTP\r\n")

    def misbehave_half_a_body(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")

    def misbehave_false_gzip(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield from serve(server)


@pytest.fixture
def tls_server() -> Iterator[tuple[Server, trustme.CA]]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with Server() as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        for running in serve(server):
            yield running, authority


def serve(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.stopping.set()
    server.shutdown()
    thread.join()


@pytest.fixture
def client() -> HttpClient:
    return HttpClient()


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def test_an_answer_is_status_and_parsed_body(server: Server, client: HttpClient) -> None:
    assert client.get_json(f"{server.url}/json")[:3] == (200, {"a": 1}, None)


def test_a_refusal_is_an_answer_too(server: Server, client: HttpClient) -> None:
    assert client.get_json(f"{server.url}/refused")[:3] == (400, {"error": "invalid_grant"}, None)


@pytest.mark.parametrize("path", ["empty", "html", "garbage", "deep"])
def test_a_body_that_is_not_json_is_none(server: Server, client: HttpClient, path: str) -> None:
    assert client.get_json(f"{server.url}/{path}")[:3] == (200, None, None)


def test_a_form_is_posted_with_its_secrets_revealed(server: Server, client: HttpClient) -> None:
    client.post_form(f"{server.url}/json", {"grant_type": "x", "token": Secret("a&b=ü")})
    assert parse_qs(server.bodies[0].decode()) == {"grant_type": ["x"], "token": ["a&b=ü"]}


def test_we_say_who_we_are_and_that_we_want_json(server: Server, client: HttpClient) -> None:
    client.get_json(f"{server.url}/json")
    assert server.headers[0]["User-Agent"].startswith("indexpass/")
    assert server.headers[0]["Accept"] == "application/json"


@pytest.mark.parametrize(
    ("path", "status", "seconds"),
    [
        pytest.param("too-many", 429, 7.0, id="429"),
        pytest.param("busy", 503, 120.0, id="503"),
        pytest.param("date", 503, None, id="a-date"),
        pytest.param("negative", 503, None, id="negative"),
        pytest.param("for-ever", 503, 3600.0, id="at-most-an-hour"),
        pytest.param("other-digits", 503, None, id="other-digits"),
    ],
)
def test_retry_after_is_read_in_seconds(
    server: Server, client: HttpClient, path: str, status: int, seconds: float | None
) -> None:
    answer = client.get_json(f"{server.url}/{path}")
    assert (answer.status, answer.retry_after) == (status, seconds)


@pytest.mark.parametrize("path", ["redirect", "redirect-for-good"])
def test_a_redirect_is_not_followed(server: Server, client: HttpClient, path: str) -> None:
    with pytest.raises(BrokerMisbehaved, match="redirects"):
        client.post_form(f"{server.url}/{path}", {"token": Secret(CANARY)})
    assert server.paths == [f"/{path}"]


def test_an_answer_of_1_mib_is_read(server: Server, client: HttpClient) -> None:
    assert client.get_json(f"{server.url}/whole").body == "x" * (MAX_ANSWER_BYTES - 2)


@pytest.mark.parametrize("path", ["oversized", "endless-body"])
def test_an_answer_of_more_than_1_mib_is_given_up_on(server: Server, client: HttpClient, path: str) -> None:
    with pytest.raises(BrokerMisbehaved, match="more than 1 MiB"):
        client.get_json(f"{server.url}/{path}")


@pytest.mark.timeout(9)  # sooner than a silent socket is given up on anyway
@pytest.mark.parametrize("path", ["silent", "slow-headers"])
def test_a_server_that_never_answers_is_given_up_on(server: Server, path: str) -> None:
    with pytest.raises(BrokerUnreachable, match="did not answer in time"):
        HttpClient(total_seconds=BRIEFLY).get_json(f"{server.url}/{path}")


@pytest.mark.timeout(30)
def test_a_body_that_never_ends_is_given_up_on(server: Server) -> None:
    with pytest.raises(BrokerError):
        HttpClient(total_seconds=BRIEFLY).get_json(f"{server.url}/slow-body")


@pytest.mark.timeout(30)
def test_a_client_that_gave_up_can_ask_again(server: Server) -> None:
    client = HttpClient(total_seconds=BRIEFLY)
    with pytest.raises(BrokerUnreachable):
        client.get_json(f"{server.url}/silent")
    server.stopping.set()
    assert client.get_json(f"{server.url}/json").status == 200


@pytest.mark.parametrize("path", ["hang-up", "not-http", "half-a-body", "false-gzip"])
def test_an_answer_that_is_not_http_is_unreachable(server: Server, client: HttpClient, path: str) -> None:
    with pytest.raises(BrokerUnreachable, match="cannot be reached"):
        client.get_json(f"{server.url}/{path}")


def test_a_closed_port_is_unreachable_and_named(client: HttpClient) -> None:
    port = closed_port()
    with pytest.raises(BrokerUnreachable, match=f"http://127.0.0.1:{port} cannot be reached"):
        client.get_json(f"http://127.0.0.1:{port}/json")


def test_no_failure_repeats_the_path_the_query_or_the_form(server: Server, client: HttpClient) -> None:
    for url in (f"{server.url}/hang-up", f"{server.url}/redirect", f"http://127.0.0.1:{closed_port()}/{CANARY}"):
        with pytest.raises(BrokerError) as caught:
            client.post_form(f"{url}?q={CANARY}" if url.endswith(CANARY) else url, {"token": Secret(CANARY)})
        error = caught.value
        assert CANARY not in f"{error!r} {error.hint} {error.__cause__!r}"
        assert error.__suppress_context__ or error.__context__ is None


def test_nothing_is_logged_of_headers_and_form(
    server: Server, client: HttpClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client.post_form(f"{server.url}/json", {"token": Secret(CANARY)})
    assert CANARY not in caplog.text


def test_what_is_in_netrc_is_not_sent(
    server: Server, client: HttpClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login eve password {CANARY}\ndefault login eve password {CANARY}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    client.get_json(f"{server.url}/json")
    client.post_form(f"{server.url}/json", {})
    assert [headers.get("Authorization") for headers in server.headers] == [None, None]


def test_an_authorization_goes_with_the_one_request_that_it_is_given_to(server: Server, client: HttpClient) -> None:
    client.get_json(f"{server.url}/json", authorization=Secret("Bearer one"))
    client.post_form(f"{server.url}/json", {}, authorization=Secret("Basic two"))
    client.get_json(f"{server.url}/json")
    assert [headers.get("Authorization") for headers in server.headers] == ["Bearer one", "Basic two", None]


def test_a_user_name_in_the_url_is_not_sent(server: Server, client: HttpClient) -> None:
    client.get_json(f"{server.url.replace('//', '//eve:pw@')}/json")
    assert "Authorization" not in server.headers[0]


def test_a_proxy_that_is_down_is_named_as_the_cause(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(BrokerUnreachable, match="the proxy does not let us reach") as caught:
        client.get_json("http://127.0.0.1:9/json")
    assert "HTTPS_PROXY" in caught.value.hint


def test_a_certificate_of_nobody_is_refused_with_the_way_out(
    tls_server: tuple[Server, trustme.CA], client: HttpClient
) -> None:
    with pytest.raises(BrokerUnreachable, match="is not trusted") as caught:
        client.get_json(f"https://127.0.0.1:{tls_server[0].server_port}/json")
    assert "REQUESTS_CA_BUNDLE" in caught.value.hint


def test_a_certificate_of_the_company_is_accepted(
    tls_server: tuple[Server, trustme.CA], client: HttpClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, authority = tls_server
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    assert client.get_json(f"https://127.0.0.1:{server.server_port}/json").body == {"a": 1}


@pytest.mark.parametrize("url", ["http://a.example/", "file:///etc/passwd", "ftp://127.0.0.1/"])
def test_nothing_is_asked_beyond_https_and_loopback(client: HttpClient, url: str) -> None:
    with pytest.raises(UrlError):
        client.get_json(url)


@pytest.mark.parametrize(("path", "status"), [("simple/", 401), ("redirect", 302)])
def test_a_credential_is_tried_with_one_head_that_follows_nothing(
    server: Server, client: HttpClient, path: str, status: int
) -> None:
    answer = client.try_credential(f"{server.url}/{path}", CREDENTIAL)
    assert (answer.status, answer.body, server.paths) == (status, None, [f"HEAD /{path}"])


def test_the_headers_of_an_answer_to_a_tried_credential_are_kept_by_names_in_lower_case(
    server: Server, client: HttpClient
) -> None:
    assert client.try_credential(f"{server.url}/simple/", CREDENTIAL).headers["location"] == "/json"


def test_a_credential_is_tried_as_basic_in_utf_8(server: Server, client: HttpClient) -> None:
    client.try_credential(f"{server.url}/simple/", CREDENTIAL)
    sent = server.headers[0]["Authorization"].removeprefix("Basic ")
    assert b64decode(sent).decode() == f"us\u00e9r:{CANARY}"


@pytest.mark.timeout(9)
@pytest.mark.parametrize(("path", "message"), [("silent", "did not answer in time"), ("hang-up", "cannot be reached")])
def test_an_index_that_does_not_answer_is_given_up_on(server: Server, path: str, message: str) -> None:
    with pytest.raises(BrokerUnreachable, match=message) as caught:
        HttpClient(total_seconds=BRIEFLY).try_credential(f"{server.url}/{path}", CREDENTIAL)
    assert CANARY not in repr(caught.value)
