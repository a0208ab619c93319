"""Azure managed identities: a machine, app or function has Entra make a token for an application of the tenant.

Apps and functions find their endpoint in IDENTITY_ENDPOINT (Microsoft, "How to use managed identities for App
Service"); virtual machines have the instance metadata service, which no variable announces, so it is asked only where
INDEXPASS_IDENTITY_SOURCE says so. The audience has to be an application's id URI. This module needs no SDK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from indexpass._identity_token import CHOICE_VARIABLE, read_answer
from indexpass._link_local import ask_link
from indexpass._model import Fit, IdentityToken
from indexpass._secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass._model import Surroundings

_ENDPOINT = "IDENTITY_ENDPOINT"
_HEADER = "IDENTITY_HEADER"
_IMDS_VARIABLE = "AZURE_POD_IDENTITY_AUTHORITY_HOST"  # Microsoft's own libraries know it
_IMDS = "http://169.254.169.254"
_SOURCE = "the managed identity of Azure"


class AzureSource:
    """Asks the managed identity's endpoint for a token."""

    def examine(self, audience: str, environ: Mapping[str, str]) -> Fit:  # noqa: ARG002  # Entra knows which exist
        """Apply in apps and functions that have an identity, and where INDEXPASS_IDENTITY_SOURCE is ``azure``."""
        if environ.get(CHOICE_VARIABLE) == "azure" or (environ.get(_ENDPOINT) and environ.get(_HEADER)):
            return Fit(_SOURCE)
        return Fit(None, f"the app has no managed identity ({_HEADER} is not set)", "az webapp identity assign")

    def prove(self, audience: str, surroundings: Surroundings) -> IdentityToken:
        """Return a token, which Entra may have made up to a day ago. Raises IdentityError or BrokerUnreachable.

        AZURE_CLIENT_ID names the identity where there are several.
        """
        environ = surroundings.environ
        parameters = {"resource": audience}
        if environ.get("AZURE_CLIENT_ID"):
            parameters["client_id"] = environ["AZURE_CLIENT_ID"]
        headers: dict[str, str | Secret]
        if environ.get(_ENDPOINT) and environ.get(_HEADER):
            place = environ[_ENDPOINT]
            parameters["api-version"] = "2019-08-01"
            headers = {"X-IDENTITY-HEADER": Secret(environ[_HEADER])}
        else:
            place = f"{environ.get(_IMDS_VARIABLE) or _IMDS}/metadata/identity/oauth2/token"
            parameters["api-version"] = "2018-02-01"
            headers = {"Metadata": "true"}
        hint = (
            "check that the identity exists (with several, set AZURE_CLIENT_ID), and that its tenant has an app "
            f"for the audience: az ad app list --identifier-uri {audience}"
        )
        answer = ask_link(f"{place}?{urlencode(parameters)}", headers, source=_SOURCE, hint=hint)
        return IdentityToken(read_answer(answer, "access_token", source=_SOURCE, hint=hint), _SOURCE)
