"""GitHub Actions: a job that may write id-tokens asks GitHub for one, made for the audience that it names.

As GitHub documents it under "OpenID Connect reference": a GET to ACTIONS_ID_TOKEN_REQUEST_URL with the bearer token of
ACTIONS_ID_TOKEN_REQUEST_TOKEN, answered by ``{"value": "<JWT>"}``, a new one each time. This module never reads
GITHUB_TOKEN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from indexpass._identity_token import read_answer
from indexpass._model import Fit, IdentityToken
from indexpass._secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass._model import Surroundings

_URL = "ACTIONS_ID_TOKEN_REQUEST_URL"
_BEARER = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
_SOURCE = "GitHub Actions"
_HINT = "add to the job, unless it runs for a fork's pull request: permissions: { contents: read, id-token: write }"


class GitHubSource:
    """Asks GitHub Actions for a token."""

    def examine(self, audience: str, environ: Mapping[str, str]) -> Fit:  # noqa: ARG002  # any audience is possible
        """Apply where the job has the permission ``id-token: write``: only then are the variables there."""
        missing = [name for name in (_URL, _BEARER) if not environ.get(name)]
        if missing:
            return Fit(None, f"the job may not ask for identity tokens ({missing[0]} is not set)", _HINT)
        return Fit(_SOURCE)

    def prove(self, audience: str, surroundings: Surroundings) -> IdentityToken:
        """Return a new token. Raises IdentityError or BrokerUnreachable."""
        url = surroundings.environ[_URL]
        answer = surroundings.http.send(
            "GET",
            f"{url}{'&' if '?' in url else '?'}audience={quote(audience, safe='')}",
            headers={"Authorization": Secret(f"Bearer {surroundings.environ[_BEARER]}")},
        )
        return IdentityToken(read_answer(answer, "value", source=_SOURCE, hint=_HINT), _SOURCE)
