"""A double of the part of GitHub that credentials for cloning need; nothing here is GitHub's.

It behaves as GitHub documents it, mid-2026: "Generating a user access token for a GitHub App" (device flow, errors with
status 200), "Refreshing user access tokens" (a refresh ends the token before it), "Generating a JSON Web Token (JWT)
for a GitHub App", "REST API endpoints for GitHub Apps" (installation tokens), and "Rate limits for the REST API". Its
API stands below ``/api/v3``, as that of GitHub Enterprise Server.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from datetime import datetime, timezone
from email.utils import formatdate
from typing import TYPE_CHECKING

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from servers.brokers import Clock
from servers.loopback import free_port, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

APP_ID = "12345"
CLIENT_ID = "Iv23liExample"
INSTALLATION_ID = "4711"
REPOSITORIES = ("tools", "app")
DEVICE_SECONDS = 900


class GitHub:
    """A GitHub with an App that is installed at the owner ``acme``. A test changes what it says."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.clock = Clock()
        self.decision: str | None = "approved"  # what the person does about the code: approved, denied, or nothing
        self.has_device_flow = True
        self.are_tokens_expiring = True
        self.failure: Response | None = None  # what each request is answered from now on
        self.minted: list[dict[str, object]] = []
        self.live: set[str] = set()  # the user tokens that are good
        self._devices: dict[str, float] = {}
        self._refresh: dict[str, str] = {}
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def key_pem(self) -> bytes:
        """The App's private key, in the form in which GitHub gives it."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())

    def end_sessions(self) -> None:
        """Let the person revoke the App."""
        self._refresh.clear()

    async def answer(self, request: Request) -> Response:
        found = self.failure or await self._answer(request)
        found.headers["Date"] = formatdate(self.clock(), usegmt=True)
        return found

    async def _answer(self, request: Request) -> Response:
        match request.url.path.strip("/").split("/"):
            case ["login", "device", "code"]:
                return self._begin({key: str(value) for key, value in (await request.form()).items()})
            case ["login", "oauth", "access_token"]:
                return self._token({key: str(value) for key, value in (await request.form()).items()})
            case ["api", "v3", "user"]:
                return JSONResponse({"login": "alice", "id": 7})
            case ["api", "v3", "app", "installations", number, "access_tokens"]:
                return self._mint(request, number, await request.json())
        return _message(404, "Not Found")

    def _begin(self, form: dict[str, str]) -> Response:
        if form.get("client_id") != CLIENT_ID:
            return JSONResponse({"error": "Not Found"}, status_code=404)
        if not self.has_device_flow:
            return _refused("device_flow_disabled")
        assert "scope" not in form
        code = secrets.token_hex(20)
        self._devices[code] = self.clock() + DEVICE_SECONDS
        return JSONResponse(
            {
                "device_code": code,
                "user_code": "WDJB-MJHT",
                "verification_uri": f"{self.url}/login/device",
                "expires_in": DEVICE_SECONDS,
                "interval": 5,
            }
        )

    def _token(self, form: dict[str, str]) -> Response:
        if form.get("client_id") != CLIENT_ID:
            return _refused("incorrect_client_credentials")
        if form["grant_type"] == "refresh_token":
            before = self._refresh.pop(form["refresh_token"], None)
            if before is None:
                return _refused("bad_refresh_token")
            self.live.discard(before)
            return self._granted()
        if self._devices[form["device_code"]] < self.clock():
            return _refused("expired_token")
        if self.decision == "approved":
            return self._granted()
        return _refused("access_denied" if self.decision else "authorization_pending")

    def _granted(self) -> Response:
        access, refresh = f"ghu_{secrets.token_hex(18)}", f"ghr_{secrets.token_hex(38)}"
        self.live.add(access)
        body: dict[str, object] = {"access_token": access, "token_type": "bearer", "scope": ""}
        if self.are_tokens_expiring:
            self._refresh[refresh] = access
            body |= {"expires_in": 28_800, "refresh_token": refresh, "refresh_token_expires_in": 15_897_600}
        return JSONResponse(body)

    def _mint(self, request: Request, number: str, asked: dict[str, object]) -> Response:
        refusal = self._refuse_app(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if refusal:
            return refusal
        if number != INSTALLATION_ID:
            return _message(404, "Not Found")
        wanted = asked.get("repositories", REPOSITORIES)
        assert isinstance(wanted, list | tuple)
        if not set(wanted) <= set(REPOSITORIES) or asked["permissions"] != {"contents": "read"}:
            return _message(422, "There is at least one repository that does not exist or is not accessible")
        self.minted.append({"repositories": sorted(wanted), "permissions": asked["permissions"]})
        body = {"token": f"ghs_{secrets.token_hex(18)}", "expires_at": _iso(self.clock() + 3600)}
        return JSONResponse({**body, "permissions": asked["permissions"]}, status_code=201)

    def _refuse_app(self, proof: str) -> Response | None:
        try:
            claims = jwt.decode(
                proof,
                self._key.public_key(),
                algorithms=["RS256"],
                options={"verify_exp": False, "verify_iat": False, "require": ["iss", "iat", "exp"]},
            )
        except jwt.InvalidTokenError:
            return _message(401, "A JSON web token could not be decoded")
        if claims["iss"] != APP_ID:
            return _message(401, "Integration must generate a public key")
        if claims["iat"] > self.clock():
            return _message(401, "'Issued at' claim ('iat') must be an Integer representing a time in the past")
        if claims["exp"] > self.clock() + 600:
            return _message(401, "'Expiration time' claim ('exp') is too far in the future")
        if claims["exp"] <= self.clock():
            return _message(401, "'Expiration time' claim ('exp') must be a numeric value in the future")
        return None


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _message(status: int, message: str) -> Response:
    return JSONResponse({"message": message, "documentation_url": "…"}, status_code=status)


def _refused(error: str) -> Response:
    return JSONResponse({"error": error, "error_description": f"because of {error}"})


@contextmanager
def github_platform() -> Iterator[GitHub]:
    """Serve a GitHub Enterprise Server on loopback."""
    listener = free_port()
    served = GitHub(f"http://127.0.0.1:{listener.getsockname()[1]}")

    async def answer(request: Request) -> Response:
        return await served.answer(request)

    app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "HEAD", "POST"])])
    with serving(app, listener, has_own_dates=True):
        yield served


@pytest.fixture
def github() -> Iterator[GitHub]:
    """A GitHub Enterprise Server on loopback."""
    with github_platform() as served:
        yield served
