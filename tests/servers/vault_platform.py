"""A double of HashiCorp Vault, as its API pages "JWT/OIDC auth method", "KV secrets engine" and "HTTP API" describe it.

It knows one auth method, roles bound to an audience and claims, policies as lists of paths, fixed secrets of both KV
versions, and secrets that it makes on demand and ends with the token that asked. Status codes and texts of errors are
Vault's. It verifies identity tokens with PyJWT, and keeps count of what it was asked.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import jwt
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from servers.loopback import free_port, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request
    from starlette.responses import Response


@dataclass
class Role:
    """Who may log in, and what the token is good for."""

    audience: str
    claims: dict[str, str]
    paths: tuple[str, ...]
    token_ttl: int = 3600
    token_num_uses: int = 0


@dataclass
class _Token:
    role: Role
    uses: int = 0
    leases: list[str] = field(default_factory=list)


class VaultPlatform:
    """The state of the double. A test fills ``roles``, ``fixed`` and ``on_demand``, or sets ``failure``."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.mount = "jwt"
        self.namespace = ""
        self.key = b""  # the issuer's, as PEM
        self.roles: dict[str, Role] = {}
        self.fixed: dict[str, dict[str, object]] = {}  # KV version 1, by path
        self.versioned: dict[str, dict[str, object]] = {}  # KV version 2, by path with data/
        self.on_demand: dict[str, int] = {}  # seconds of the lease, by path
        self.failure: Response | None = None
        self.asked: list[str] = []
        self.tokens: dict[str, _Token] = {}
        self.revoked: list[str] = []

    async def answer(self, request: Request) -> Response:
        """Answer whatever is below /v1/."""
        path = request.path_params["path"]
        self.asked.append(f"{request.method} {path}")
        if self.failure is not None:
            return self.failure
        if request.headers.get("x-vault-request") != "true":
            return _refused(412, "missing 'X-Vault-Request' header")
        if request.headers.get("x-vault-namespace", "") != self.namespace:
            return _refused(404, "no handler for route")
        if request.method == "POST" and path == f"auth/{self.mount}/login":
            return self._log_in(await request.json())
        if path.startswith("auth/"):
            return _refused(404, f'no handler for route "{path}". route entry not found.')
        return self._read(path, request.headers.get("x-vault-token", ""))

    def _log_in(self, body: dict[str, str]) -> Response:
        role = self.roles.get(body["role"])
        if role is None:
            return _refused(400, f'role "{body["role"]}" could not be found')
        try:
            claims = jwt.decode(body["jwt"], self.key, ["RS256"], audience=role.audience)
        except jwt.InvalidAudienceError:
            words = "invalid audience (aud) claim: audience claim does not match any bound audience"
            return _refused(400, f"error validating token: {words}")
        except jwt.InvalidTokenError as error:
            return _refused(400, f"error validating token: {error}")
        for name, value in role.claims.items():
            if claims.get(name) != value:
                return _refused(
                    400, f'error validating claims: claim "{name}" does not match any associated bound claim values'
                )
        token = f"hvs.{secrets.token_urlsafe(60)}"
        self.tokens[token] = _Token(role)
        auth = {"client_token": token, "lease_duration": role.token_ttl, "renewable": True, "token_type": "service"}
        return JSONResponse({"lease_id": "", "renewable": False, "lease_duration": 0, "data": None, "auth": auth})

    def _read(self, path: str, presented: str) -> Response:
        token = self.tokens.get(presented)
        if token is None or path not in token.role.paths:
            return _refused(403, "1 error occurred:\n\t* permission denied\n\n")
        token.uses += 1
        if path in self.on_demand:
            return self._make(path, token)
        if path in self.versioned:
            data = {"data": self.versioned[path], "metadata": {"version": 3, "destroyed": False}}
            return JSONResponse({"lease_id": "", "renewable": False, "lease_duration": 0, "data": data})
        if path in self.fixed:
            body = {"lease_id": "", "renewable": False, "lease_duration": 2_764_800, "data": self.fixed[path]}
            return JSONResponse(body)
        return JSONResponse({"errors": []}, 404)

    def _make(self, path: str, token: _Token) -> Response:
        if token.role.token_num_uses == token.uses:
            words = "Secret cannot be returned; token had one use left, so leased credentials were immediately revoked."
            return _refused(400, words)
        lease = f"{path}/{secrets.token_hex(8)}"
        token.leases.append(lease)
        data = {"username": f"v-{path.rpartition('/')[2]}", "password": secrets.token_urlsafe(30)}
        body = {"lease_id": lease, "renewable": True, "lease_duration": self.on_demand[path], "data": data}
        return JSONResponse(body)


def _refused(status: int, *errors: str) -> Response:
    return JSONResponse({"errors": list(errors)}, status)


@contextmanager
def serving_vault() -> Iterator[VaultPlatform]:
    """Serve a Vault on loopback."""
    listener = free_port()
    platform = VaultPlatform(f"http://127.0.0.1:{listener.getsockname()[1]}")
    app = Starlette(routes=[Route("/v1/{path:path}", platform.answer, methods=["GET", "POST"])])
    with serving(app, listener):
        yield platform


@pytest.fixture
def vault_platform() -> Iterator[VaultPlatform]:
    """A Vault on loopback."""
    with serving_vault() as served:
        yield served
