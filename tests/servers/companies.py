"""A company's OpenID provider that does as the test says, also what no honest one does.

``Company`` signs ID tokens and answers as an ``Http``, without any network. ``company`` is one that is served on
loopback. What the person does at the provider is ``agree``: it returns the query that their browser brings back.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from indexpass._model import Answer
from servers.issuers import Issuer
from servers.loopback import free_port, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from indexpass._secret import Secret

CLIENT_ID = "indexpass-broker"
SETTINGS = """
[company]
name = "ACME"
issuer = "{issuer}"
client-id = "{client_id}"
"""


class Company(Issuer):
    """The provider. A test changes ``claims`` or ``documents``, or sets ``tamper``, to make it lie."""

    def __init__(self, url: str = "http://127.0.0.1:9") -> None:
        super().__init__(url)
        self.claims: dict[str, object] = {"sub": "u-1001", "preferred_username": "alice", "groups": ["python-devs"]}
        self.userinfo: dict[str, object] = {"sub": "u-1001"}
        self.headers: dict[str, object] = {}
        self.kid: str | None = "first"
        self.without: tuple[str, ...] = ()
        self.tamper: Callable[[str], str] = str
        self.token_answer: Answer | None = None
        self.received: list[tuple[dict[str, str], Secret | None]] = []
        self._nonces: dict[str, str] = {}
        self.metadata = {
            "issuer": url,
            "jwks_uri": f"{url}/keys",
            "authorization_endpoint": f"{url}/authorize",
            "token_endpoint": f"{url}/token",
            "userinfo_endpoint": f"{url}/userinfo",
            "authorization_response_iss_parameter_supported": True,
        }
        self.documents[f"{url}/.well-known/openid-configuration"] = self.metadata

    @property
    def settings(self) -> str:
        """The ``[company]`` of a broker that is its public client."""
        return SETTINGS.format(issuer=self.url, client_id=CLIENT_ID)

    def agree(self, url: str, **members: str) -> dict[str, str]:
        """Sign in and consent at the URL to which the broker has sent the browser; return the answer."""
        asked = dict(parse_qsl(urlsplit(url).query))
        code = secrets.token_urlsafe(8)
        self._nonces[code] = asked["nonce"]
        return {"code": code, "state": asked["state"], "iss": self.url, **members}

    def come_back(self, url: str, **members: str) -> str:
        """Agree, and return the URL of the broker that the browser is sent back to."""
        asked = dict(parse_qsl(urlsplit(url).query))
        return f"{asked['redirect_uri']}?{urlencode(self.agree(url, **members))}"

    def get_json(self, url: str, *, authorization: Secret | None = None) -> Answer:
        """Answer a GET."""
        if url == f"{self.url}/userinfo":
            self.received.append(({}, authorization))
            return Answer(200, self.userinfo)
        return super().get_json(url)

    def post_form(self, url: str, form: Mapping[str, str | Secret], *, authorization: Secret | None = None) -> Answer:
        """Trade a code for tokens."""
        assert url == f"{self.url}/token"
        told = {name: str(value) for name, value in form.items()}
        self.received.append((told, authorization))
        if self.failure:
            raise self.failure
        if self.token_answer:
            return self.token_answer
        nonce = self._nonces.pop(told.get("code", ""), None)
        if nonce is None:
            return Answer(400, {"error": "invalid_grant"})
        claims = {"aud": CLIENT_ID, "nonce": nonce, "auth_time": int(time.time()), **self.claims}
        token = self.token(kid=self.kid, headers=self.headers, without=self.without, **claims)
        body = {"access_token": "at", "token_type": "Bearer", "id_token": self.tamper(token.reveal())}
        return Answer(200, body)


@pytest.fixture
def company() -> Iterator[Company]:
    """A company's provider that is served on loopback."""
    listener = free_port()
    served = Company(f"http://127.0.0.1:{listener.getsockname()[1]}")

    async def answer(request: Request) -> Response:
        url = f"{served.url}{request.url.path}"
        if request.method == "POST":
            found = served.post_form(url, dict(parse_qsl((await request.body()).decode())))
        else:
            found = served.get_json(url)
        return JSONResponse(found.body, status_code=found.status)

    with serving(Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])]), listener):
        yield served
