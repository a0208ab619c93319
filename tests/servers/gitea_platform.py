"""A double of the part of Gitea and Forgejo that credentials for their package registry need; nothing here is theirs.

It behaves as Gitea documents it (1.25, "OAuth2 Provider", "PyPI Package Registry"): authorization codes with PKCE for
public clients, whose registered loopback redirect is good for any port; no device flow; no ``iss`` in the
redirect. That access tokens are Basic passwords with any user name, and its two words for a refresh token that is no
good, are as its source has them.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from servers.brokers import Clock
from servers.loopback import free_port, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

CLIENT_ID = "b5a1c2d3-0000-4000-8000-000000000001"


class Gitea:
    """One server with an owner ``acme``. A test changes what it says, and reads what it was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.clock = Clock()
        self.is_approved = True
        self.failure: Response | None = None  # what each request is answered from now on
        self.job_token: str | None = None
        self.scopes: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}
        self._access: dict[str, float] = {}
        self._refresh: set[str] = set()
        self._word_for_no = "unauthorized_client"  # a refresh token that is spent or has expired

    @property
    def index(self) -> str:
        return f"{self.url}/api/packages/acme/pypi/simple/"

    @property
    def upload_url(self) -> str:
        return f"{self.url}/api/packages/acme/pypi"

    def end_sessions(self) -> None:
        """Let the person revoke the application."""
        self._refresh.clear()
        self._word_for_no = "invalid_grant"

    def expire_sessions(self) -> None:
        """Let a month go by."""
        self._refresh.clear()

    async def answer(self, request: Request) -> Response:
        if self.failure:
            return self.failure
        form = {key: str(value) for key, value in (await request.form()).items()}
        match request.url.path.strip("/").split("/"):
            case ["login", "oauth", "authorize"]:
                return self._authorize(dict(request.query_params))
            case ["login", "oauth", "access_token"]:
                return self._token(form)
            case ["api", "packages", "acme", "pypi", *_]:
                return self._index(request)
        return Response(status_code=404)

    def _authorize(self, asked: dict[str, str]) -> Response:
        assert urlsplit(asked["redirect_uri"])._replace(netloc="127.0.0.1").geturl() == "http://127.0.0.1/callback"
        assert (asked["client_id"], asked["code_challenge_method"]) == (CLIENT_ID, "S256")
        self.scopes.append(asked["scope"])
        said = {"state": asked["state"]}
        if self.is_approved:
            code = secrets.token_urlsafe(16)
            self._codes[code] = asked
            said["code"] = code
        else:
            said |= {"error": "access_denied", "error_description": "the request is denied"}
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(said)}", status_code=303)

    def _token(self, form: dict[str, str]) -> Response:
        if form.get("client_id") != CLIENT_ID:
            return _refused("invalid_client")
        if form["grant_type"] == "refresh_token":
            if form["refresh_token"] not in self._refresh:
                return _refused(self._word_for_no)
            self._refresh.remove(form["refresh_token"])
            return self._granted()
        asked = self._codes.pop(form["code"], None)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if asked is None or (asked["redirect_uri"], asked["code_challenge"]) != (form["redirect_uri"], challenge):
            return _refused("unauthorized_client")
        return self._granted()

    def _granted(self) -> Response:
        access, refresh = secrets.token_urlsafe(300), secrets.token_urlsafe(300)  # JWTs, some hundred characters long
        self._access[access] = self.clock() + 3600
        self._refresh.add(refresh)
        body = {"access_token": access, "token_type": "bearer", "expires_in": 3600, "refresh_token": refresh}
        return JSONResponse(body)

    def _index(self, request: Request) -> Response:
        encoded = request.headers.get("Authorization", "").removeprefix("Basic ")
        password = base64.b64decode(encoded).decode().partition(":")[2]
        is_good = self._access.get(password, 0) > self.clock() or (password and password == self.job_token)
        challenge = {"WWW-Authenticate": 'Basic realm="Gitea Package API"'}
        return Response(status_code=200) if is_good else Response(status_code=401, headers=challenge)


def _refused(error: str) -> Response:
    return JSONResponse({"error": error, "error_description": f"because of {error}"}, status_code=400)


@pytest.fixture
def gitea() -> Iterator[Gitea]:
    """A Gitea on loopback."""
    listener = free_port()
    served = Gitea(f"http://127.0.0.1:{listener.getsockname()[1]}")

    async def answer(request: Request) -> Response:
        return await served.answer(request)

    app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "HEAD", "POST"])])
    with serving(app, listener):
        yield served
