"""Azure Pipelines: a job asks Azure DevOps for a token, by the job's own access token.

As Microsoft documents it under "Oidctoken - Create" of the Distributed Task REST API: a POST to SYSTEM_OIDCREQUESTURI,
answered by ``{"oidcToken": "<JWT>"}``. Its audience is ``api://AzureADTokenExchange`` and cannot be chosen. The access
token goes nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexpass._identity_token import read_answer
from indexpass._model import Fit, IdentityToken
from indexpass._secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass._model import Surroundings

_URL = "SYSTEM_OIDCREQUESTURI"
_BEARER = "SYSTEM_ACCESSTOKEN"
_SOURCE = "Azure Pipelines"
_HINT = 'add to the step: env: { SYSTEM_ACCESSTOKEN: "$(System.AccessToken)" }'
_OTHER_HINT = "let an administrator of the project check that its pipelines may use OpenID Connect"


class AzureDevOpsSource:
    """Asks Azure DevOps for a token."""

    def examine(self, audience: str, environ: Mapping[str, str]) -> Fit:  # noqa: ARG002  # the audience is fixed
        """Apply where the step is given the job's access token, which Azure Pipelines does only if it is told to."""
        if not environ.get(_URL):
            return Fit(None, f"{_URL} is not set", _OTHER_HINT)
        if not environ.get(_BEARER):
            return Fit(None, f"the step may not ask for identity tokens ({_BEARER} is not set)", _HINT)
        return Fit(_SOURCE)

    def prove(self, audience: str, surroundings: Surroundings) -> IdentityToken:  # noqa: ARG002  # likewise
        """Return a new token. Raises IdentityError or BrokerUnreachable."""
        url = surroundings.environ[_URL]
        answer = surroundings.http.send(
            "POST",
            f"{url}{'&' if '?' in url else '?'}api-version=7.1",
            headers={
                "Authorization": Secret(f"Bearer {surroundings.environ[_BEARER]}"),
                "X-TFS-FedAuthRedirect": "Suppress",  # else a refusal is a redirect to a page for signing in
            },
        )
        return IdentityToken(read_answer(answer, "oidcToken", source=_SOURCE, hint=_HINT), _SOURCE)
