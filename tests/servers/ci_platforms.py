"""Stand-ins for the platforms whose jobs and machines can prove who they are; nothing here is the vendors' own.

Each behaves as its vendor documents it: GitHub's "OpenID Connect reference", Azure DevOps' "Oidctoken - Create",
Google's "Get an ID token from the metadata server", Microsoft's "How to use managed identities" for App Service and
for virtual machines, the "GetWebIdentityToken" of AWS's STS, Buildkite's "buildkite-agent oidc" and CircleCI's "OIDC
tokens with custom claims". Other platforms put a token into a variable or a file, and need no stand-in. No platform
was asked: what is only documented may be otherwise.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from servers.loopback import free_port, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.requests import Request

    from servers.issuers import Issuer

ENTRA_AUDIENCE = "api://AzureADTokenExchange"

# What the program of a CI system says for itself; {token} and {log} are put in.
_PROGRAM = """\
#!/bin/sh
printf '%s\\n' "$*" >> '{log}'
{failure}
printf '%s\\n' '{token}'
"""

_STS_ANSWER = """\
<GetWebIdentityTokenResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<GetWebIdentityTokenResult><WebIdentityToken>{token}</WebIdentityToken><Expiration>2035-01-01T00:00:00Z</Expiration>
</GetWebIdentityTokenResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetWebIdentityTokenResponse>
"""
_STS_ERROR = """\
<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>{code}</Code>
<Message>canary-message</Message></Error><RequestId>1</RequestId></ErrorResponse>
"""


@dataclass
class Platforms:
    """All platforms on one port of loopback.

    ``asked`` are the audiences that tokens were asked for, ``given`` the tokens. A test that sets ``failure`` to an
    answer has every endpoint give it; ``sts_code`` is the error code that STS gives instead of a token.
    """

    issuer: Issuer
    url: str
    bearer: str = field(default_factory=lambda: f"canary-{secrets.token_urlsafe(16)}")
    asked: list[str] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    parameters: list[dict[str, str]] = field(default_factory=list)
    failure: Response | None = None
    sts_code: str = ""

    @property
    def github(self) -> dict[str, str]:
        """A job of GitHub Actions with ``id-token: write``."""
        return {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/github?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": self.bearer,
        }

    @property
    def azure_devops(self) -> dict[str, str]:
        """A step of Azure Pipelines that is given the job's access token."""
        return {
            "TF_BUILD": "True",
            "SYSTEM_OIDCREQUESTURI": f"{self.url}/azure-devops",
            "SYSTEM_ACCESSTOKEN": self.bearer,
        }

    @property
    def google(self) -> dict[str, str]:
        """A machine of Google Cloud."""
        return {"GCE_METADATA_HOST": self.url.removeprefix("http://")}

    @property
    def azure_app(self) -> dict[str, str]:
        """An app of Azure App Service with a managed identity."""
        return {"IDENTITY_ENDPOINT": f"{self.url}/azure-app", "IDENTITY_HEADER": self.bearer}

    @property
    def azure_machine(self) -> dict[str, str]:
        """A virtual machine of Azure, on which somebody has chosen the source."""
        return {"INDEXPASS_IDENTITY_SOURCE": "azure", "AZURE_POD_IDENTITY_AUTHORITY_HOST": self.url}

    @property
    def aws(self) -> dict[str, str]:
        """A workload that AWS gives credentials to; botocore reads these from the process's own environment."""
        return {
            "AWS_LAMBDA_FUNCTION_NAME": "tools",
            "AWS_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "AKIAMADEUP",
            "AWS_SECRET_ACCESS_KEY": self.bearer,
            "AWS_SESSION_TOKEN": self.bearer,
            "AWS_ENDPOINT_URL_STS": f"{self.url}/aws",
            "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def sign(self, audience: str) -> str:
        """Return a new identity token for the audience."""
        self.asked.append(audience)
        self.given.append(self.issuer.token(aud=audience, jti=secrets.token_urlsafe(16)).reveal())
        return self.given[-1]

    async def answer_github(self, request: Request) -> Response:
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if self.failure or scheme.lower() != "bearer" or bearer != self.bearer:
            return self.failure or JSONResponse({"message": "canary-message"}, status_code=401)
        return JSONResponse({"count": 1, "value": self.sign(request.query_params["audience"])})

    async def answer_azure_devops(self, request: Request) -> Response:
        if self.failure:
            return self.failure
        if request.headers.get("authorization") != f"Bearer {self.bearer}":
            # A browser is sent to a page for signing in; who says that it is none gets a 401.
            is_told = request.headers.get("x-tfs-fedauthredirect") == "Suppress"
            return Response(status_code=401) if is_told else Response(status_code=302, headers={"Location": "/signin"})
        if request.query_params.get("api-version") != "7.1":
            return JSONResponse({"message": "canary-message"}, status_code=400)
        return JSONResponse({"oidcToken": self.sign(ENTRA_AUDIENCE)})

    async def answer_google(self, request: Request) -> Response:
        if self.failure:
            return self.failure
        if request.headers.get("metadata-flavor") != "Google" or request.query_params.get("format") != "full":
            return PlainTextResponse("Missing Metadata-Flavor:Google header.", status_code=403)
        return PlainTextResponse(self.sign(request.query_params["audience"]), headers={"Metadata-Flavor": "Google"})

    async def answer_azure_app(self, request: Request) -> Response:
        return self._answer_azure(request, request.headers.get("x-identity-header") == self.bearer, "2019-08-01")

    async def answer_azure_machine(self, request: Request) -> Response:
        return self._answer_azure(request, request.headers.get("metadata") == "true", "2018-02-01")

    def _answer_azure(self, request: Request, is_allowed: bool, version: str) -> Response:  # noqa: FBT001
        if self.failure:
            return self.failure
        self.parameters.append(dict(request.query_params))
        if not is_allowed or request.query_params.get("api-version") != version:
            return JSONResponse({"error": "invalid_request"}, status_code=400)
        token = self.sign(request.query_params["resource"])
        return JSONResponse({"access_token": token, "expires_on": "2050000000", "token_type": "Bearer"})

    async def answer_aws(self, request: Request) -> Response:
        if self.failure and self.failure.status_code == 200:
            return self.failure
        if self.failure or self.sts_code:
            status = self.failure.status_code if self.failure else 403
            return Response(_STS_ERROR.format(code=self.sts_code), status_code=status, media_type="text/xml")
        form = {key: values[0] for key, values in parse_qs((await request.body()).decode()).items()}
        self.parameters.append(form)
        if form["Action"] != "GetWebIdentityToken" or "AWS4-HMAC-SHA256" not in request.headers["authorization"]:
            return Response(_STS_ERROR.format(code="AccessDenied"), status_code=403, media_type="text/xml")
        return Response(_STS_ANSWER.format(token=self.sign(form["Audience.member.1"])), media_type="text/xml")


@contextmanager
def platforms(issuer: Issuer) -> Iterator[Platforms]:
    """Serve all platforms on loopback; ``issuer`` signs."""
    listener = free_port()
    served = Platforms(issuer, f"http://127.0.0.1:{listener.getsockname()[1]}")
    routes = [
        Route("/github", served.answer_github),
        Route("/azure-devops", served.answer_azure_devops, methods=["POST"]),
        Route("/computeMetadata/v1/instance/service-accounts/default/identity", served.answer_google),
        Route("/azure-app", served.answer_azure_app),
        Route("/metadata/identity/oauth2/token", served.answer_azure_machine),
        Route("/aws", served.answer_aws, methods=["POST"]),
        Route("/aws/", served.answer_aws, methods=["POST"]),
    ]
    with serving(Starlette(routes=routes), listener):
        yield served


def write_program(folder: Path, name: str, token: str, *, failure: str = "") -> Path:
    """Put a program into ``folder`` that prints a token as a CI system's does; return the log of its words.

    ``failure`` are lines of shell that come before the token.
    """
    log = folder / f"{name}.log"
    program = folder / name
    program.write_text(_PROGRAM.format(log=log, token=token, failure=failure), encoding="ascii")
    program.chmod(0o755)
    return log
