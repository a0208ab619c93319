"""Signing, through a real session against a real server on loopback."""

from __future__ import annotations

import base64
import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from indexpass._model import Credential
from indexpass._secret import Secret
from indexpass.poetry_plugin.signing import sign_session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from requests import PreparedRequest, Response


def basic(secret: str, user: str = "__token__") -> str:
    return f"Basic {base64.b64encode(f'{user}:{secret}'.encode()).decode()}"


def secret_in(authorization: str) -> str:
    return base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")[2]


class Server(ThreadingHTTPServer):
    """Answers 302 where told to, else 200 for an accepted secret and 401 for anything else."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.accepted = {"first"}
        self.redirects: dict[str, str] = {}
        self.seen: list[tuple[str, str | None, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def other_host(self) -> str:
        """The same server under a name that requests takes for another host."""
        return f"http://localhost:{self.server_port}"

    def authorizations(self, path: str) -> list[str | None]:
        return [authorization for seen, authorization, _ in self.seen if seen == path]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        authorization = self.headers.get("Authorization")
        self.server.seen.append((self.path, authorization, body))
        if self.path in self.server.redirects:
            self.send_response(302)
            self.send_header("Location", self.server.redirects[self.path])
        elif authorization and secret_in(authorization) in self.server.accepted:
            self.send_response(200)
        else:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="index"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET  # noqa: N815  # the name that http.server calls

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Broker:
    """Stands in for ``answer``: knows what is ours, and replaces a refused secret by the next."""

    def __init__(self) -> None:
        self.secrets = {"/simple/": ["first", "second", "third"]}
        self.origin = ""
        self.username = "__token__"
        self.gives_up_the_refused = True
        self.refused: list[Secret] = []

    def __call__(self, url: str, *, refused: Secret | None = None) -> Credential | None:
        for folder, secrets in self.secrets.items():
            if url.startswith(self.origin + folder):
                if refused == Secret(secrets[0]):
                    self.refused.append(refused)
                    if len(secrets) == 1:
                        return None
                    if self.gives_up_the_refused:
                        del secrets[0]
                return Credential(self.username, Secret(secrets[0]), 0.0, None)
        return None


class Words:
    """Stands in for ``Refusals``: remembers what it was told of, and whether another credential was ready."""

    def __init__(self) -> None:
        self.is_hopeless = False
        self.told: list[tuple[int, str, bool]] = []

    def is_final(self, response: Response, credential: Credential) -> bool:  # noqa: ARG002  # the real one's shape
        return self.is_hopeless

    def tell(self, response: Response, credential: Credential, *, has_another: bool = False) -> None:
        self.told.append((response.status_code, credential.secret.reveal(), has_another))


class Warned:
    """Stands in for the warning about files that carry a credential: counts how often it was asked for."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.fixture
def warned() -> Warned:
    return Warned()


@pytest.fixture
def words() -> Words:
    return Words()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def broker(server: Server) -> Broker:
    broker = Broker()
    broker.origin = server.url
    return broker


@pytest.fixture
def session(
    broker: Broker, words: Words, warned: Warned, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[requests.Session]:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with requests.Session() as session:
        sign_session(session, answer=broker, refusals=words, warn=warned)
        yield session


def test_a_request_to_an_index_carries_its_credential(server: Server, session: requests.Session) -> None:
    session.get(f"{server.url}/simple/demo/")
    assert server.authorizations("/simple/demo/") == [basic("first")]


def test_a_request_to_any_other_url_carries_nothing(server: Server, session: requests.Session) -> None:
    session.get(f"{server.url}/elsewhere/")
    assert server.authorizations("/elsewhere/") == [None]


def test_a_user_name_beyond_latin_1_is_sent_as_utf_8(server: Server, session: requests.Session, broker: Broker) -> None:
    broker.username = "Łukasz"
    session.get(f"{server.url}/simple/")
    assert server.authorizations("/simple/") == [basic("first", user="Łukasz")]


def test_credentials_of_the_clients_own_win(server: Server, session: requests.Session) -> None:
    session.get(f"{server.url}/simple/", auth=("own", "other"))
    assert server.authorizations("/simple/") == [basic("other", user="own")]


def test_refused_credentials_of_the_clients_own_are_not_replaced_by_ours(
    server: Server, session: requests.Session, broker: Broker
) -> None:
    session.get(f"{server.url}/simple/", auth=("own", "wrong"))
    assert (server.authorizations("/simple/"), broker.refused) == ([basic("wrong", user="own")], [])


def test_a_user_name_in_the_url_still_counts(server: Server, session: requests.Session) -> None:
    session.get(f"{server.url.replace('://', '://own:other@')}/simple/")
    assert server.authorizations("/simple/") == [basic("other", user="own")]


def test_netrc_still_counts_for_other_hosts(server: Server, session: requests.Session, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine localhost login own password other\n")
    session.get(f"{server.other_host}/elsewhere/")
    assert server.authorizations("/elsewhere/") == [basic("other", user="own")]


def test_a_refused_credential_is_replaced_once(server: Server, session: requests.Session) -> None:
    server.accepted = {"second"}
    assert session.get(f"{server.url}/simple/").status_code == 200
    assert server.authorizations("/simple/") == [basic("first"), basic("second")]


def test_the_second_refusal_is_final(server: Server, session: requests.Session) -> None:
    server.accepted = {"third"}
    assert session.get(f"{server.url}/simple/").status_code == 401
    assert server.authorizations("/simple/") == [basic("first"), basic("second")]


def test_without_another_credential_a_refusal_is_final(
    server: Server, session: requests.Session, broker: Broker
) -> None:
    broker.secrets["/simple/"] = ["first"]
    server.accepted = set()
    assert session.get(f"{server.url}/simple/").status_code == 401
    assert len(server.seen) == 1


def test_the_same_credential_is_not_sent_again_to_a_server_that_refused_it(
    server: Server, session: requests.Session, broker: Broker
) -> None:
    broker.gives_up_the_refused = False
    server.accepted = set()
    session.get(f"{server.url}/simple/")
    assert len(server.seen) == 1


@pytest.mark.parametrize("body", [b"package", "package"], ids=["bytes", "text"])
def test_a_whole_body_is_sent_again_after_a_refusal(
    body: bytes | str, server: Server, session: requests.Session
) -> None:
    server.accepted = {"second"}
    assert session.post(f"{server.url}/simple/", data=body).status_code == 200
    assert [body for _, _, body in server.seen] == [b"package", b"package"]


def test_a_stream_is_never_sent_twice(server: Server, session: requests.Session) -> None:
    server.accepted = {"second"}
    assert session.post(f"{server.url}/simple/", data=io.BytesIO(b"package")).status_code == 401
    assert len(server.seen) == 1


def test_after_a_refused_stream_the_next_request_carries_another_credential(
    server: Server, session: requests.Session
) -> None:
    server.accepted = {"second"}
    session.post(f"{server.url}/simple/", data=io.BytesIO(b"package"))
    assert session.post(f"{server.url}/simple/", data=io.BytesIO(b"package")).status_code == 200


def test_a_redirect_to_another_host_carries_nothing_of_ours(server: Server, session: requests.Session) -> None:
    server.redirects["/simple/"] = f"{server.other_host}/files/demo.whl"
    session.get(f"{server.url}/simple/")
    assert server.authorizations("/files/demo.whl") == [None]


def test_a_redirect_to_the_same_host_outside_the_index_carries_nothing_of_ours(
    server: Server, session: requests.Session
) -> None:
    server.redirects["/simple/"] = "/elsewhere/demo.whl"
    session.get(f"{server.url}/simple/")
    assert server.authorizations("/elsewhere/demo.whl") == [None]


def test_a_redirect_to_another_index_carries_that_indexs_credential(
    server: Server, session: requests.Session, broker: Broker
) -> None:
    broker.secrets["/other/"] = ["for-the-other"]
    server.redirects["/simple/"] = "/other/demo.whl"
    session.get(f"{server.url}/simple/")
    assert server.authorizations("/other/demo.whl") == [basic("for-the-other")]


def test_a_redirect_from_elsewhere_into_an_index_is_signed(server: Server, session: requests.Session) -> None:
    server.redirects["/elsewhere/"] = f"{server.url}/simple/demo.whl"
    session.get(f"{server.other_host}/elsewhere/")
    assert server.authorizations("/simple/demo.whl") == [basic("first")]


def test_the_request_that_the_response_names_carries_no_secret(server: Server, session: requests.Session) -> None:
    response = session.get(f"{server.url}/simple/")
    assert "Authorization" not in response.request.headers


class CachingAdapter(HTTPAdapter):
    """Keeps the headers of what it caches while it builds the response, as Poetry's HTTP cache does for ``Vary``."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[str] = []

    def build_response(self, req: PreparedRequest, resp: Any) -> Response:  # noqa: ANN401  # urllib3 is not imported here
        self.kept.append(str(req.headers))
        return super().build_response(req, resp)


@pytest.mark.parametrize(
    ("auth", "kept"), [(None, "nothing"), (("own", "first"), "all")], ids=["ours", "the-clients-own"]
)
def test_what_a_cache_below_us_keeps_of_a_credential(
    auth: tuple[str, str] | None, kept: str, server: Server, session: requests.Session, broker: Broker
) -> None:
    cache = CachingAdapter()
    session.mount("http://", cache)
    sign_session(session, answer=broker, refusals=Words(), warn=Warned())
    session.get(f"{server.url}/simple/", auth=auth)
    assert ["all" if "Authorization" in headers else "nothing" for headers in cache.kept] == [kept]


def test_a_session_is_signed_once_however_often_it_is_asked_for(
    server: Server, session: requests.Session, broker: Broker
) -> None:
    server.accepted = {"third"}
    sign_session(session, answer=broker, refusals=Words(), warn=Warned())
    assert session.get(f"{server.url}/simple/").status_code == 401


def test_one_adapter_mounted_twice_is_wrapped_once(server: Server, session: requests.Session, broker: Broker) -> None:
    cache = CachingAdapter()
    session.mount("http://", cache)
    session.mount("https://", cache)
    sign_session(session, answer=broker, refusals=Words(), warn=Warned())
    assert session.get(f"{server.url}/simple/").status_code == 200
    assert session.get_adapter("http://") is session.get_adapter("https://")


def test_anything_but_a_requests_session_is_left_as_it_is() -> None:
    class Client:
        def __init__(self) -> None:
            self.adapters = {"http://": HTTPAdapter()}

    client = Client()
    sign_session(client)
    assert type(client.adapters["http://"]) is HTTPAdapter


def test_closing_the_session_closes_the_adapters_behind(session: requests.Session, broker: Broker) -> None:
    class Closing(HTTPAdapter):
        closed = False

        def close(self) -> None:
            self.closed = True
            super().close()

    adapter = Closing()
    session.mount("http://", adapter)
    sign_session(session, answer=broker, refusals=Words(), warn=Warned())
    session.close()
    assert adapter.closed


# What the person is told


def test_an_answer_that_is_final_is_told_with_the_credential_that_it_answers(
    server: Server, session: requests.Session, words: Words
) -> None:
    session.get(f"{server.url}/simple/")
    server.accepted = {"third"}
    session.get(f"{server.url}/simple/")
    assert words.told == [(200, "first", False), (401, "second", False)]


def test_where_no_other_credential_can_be_had_that_has_been_told_already(
    server: Server, session: requests.Session, broker: Broker, words: Words
) -> None:
    broker.secrets["/simple/"] = ["first"]
    server.accepted = set()
    session.get(f"{server.url}/simple/")
    assert words.told == []


def test_a_refusal_that_no_other_credential_would_mend_is_told_and_costs_none(
    server: Server, session: requests.Session, broker: Broker, words: Words
) -> None:
    words.is_hopeless = True
    server.accepted = {"second"}
    assert session.get(f"{server.url}/simple/").status_code == 401
    assert (words.told, broker.refused) == ([(401, "first", False)], [])


def test_a_refused_stream_is_told_with_the_news_that_another_credential_is_ready(
    server: Server, session: requests.Session, words: Words
) -> None:
    server.accepted = {"second"}
    session.post(f"{server.url}/simple/", data=io.BytesIO(b"package"))
    assert words.told == [(401, "first", True)]


def test_requests_that_we_did_not_sign_are_not_told(server: Server, session: requests.Session, words: Words) -> None:
    session.get(f"{server.url}/elsewhere/")
    session.get(f"{server.url}/simple/", auth=("own", "wrong"))
    assert words.told == []


@pytest.mark.parametrize(
    ("path", "auth"), [("/simple/", None), ("/elsewhere/", ("own", "other"))], ids=["ours", "the-clients-own"]
)
def test_where_a_request_carries_a_credential_files_are_searched_for_others(
    server: Server, session: requests.Session, warned: Warned, path: str, auth: tuple[str, str] | None
) -> None:
    session.get(f"{server.url}{path}", auth=auth)
    assert warned.count == 1


def test_where_no_request_carries_a_credential_no_file_is_searched(
    server: Server, session: requests.Session, warned: Warned
) -> None:
    session.get(f"{server.url}/elsewhere/")
    assert warned.count == 0
