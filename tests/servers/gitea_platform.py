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

from indexpass.testing import FakePlatform, Reply, Request
from servers.brokers import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CLIENT_ID = "b5a1c2d3-0000-4000-8000-000000000001"


class Gitea(FakePlatform):
    """One server with an owner ``acme``. A test changes what it says, and reads what it was asked."""

    def __init__(self) -> None:
        super().__init__(self._route)
        self.clock = Clock()
        self.is_approved = True
        self.job_token: str | None = None
        self.scopes: list[str] = []
        self._codes: dict[str, Mapping[str, str]] = {}
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

    def _route(self, request: Request) -> Reply:
        match request.path.strip("/").split("/"):
            case ["login", "oauth", "authorize"]:
                return self._authorize(request.query)
            case ["login", "oauth", "access_token"]:
                return self._token(request.form)
            case ["api", "packages", "acme", "pypi", *_]:
                return self._index(request)
        return Reply(404)

    def _authorize(self, asked: Mapping[str, str]) -> Reply:
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
        return Reply(303, None, {"Location": f"{asked['redirect_uri']}?{urlencode(said)}"})

    def _token(self, form: Mapping[str, str]) -> Reply:
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

    def _granted(self) -> Reply:
        access, refresh = secrets.token_urlsafe(300), secrets.token_urlsafe(300)  # JWTs, some hundred characters long
        self._access[access] = self.clock() + 3600
        self._refresh.add(refresh)
        body = {"access_token": access, "token_type": "bearer", "expires_in": 3600, "refresh_token": refresh}
        return Reply(200, body)

    def _index(self, request: Request) -> Reply:
        _, password = request.basic or ("", "")
        is_good = self._access.get(password, 0) > self.clock() or (password and password == self.job_token)
        return Reply() if is_good else Reply(401, None, {"WWW-Authenticate": 'Basic realm="Gitea Package API"'})


def _refused(error: str) -> Reply:
    return Reply.refused(error, f"because of {error}")


@pytest.fixture
def gitea() -> Iterator[Gitea]:
    """A Gitea on loopback."""
    with Gitea() as served:
        yield served
