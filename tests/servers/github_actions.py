"""A stand-in for the part of GitHub Actions that hands identity tokens to a job; nothing here is GitHub's.

It behaves as GitHub documents it: a job with ``id-token: write`` finds a URL and a bearer token in two variables, adds
``&audience=…``, and gets ``{"value": "<JWT>"}``, a new one each time. The claims are those that a policy should name.
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

    from servers.issuers import Issuer


@dataclass
class GitHubActions:
    """One job: ``environ`` is what it finds, ``audiences`` what it has asked for.

    A test that sets ``repeated`` to a token has it handed out instead of new ones, which GitHub never does.
    """

    issuer: Issuer
    url: str
    bearer: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    repository_id: str = "1234"
    audiences: list[str] = field(default_factory=list)
    handed_out: list[str] = field(default_factory=list)
    repeated: str = ""

    @property
    def environ(self) -> dict[str, str]:
        """The variables of a job with the permission ``id-token: write``."""
        return {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/job?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": self.bearer,
        }

    async def answer(self, request: Request) -> Response:
        """Hand out an identity token for the audience that is asked for."""
        if request.headers.get("authorization", "").partition(" ")[2] != self.bearer:
            return JSONResponse({"message": "Unauthorized"}, status_code=401)
        audience = request.query_params.get("audience", "https://github.com/acme")
        self.audiences.append(audience)
        token = self.repeated or self.sign(audience)
        self.handed_out.append(token)
        return JSONResponse({"count": len(token), "value": token})

    def sign(self, audience: str) -> str:
        """Return a new identity token of the job."""
        return self.issuer.token(
            sub="repo:acme/tools:environment:release",
            aud=audience,
            jti=secrets.token_urlsafe(16),
            repository="acme/tools",
            repository_id=self.repository_id,
            repository_owner="acme",
            repository_owner_id="99",
            job_workflow_ref="acme/tools/.github/workflows/release.yml@refs/tags/v1.0",
            ref="refs/tags/v1.0",
            event_name="push",
            environment="release",
            runner_environment="github-hosted",
        ).reveal()


@contextmanager
def github_actions(issuer: Issuer) -> Iterator[GitHubActions]:
    """Serve a job's endpoint on loopback; ``issuer`` signs."""
    listener = free_port()
    job = GitHubActions(issuer, f"http://127.0.0.1:{listener.getsockname()[1]}")
    with serving(Starlette(routes=[Route("/job", job.answer)]), listener):
        yield job
