"""A double of JFrog's Access service; nothing here is JFrog's.

It behaves as JFrog's REST API documents "OIDC Token Exchange": JSON in, an access token with its user name out, and
errors as ``{"errors": [{"code", "message"}]}``. How the error of a mapping that does not match is worded is not
documented; the tests rely on its status and form only.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from servers.loopback import free_port, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request
    from starlette.responses import Response


@dataclass
class JFrogPlatform:
    """A platform with one OIDC integration ``ci``, whose mappings match the identity token ``proof``.

    ``mappings`` are names of mappings and the user that each stands for; the first is chosen where none is asked for.
    ``response``, if it is set, is what everybody is answered.
    """

    url: str
    proof: str = "header.of-the-ci.signature"
    mappings: dict[str, str] = field(default_factory=lambda: {"readers": "ci-reader", "publishers": "ci-publisher"})
    expires_in: int | None = 3600
    username_is_said: bool = True
    response: Response | None = None
    requests: list[dict[str, object]] = field(default_factory=list)
    issued: list[str] = field(default_factory=list)

    async def exchange(self, request: Request) -> Response:
        """Trade an identity token for an access token."""
        asked = await request.json()
        self.requests.append(asked)
        if self.response:
            return self.response
        if asked["grant_type"] != "urn:ietf:params:oauth:grant-type:token-exchange":
            return _error(400, "BAD_REQUEST", "unsupported grant type")
        if asked["subject_token_type"] != "urn:ietf:params:oauth:token-type:id_token":
            return _error(400, "BAD_REQUEST", "unsupported subject token type")
        if asked["provider_name"] != "ci":
            return _error(404, "NOT_FOUND", "the provider was not found")
        mapping = asked.get("identity_mapping_name", next(iter(self.mappings)))
        if asked["subject_token"] != self.proof or mapping not in self.mappings:
            return _error(401, "UNAUTHORIZED", f"no mapping matches {asked['subject_token']}{'x' * 40}")
        token = secrets.token_urlsafe(32)
        self.issued.append(token)
        answer: dict[str, object] = {
            "access_token": token,
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "token_type": "Bearer",
            "scope": "applied-permissions/groups:readers",
        }
        if self.username_is_said:
            answer["username"] = self.mappings[mapping]
        if self.expires_in is not None:
            answer["expires_in"] = self.expires_in
        return JSONResponse(answer)


def _error(status: int, code: str, message: str) -> Response:
    return JSONResponse({"errors": [{"code": code, "message": message}]}, status_code=status)


@contextmanager
def jfrog_platform() -> Iterator[JFrogPlatform]:
    """Serve the platform on loopback."""
    listener = free_port()
    platform = JFrogPlatform(f"http://127.0.0.1:{listener.getsockname()[1]}")
    routes = [Route("/access/api/v1/oidc/token", platform.exchange, methods=["POST"])]
    with serving(Starlette(routes=routes), listener):
        yield platform
