"""A double of Azure DevOps' feeds and session tokens, of Microsoft Entra, and of a managed identity's endpoint.

Nothing here is Microsoft's. The feed answers as Microsoft's open-source credential provider reads it (a challenge that
names the tenant, a header that names the place for session tokens); Entra as documented in "OAuth 2.0 client
credentials flow" and "Authentication and authorization error codes"; the managed identity as in "How to use managed
identities for Azure resources on an Azure VM". One server plays all hosts; the tests lead their names here.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import jwt
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from servers.loopback import free_port, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

TENANT = "11111111-2222-3333-4444-555555555555"
APP = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
RESOURCE = "499b84ac-1321-427f-aa17-267ca6975798"
LOGIN = "https://login.microsoftonline.com"
SESSIONS = "https://app.vssps.visualstudio.com"
FEEDS = "https://pkgs.dev.azure.com"
_TRACE = "Trace ID: 00000000-1111-2222-3333-444444444444 Correlation ID: 5 Timestamp: 2026-08-22 10:00:00Z"


@dataclass
class AzurePlatform:
    """An organization whose feed is ``acme``, its tenant with one application, and a machine with an identity.

    Their clock is that of this machine. What a test puts into ``responses`` for a path is answered there.
    """

    url: str
    tenant_url: str = f"{LOGIN}/{TENANT}"
    session_url: str = f"{SESSIONS}/"
    issuer_is_known: bool = True
    secret: str = "app-secret"
    person: str = field(default_factory=lambda: jwt.encode({"sub": "alice"}, "a" * 32, "HS256"))
    responses: dict[str, Response] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    wanted: list[dict[str, object]] = field(default_factory=list)

    async def answer(self, request: Request) -> Response:  # noqa: PLR0911  # one for each part
        """Answer as whatever the path belongs to."""
        path = request.url.path
        form = dict(parse_qsl((await request.body()).decode())) if request.method == "POST" else {}
        self.asked.append((path, {**request.query_params, **form}))
        if path in self.responses:
            return self.responses[path]
        if "/_packaging/" in path:
            return self._feed()
        if path.endswith("/_apis/Token/SessionTokens"):
            return await self._session(request)
        if path == f"/{TENANT}/v2.0/.well-known/openid-configuration":
            base = f"{LOGIN}/{TENANT}/oauth2/v2.0"
            return JSONResponse(
                {
                    "issuer": f"{LOGIN}/{TENANT}/v2.0",
                    "authorization_endpoint": f"{base}/authorize",
                    "token_endpoint": f"{base}/token",
                }
            )
        if path.endswith("/.well-known/openid-configuration"):
            return _refusal(400, "invalid_tenant", "AADSTS90002: Tenant was not found.")
        if path == f"/{TENANT}/oauth2/v2.0/token":
            return self._token(form)
        return self._managed(request)

    def _feed(self) -> Response:
        return Response(
            status_code=401,
            headers={
                "WWW-Authenticate": f'Bearer authorization_uri={self.tenant_url}, Basic realm="{FEEDS}/"',
                "X-VSS-AuthorizationEndpoint": self.session_url,
                "X-VSS-ResourceTenant": TENANT,
            },
        )

    async def _session(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {self.person}":
            return Response(status_code=401)
        if request.query_params["tokenType"] != "SelfDescribing":
            return Response(status_code=400)
        wanted = await request.json()
        self.wanted.append(wanted)
        token = jwt.encode({"scp": wanted["scope"]}, "a" * 32, "HS256")
        body = {"clientId": "…", "token": token, "validTo": wanted["validTo"], "scope": wanted["scope"]}
        return JSONResponse(body)

    def _token(self, form: dict[str, str]) -> Response:
        if form.get("grant_type") != "client_credentials" or form.get("scope") != f"{RESOURCE}/.default":
            return _refusal(400, "invalid_scope", "AADSTS70011: The scope is not valid.")
        if form.get("client_id") != APP:
            return _refusal(400, "unauthorized_client", "AADSTS700016: Application with that identifier was not found.")
        if "client_assertion" in form:
            if not self.issuer_is_known:
                return _refusal(401, "invalid_client", "AADSTS700211: No matching federated identity record found.")
        elif form.get("client_secret") != self.secret:
            return _refusal(401, "invalid_client", "AADSTS7000215: Invalid client secret provided.")
        return JSONResponse({"token_type": "Bearer", "expires_in": 3599, "access_token": "entra-token-of-the-app"})

    def _managed(self, request: Request) -> Response:
        if request.headers.get("metadata") != "true" or request.query_params.get("resource") != RESOURCE:
            return JSONResponse({"error": "invalid_request"}, status_code=400)
        name = request.query_params.get("client_id", "system")
        return JSONResponse(
            {"access_token": f"entra-token-of-{name}", "expires_in": "86399", "expires_on": "0", "token_type": "Bearer"}
        )


def _refusal(status: int, error: str, description: str) -> Response:
    return JSONResponse({"error": error, "error_description": f"{description} {_TRACE}"}, status_code=status)


@contextmanager
def azure_platform() -> Iterator[AzurePlatform]:
    """Serve all of it on loopback."""
    listener = free_port()
    platform = AzurePlatform(f"http://127.0.0.1:{listener.getsockname()[1]}")
    with serving(Starlette(routes=[Route("/{path:path}", platform.answer, methods=["GET", "POST"])]), listener):
        yield platform
