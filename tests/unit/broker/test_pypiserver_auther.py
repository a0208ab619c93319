"""pypiserver with our auther, asked as a WSGI server asks it. The broker is its published keys, and nothing more."""

from __future__ import annotations

import io
import warnings
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from wsgiref.util import setup_testing_defaults

import pytest

from indexpass._model import Answer
from indexpass.broker.pypiserver_auther import TokenAuther
from indexpass.errors import BrokerUnreachable, UrlError

with warnings.catch_warnings():  # its web framework is old
    warnings.simplefilter("ignore")
    import pypiserver  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from pathlib import Path

    from indexpass._model import Credential
    from indexpass._secret import Secret
    from indexpass.broker.keys import Keys

NOW = 1_800_000_000.0
ISSUER = "https://tokens.acme.example"
INDEX = "https://packages.acme.example/acme/simple/"


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class PublishedByKeys:
    """Answers for the broker's key set, unless it is away."""

    keys: Keys
    is_away: bool = False

    def get_json(self, url: str, *, authorization: Secret | None = None) -> Answer:
        assert (url, authorization) == (f"{ISSUER}/jwks.json", None)
        if self.is_away:
            raise BrokerUnreachable("nobody answers")
        return Answer(200, self.keys.jwks())

    def post_form(self, url: str, form: object, *, authorization: Secret | None = None) -> Answer:
        raise NotImplementedError

    def try_credential(self, url: str, credential: Credential) -> Answer:
        raise NotImplementedError


class Server:
    """A pypiserver with the files of two projects."""

    def __init__(self, folder: Path, keys: Keys) -> None:
        self.keys = keys
        self.folder = folder
        self.now = NOW
        self.broker = PublishedByKeys(keys)
        for project in ("tools", "secret"):
            (folder / f"{project}-1.0.tar.gz").write_bytes(f"the content of {project}".encode())
        self.app = pypiserver.app(
            roots=[folder],
            authenticate=["list", "download", "update"],
            disable_fallback=True,
            auther=TokenAuther(INDEX, ISSUER, http=self.broker, now=lambda: self.now),
        )

    def token(self, **claims: object) -> str:
        good = {"sub": "alice", "aud": INDEX, "iat": int(NOW), "exp": int(NOW) + 3600}
        return self.keys.mint({**good, "jti": "token", "scope": "pypi:read", **claims}).reveal()

    def ask(self, path: str, token: str = "", *, method: str = "GET", form: bytes = b"") -> Response:
        environ: dict[str, Any] = {
            "PATH_INFO": path,
            "REQUEST_METHOD": method,
            "CONTENT_TYPE": "application/x-www-form-urlencoded",
            "CONTENT_LENGTH": str(len(form)),
            "wsgi.input": io.BytesIO(form),
        }
        if token:
            environ["HTTP_AUTHORIZATION"] = f"Basic {b64encode(f'__token__:{token}'.encode()).decode()}"
        setup_testing_defaults(environ)
        said: list[tuple[str, list[tuple[str, str]]]] = []
        body = self.app(environ, lambda status, headers, _error=None: said.append((status, headers)))
        content = b"".join(body)
        if hasattr(body, "close"):
            body.close()
        [(status, headers)] = said
        return Response(int(status[:3]), {name.lower(): value for name, value in headers}, content)


@pytest.fixture
def server(tmp_path: Path, keys: Keys) -> Server:
    return Server(tmp_path, keys)


def test_a_token_opens_pages_and_files(server: Server) -> None:
    assert server.ask("/simple/tools/", server.token()).status == 200
    assert server.ask("/packages/tools-1.0.tar.gz", server.token()).body == b"the content of tools"


@pytest.mark.parametrize("path", ["/simple/", "/simple/tools/", "/packages/", "/packages/tools-1.0.tar.gz"])
def test_without_a_token_the_answer_is_401(server: Server, path: str) -> None:
    answer = server.ask(path)
    assert (answer.status, answer.headers["www-authenticate"][:5]) == (401, "Basic")


@pytest.mark.parametrize(
    "claims",
    [{"exp": int(NOW)}, {"aud": "https://packages.acme.example/research/simple/"}],
    ids=["expired", "another index"],
)
def test_what_a_new_token_would_mend_is_401_so_that_pip_asks_for_one(server: Server, claims: dict[str, object]) -> None:
    answer = server.ask("/simple/tools/", server.token(**claims))
    assert (answer.status, answer.headers["www-authenticate"][:5]) == (401, "Basic")
    assert 'Bearer error="invalid_token"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("token", ["made-up", "a.b.c", "e30.e30.e30"])
def test_what_is_no_token_is_401(server: Server, token: str) -> None:
    assert server.ask("/simple/", token).status == 401


def test_a_token_that_passed_does_not_pass_after_its_end(server: Server) -> None:
    token = server.token()
    assert server.ask("/simple/", token).status == 200
    server.now += 3600
    assert server.ask("/simple/", token).status == 401


def test_a_token_for_reading_neither_uploads_nor_removes(server: Server) -> None:
    form = b":action=remove_pkg&name=tools&version=1.0"
    assert server.ask("/", server.token(), method="POST", form=form).status == 403
    assert (server.folder / "tools-1.0.tar.gz").exists()


def test_a_token_for_uploading_does_not_read(server: Server) -> None:
    assert server.ask("/simple/", server.token(scope="pypi:write")).status == 403
    assert server.ask("/", server.token(scope="pypi:write"), method="POST", form=b":action=submit").status == 200


def test_a_token_for_one_project_reads_that_one_only(server: Server) -> None:
    token = server.token(projects={"pypi:read": ["tools"]})
    assert server.ask("/simple/tools/", token).status == 200
    assert server.ask("/packages/tools-1.0.tar.gz", token).status == 200
    for path in ("/simple/", "/packages/", "/simple/secret/", "/packages/secret-1.0.tar.gz", "/secret/json"):
        answer = server.ask(path, token)
        assert (answer.status, b"the content of secret" in answer.body) == (403, False)


def test_a_token_for_one_project_does_not_upload_because_no_url_says_what(server: Server) -> None:
    token = server.token(scope="pypi:write", projects={"pypi:write": ["tools"]})
    assert server.ask("/", token, method="POST", form=b":action=submit&name=tools").status == 403


def test_while_the_keys_cannot_be_had_the_answer_is_503(server: Server) -> None:
    server.broker.is_away = True
    answer = server.ask("/simple/", server.token())
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")


def test_keys_that_were_had_serve_on_while_the_broker_is_away(server: Server) -> None:
    assert server.ask("/simple/", server.token()).status == 200
    server.broker.is_away = True
    server.now += 600
    assert server.ask("/simple/", server.token(jti="another")).status == 200


@pytest.mark.parametrize(
    ("index", "issuer"), [("packages", ISSUER), (INDEX, "http://tokens.acme.example")], ids=["index", "issuer"]
)
def test_urls_that_cannot_be_used_are_refused_at_once(index: str, issuer: str) -> None:
    with pytest.raises(UrlError):
        TokenAuther(index, issuer)
