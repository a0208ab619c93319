"""Tokens of Microsoft Entra for Azure DevOps, for programs: applications and managed identities, by MSAL.

MSAL asks Entra through our own HTTP, so it is bounded, finds the same proxies and authorities, and reaches no host but
Entra's. A managed identity is asked for on the machine itself, past any proxy. This module knows no index, and never
signs a person in.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from indexpass._answer import read_seconds, read_text, refusal, require_ready
from indexpass._link_local import ask_link
from indexpass._secret import Secret
from indexpass._url import IndexUrl
from indexpass._vendor import run_library
from indexpass.errors import BrokerMisbehaved, BrokerRefused, ConfigError, IdentityError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass._model import Answer, ApiHttp

RESOURCE = "499b84ac-1321-427f-aa17-267ca6975798"  # Azure DevOps, in every tenant
AUTHORITY = "https://login.microsoftonline.com"
_MACHINE = "this machine's managed identity"
_MAX_TOKEN_LENGTH = 16_384
# What Entra says in an error's description (Microsoft, "Microsoft Entra authentication and authorization error codes").
_HINTS = {
    "AADSTS700016": "check 'client-id' and 'tenant': the application {client_id} is not in the tenant {tenant}",
    "AADSTS70021": "{federate}",
    "AADSTS700211": "{federate}",
    "AADSTS700212": "{federate}",
    "AADSTS700213": "{federate}",
    "AADSTS700024": "set the clock of this machine, or let {source} give a new identity token",
    "AADSTS7000215": "az ad app credential reset --id {client_id}, and put the new secret into AZURE_CLIENT_SECRET",
    "AADSTS7000222": "az ad app credential reset --id {client_id}, and put the new secret into AZURE_CLIENT_SECRET",
}
_FEDERATE = (
    "az ad app federated-credential create --id {client_id}, with the issuer and the subject of {source}'s token and "
    "the audience api://AzureADTokenExchange"
)


class AppProof(NamedTuple):
    """An application of a tenant, and its proof: an identity token that it trusts, or its own secret."""

    tenant: str
    client_id: str
    source: str
    assertion: Secret | None = None
    secret: Secret | None = None


def by_app(proof: AppProof, http: ApiHttp) -> tuple[Secret, int]:
    """Return an application's token, and for how many seconds it is good.

    Raises ConfigError, BrokerRefused, BrokerUnreachable or BrokerMisbehaved.
    """
    return _read(run_library(lambda: _ask_entra(proof, http), platform="Microsoft Entra", extra="azure"), proof)


def by_managed_identity(name: str) -> tuple[Secret, int]:
    """Return the token of a managed identity of this machine: ``system``, or the client id of one that a user assigned.

    Raises ConfigError, BrokerRefused, BrokerUnreachable or BrokerMisbehaved.
    """
    return _read(run_library(lambda: _ask_machine(name), platform=_MACHINE, extra="azure"))


def _ask_entra(proof: AppProof, http: ApiHttp) -> object:
    import msal  # type: ignore[import-untyped]  # noqa: PLC0415  # only where a token is issued

    credential = {"client_assertion": proof.assertion.reveal()} if proof.assertion else None
    try:
        app = msal.ConfidentialClientApplication(
            proof.client_id,
            authority=f"{AUTHORITY}/{proof.tenant}",
            client_credential=credential or (proof.secret.reveal() if proof.secret else ""),
            http_client=_EntraHttp(http),
            instance_discovery=False,  # the authority is known
        )
    except ValueError:  # what MSAL makes of a tenant that Entra does not know
        raise ConfigError(
            f"Microsoft Entra has no tenant {proof.tenant}", hint="correct 'tenant' or AZURE_TENANT_ID: az account show"
        ) from None
    result: object = app.acquire_token_for_client(scopes=[f"{RESOURCE}/.default"])
    return result


def _ask_machine(name: str) -> object:
    import msal  # noqa: PLC0415  # only where a token is issued

    if msal.managed_identity.get_managed_identity_source() is msal.managed_identity.SERVICE_FABRIC:
        raise ConfigError("the managed identity of a Service Fabric cannot be used", hint="use a service principal")
    identity = (
        msal.SystemAssignedManagedIdentity() if name == "system" else msal.UserAssignedManagedIdentity(client_id=name)
    )
    try:
        client = msal.ManagedIdentityClient(identity, http_client=_LinkHttp())
        result: object = client.acquire_token_for_client(resource=RESOURCE)
    except OSError:  # only Azure Arc keeps a secret in a file
        raise IdentityError(
            "the key of Azure Arc cannot be read", hint="sudo usermod -a -G himds $USER, then sign in again"
        ) from None
    except (ValueError, msal.ManagedIdentityError):
        raise BrokerMisbehaved(f"the answer of {_MACHINE} is not what its documentation says") from None
    return result


def _read(result: object, proof: AppProof | None = None) -> tuple[Secret, int]:
    """Return the token and its life, or raise what Entra says; its words are cut before the ids of the request."""
    if not isinstance(result, dict):
        raise BrokerMisbehaved("the answer has no access token")
    if "error" in result:
        said = str(result.get("error_description") or "").partition(" Trace ID")[0].splitlines()
        refused = refusal({"error": result["error"], "error_description": "".join(said[:1])[:300]}, "Microsoft Entra")
        raise BrokerRefused(refused.message, reason=refused.reason, hint=_hint(refused.message, proof))
    return Secret(read_text(result, "access_token", limit=_MAX_TOKEN_LENGTH)), read_seconds(
        result, "expires_in", default=300
    )


def _hint(message: str, proof: AppProof | None) -> str:
    if proof is None:
        return "assign an identity to this machine, add it to the organization's users, and give it a role on the feed"
    code = message.partition(":")[2].strip().partition(":")[0]
    told = {"client_id": proof.client_id, "tenant": proof.tenant, "source": proof.source}
    return _HINTS.get(code, "").format(federate=_FEDERATE.format(**told), **told)


class _EntraHttp:
    """What MSAL takes for HTTP (its ``oauth2cli.http``); goes to Entra only."""

    def __init__(self, http: ApiHttp) -> None:
        self._http = http

    def get(
        self, url: str, *, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> _Response:
        return self._read(self._http.send("GET", self._place(url, params), headers=headers or {}))

    def post(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,  # noqa: ARG002  # MSAL's statistics about itself
    ) -> _Response:
        return self._read(self._http.post_form(self._place(url, params), data or {}))

    @staticmethod
    def _place(url: str, params: Mapping[str, str] | None) -> str:
        if str(IndexUrl.parse(url).origin) != AUTHORITY:
            raise BrokerMisbehaved("Microsoft Entra names an endpoint at another host")
        return f"{url}?{urlencode(params)}" if params else url

    @staticmethod
    def _read(answer: Answer) -> _Response:
        require_ready(answer, "Microsoft Entra")
        if not isinstance(answer.body, dict):  # MSAL would log it
            raise BrokerMisbehaved(f"Microsoft Entra answered with status {answer.status} and no JSON object")
        return _Response(answer)


class _LinkHttp:
    """The same for a managed identity, whose endpoint is on the machine or beside it."""

    def get(self, url: str, *, params: Mapping[str, str], headers: Mapping[str, str]) -> _Response:
        hint = "check that this runs in Azure; elsewhere, leave 'managed-identity' out"
        answer = ask_link(f"{url}?{urlencode(params)}", headers, source=_MACHINE, hint=hint)
        require_ready(answer, _MACHINE)
        return _Response(answer)


class _Response:
    """What MSAL reads of an answer."""

    def __init__(self, answer: Answer) -> None:
        self.status_code = answer.status
        self.text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
        self.headers = answer.headers
