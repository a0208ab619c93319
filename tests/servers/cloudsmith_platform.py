"""A double of Cloudsmith's token exchange; nothing here is Cloudsmith's.

It behaves as Cloudsmith documents "OpenID Connect": ``POST /openid/ORGANIZATION/`` with an identity token and the slug
of a service account brings a JWT. Errors say nothing on purpose, as documented; that a created token has status 201 as
well as 200 is what Cloudsmith's own command line expects.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import jwt
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from servers.loopback import free_port, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request
    from starlette.responses import Response


@dataclass
class CloudsmithPlatform:
    """The organization ``acme`` with two service accounts; ``claims`` are those of the tokens that it gives.

    ``response``, if it is set, is what everybody is answered.
    """

    url: str
    proof: str = "header.of-the-ci.signature"
    services: tuple[str, ...] = ("ci-read", "ci-publish")
    claims: dict[str, object] = field(default_factory=dict)
    status: int = 200
    response: Response | None = None
    requests: list[dict[str, object]] = field(default_factory=list)

    async def exchange(self, request: Request) -> Response:
        """Trade an identity token for a token of a service account."""
        asked = await request.json()
        self.requests.append(asked)
        if self.response:
            return self.response
        is_ours = request.path_params["organization"] == "acme" and asked["service_slug"] in self.services
        if not is_ours or asked["oidc_token"] != self.proof:
            return JSONResponse({"detail": "Invalid credentials."}, status_code=401)
        token = jwt.encode({"sub": asked["service_slug"], **self.claims}, "a" * 32, "HS256")
        return JSONResponse({"token": token}, status_code=self.status)


@contextmanager
def cloudsmith_platform() -> Iterator[CloudsmithPlatform]:
    """Serve the API on loopback."""
    listener = free_port()
    platform = CloudsmithPlatform(f"http://127.0.0.1:{listener.getsockname()[1]}")
    routes = [Route("/openid/{organization}/", platform.exchange, methods=["POST"])]
    with serving(Starlette(routes=routes), listener):
        yield platform
