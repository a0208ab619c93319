"""A double of the part of GitLab that credentials for its package registry need; nothing here is GitLab's.

It behaves as GitLab documents it, mid-2026: "OAuth 2.0 identity provider API" (device authorization, refresh tokens
that rotate, revocation), "Deploy tokens API", "Users API" (``/user``), "PyPI API" and "CI/CD job token". That OAuth
tokens are no Basic passwords, and that a job token counts with its own user name only, is as its source has it.
"""

from __future__ import annotations

import base64
import secrets
from contextlib import contextmanager
from datetime import datetime, timezone
from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from servers.brokers import Clock
from servers.loopback import free_port, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

CLIENT_ID = "0123abc"
PROJECT = "77"
GROUP = "acme"
DEVICE_SECONDS = 300


class GitLab:
    """One GitLab with a project and a group. A test changes what it says, and reads what it was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.clock = Clock()
        self.role = "maintainer"
        self.scope = "api"
        self.failure: Response | None = None  # what each request is answered from now on
        self.minting_failure: Response | None = None
        self.device_flow = True
        self.decision: str | None = "approved"  # what the person does about the code: approved, denied, or nothing
        self.job_token: str | None = None
        self.minted: list[dict[str, object]] = []
        self.paths: list[str] = []
        self._devices: dict[str, float] = {}
        self._access: set[str] = set()
        self._refresh: set[str] = set()

    @property
    def index(self) -> str:
        return f"{self.url}/api/v4/projects/{PROJECT}/packages/pypi/simple/"

    @property
    def group_index(self) -> str:
        return f"{self.url}/api/v4/groups/{GROUP}/-/packages/pypi/simple/"

    @property
    def upload_url(self) -> str:
        return f"{self.url}/api/v4/projects/{PROJECT}/packages/pypi"

    def end_sessions(self) -> None:
        """Let an administrator revoke the application."""
        self._refresh.clear()

    async def answer(self, request: Request) -> Response:
        self.paths.append(request.url.path)
        found = self.failure or await self._answer(request)
        found.headers["Date"] = formatdate(self.clock(), usegmt=True)
        return found

    async def _answer(self, request: Request) -> Response:
        form = {key: str(value) for key, value in (await request.form()).items()}
        match request.url.path.strip("/").split("/"):
            case ["oauth", "authorize_device"]:
                return self._begin(form)
            case ["oauth", "token"]:
                return self._token(form)
            case ["oauth", "revoke"]:
                self._refresh.discard(form.get("token", ""))
                return JSONResponse({})
        return await self._answer_api(request)

    async def _answer_api(self, request: Request) -> Response:
        match request.url.path.strip("/").split("/"):
            case ["api", "v4", "user"]:
                return JSONResponse({"id": 7, "username": "alice", "name": "Alice"})
            case ["api", "v4", kind, found, "deploy_tokens"]:
                return self._mint(request, kind, found, await request.json())
            case ["api", "v4", *_, "pypi", "simple"]:
                return self._index(request)
        return JSONResponse({"error": "404 Not Found"}, status_code=404)

    def _begin(self, form: dict[str, str]) -> Response:
        if form.get("client_id") != CLIENT_ID or not self.device_flow:
            body = {"error": "invalid_client", "error_description": "Client authentication failed"}
            return JSONResponse(body, status_code=401)
        assert form["scope"] == "api"
        code = secrets.token_urlsafe(16)
        self._devices[code] = self.clock() + DEVICE_SECONDS
        page = f"{self.url}/oauth/device"
        return JSONResponse(
            {
                "device_code": code,
                "user_code": "0A44L90H",
                "verification_uri": page,
                "verification_uri_complete": f"{page}?user_code=0A44L90H",
                "expires_in": DEVICE_SECONDS,
                "interval": 5,
            }
        )

    def _token(self, form: dict[str, str]) -> Response:
        if form.get("client_id") != CLIENT_ID:
            return _refused("invalid_client")
        if form["grant_type"] == "refresh_token":
            if form["refresh_token"] not in self._refresh:
                return _refused("invalid_grant")
            self._refresh.remove(form["refresh_token"])
            return self._granted()
        if self._devices[form["device_code"]] < self.clock():
            return _refused("expired_token")
        return {"approved": self._granted, "denied": lambda: _refused("access_denied")}.get(
            self.decision or "", lambda: _refused("authorization_pending")
        )()

    def _granted(self) -> Response:
        access, refresh = secrets.token_hex(32), secrets.token_hex(32)
        self._access.add(access)
        self._refresh.add(refresh)
        body = {"access_token": access, "token_type": "Bearer", "expires_in": 7200, "refresh_token": refresh}
        return JSONResponse({**body, "scope": self.scope, "created_at": int(self.clock())})

    def _mint(self, request: Request, kind: str, found: str, asked: dict[str, object]) -> Response:
        if self.minting_failure:
            return self.minting_failure
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self._access:
            return JSONResponse({"message": "401 Unauthorized"}, status_code=401)
        if self.scope != "api":
            body = {"error": "insufficient_scope", "error_description": "…", "scope": "api"}
            return JSONResponse(body, status_code=403)
        if (kind, found) not in {("projects", PROJECT), ("groups", GROUP)}:
            return JSONResponse({"message": "404 Project Not Found"}, status_code=404)
        if self.role != ("maintainer" if kind == "projects" else "owner"):
            return JSONResponse({"message": "403 Forbidden"}, status_code=403)
        number = len(self.minted) + 1
        token = {
            "id": number,
            "name": asked["name"],
            "username": f"gitlab+deploy-token-{number}",
            "expires_at": str(asked["expires_at"]).replace("Z", ".000Z"),
            "scopes": asked["scopes"],
            "revoked": False,
            "expired": False,
            "token": f"gldt-{secrets.token_urlsafe(15)}",
        }
        self.minted.append({**token, "of": (kind, found)})
        return JSONResponse(token, status_code=201)

    def _index(self, request: Request) -> Response:
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        username, _, password = base64.b64decode(encoded).decode().partition(":") if scheme == "Basic" else ("", "", "")
        if password and password == self.job_token:
            return Response(status_code=200 if username == "gitlab-ci-token" else 401)
        for token in self.minted:
            ends_at = datetime.fromisoformat(str(token["expires_at"]).replace("Z", "+00:00"))
            is_alive = ends_at > datetime.fromtimestamp(self.clock(), tz=timezone.utc)
            if (username, password) == (token["username"], token["token"]) and is_alive:
                return Response(status_code=200 if "read_package_registry" in str(token["scopes"]) else 403)
        challenge = {"WWW-Authenticate": 'Basic realm="GitLab Packages Registry"'}
        return Response(status_code=401, headers=challenge)


def _refused(error: str) -> Response:
    return JSONResponse({"error": error, "error_description": f"because of {error}"}, status_code=400)


@contextmanager
def gitlab_platform() -> Iterator[GitLab]:
    """Serve a GitLab on loopback."""
    listener = free_port()
    served = GitLab(f"http://127.0.0.1:{listener.getsockname()[1]}")

    async def answer(request: Request) -> Response:
        return await served.answer(request)

    app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "HEAD", "POST"])])
    with serving(app, listener, has_own_dates=True):
        yield served


@pytest.fixture
def gitlab() -> Iterator[GitLab]:
    """A GitLab on loopback."""
    with gitlab_platform() as served:
        yield served
