"""Credentials for Azure Artifacts: the token of a job, the Entra token of a program, or a person's session token.

A person's Entra token may do all that the person may do. So it is traded for a session token with one scope, as
Microsoft's own credential provider does it, and goes only to hosts on the list here, whatever the feed names. What
applications get from Entra, Azure Artifacts takes directly, and knows no narrower token for them. This module never
keeps a token, opens a browser, or looks for a managed identity that nothing points to.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING

from indexpass._answer import read_life, read_success, read_text, require_ready
from indexpass._entra import RESOURCE, AppProof, by_app, by_managed_identity
from indexpass._identity_token import read_file, read_token
from indexpass._known import find_azure_organization, is_all_at
from indexpass._model import Credential
from indexpass._secret import Secret
from indexpass._token_program import find_program, run_program
from indexpass._url import IndexUrl
from indexpass.errors import BrokerMisbehaved, BrokerRefused, ConfigError, IdentityError, SessionError, UrlError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass._model import Answer, Context, Index, Operation

AUDIENCE = "api://AzureADTokenExchange"  # Entra, "Workload identity federation": what it wants of every identity token
SCOPES: Mapping[Operation, str] = {"read": "vso.packaging", "upload": "vso.packaging_write"}
# uv and Poetry never ask again in mid-run: with 40 minutes, what they are handed lasts for 20 at least.
LIFE_SECONDS: Mapping[Operation, int] = {"read": 40 * 60, "upload": 15 * 60}
_JOB_USERNAME = "build"  # any name will do; this is the one that Pipelines' own tasks use
_APP_USERNAME = "bearer"
_SESSION_USERNAME = "VssSessionToken"
_SIGN_IN_HOSTS = frozenset({"login.microsoftonline.com", "login.windows.net"})
_SESSION_HOST = re.compile(r"(?:[a-z0-9-]+\.)*vssps(?:ext)?\.(?:visualstudio\.com|dev\.azure\.com)")
_SESSION_PATH = "/_apis/Token/SessionTokens?tokenType=SelfDescribing&api-version=5.0-preview.1"
_SUPPRESS = ("X-TFS-FedAuthRedirect", "Suppress")  # else a refusal is a redirect to a page for signing in
_CHALLENGE = re.compile(r"\bBearer authorization_uri=(https://[^\s,]+)", re.IGNORECASE)
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,254}")
_MAX_TOKEN_LENGTH = 16_384


class AzureProvider:
    """Obtains tokens for feeds of Azure DevOps Services; implements Provider and WithOwnProof."""

    def issue(self, index: Index, operation: Operation, context: Context) -> Credential:
        """Return a token by the first that applies: a configured application, a job, an identity of Azure's, a person.

        Raises ConfigError, IdentityError, SessionError or BrokerError.
        """
        if not is_all_at(index, "azure"):
            raise ConfigError(
                f"the index {index.name!r} is not at Azure Artifacts",
                hint="write its url as https://pkgs.dev.azure.com/ORGANIZATION/PROJECT/_packaging/FEED/pypi/simple/",
            )
        issued_at = context.now()
        proof = _configured(index, context) or _in_environment(context.environ)
        if proof is None and (token := _job_token(index, context.environ)):
            # It ends with the job, and nobody says when that is.
            return Credential(_JOB_USERNAME, token, issued_at=issued_at, expires_at=None, is_kept=False)
        if proof:
            return _app_credential(*by_app(proof, context.http), issued_at)
        managed = _managed_identity(index, context.environ)
        if managed:
            return _app_credential(*by_managed_identity(managed), issued_at)
        return _session(index, operation, context)

    def own_proof(self, index: Index, context: Context) -> str | None:
        """Name the application, the job or the managed identity; see :class:`indexpass._model.WithOwnProof`."""
        if client_id := index.options.get("client-id"):
            return f"the application {client_id}, by an identity token"
        if proof := _in_environment(context.environ):
            return f"the application {proof.client_id} ({proof.source})"
        if _job_token(index, context.environ):
            return f"this job of {find_azure_organization(index.url)} (SYSTEM_ACCESSTOKEN)"
        managed = _managed_identity(index, context.environ)
        return f"the managed identity {managed}" if managed else None


def _managed_identity(index: Index, environ: Mapping[str, str]) -> str | None:
    """Return which managed identity of Azure is used, or None where nothing points to one."""
    is_there = environ.get("IDENTITY_ENDPOINT") or environ.get("MSI_ENDPOINT")
    return index.options.get("managed-identity") or ("system" if is_there else None)


def _app_credential(token: Secret, life: int, issued_at: float) -> Credential:
    return Credential(_APP_USERNAME, token, issued_at=issued_at, expires_at=issued_at + life)


def _configured(index: Index, context: Context) -> AppProof | None:
    """Return the application that the index names, proved by this machine's identity token."""
    tenant, client_id = index.options.get("tenant", ""), index.options.get("client-id", "")
    if tenant and not _TENANT.fullmatch(tenant):
        raise ConfigError(
            f"the index {index.name!r}: 'tenant' is not the id or the domain of one", hint="az account show"
        )
    if not client_id:
        return None
    if not tenant:
        raise ConfigError(
            f"the index {index.name!r}: 'client-id' needs 'tenant'", hint='add a line: tenant = "…" (its id or domain)'
        )
    identity = context.identify(AUDIENCE)
    if identity is None:
        raise context.unidentified(AUDIENCE) or IdentityError(
            f"nothing here proves to the tenant {tenant} who runs this",
            hint="people leave client-id out, and sign in by: az login",
        )
    return AppProof(tenant, client_id, assertion=identity.secret, source=identity.source)


def _in_environment(environ: Mapping[str, str]) -> AppProof | None:
    """Return the application that Azure's own variables describe: a workload in AKS, or a service principal."""
    tenant, client_id = environ.get("AZURE_TENANT_ID", ""), environ.get("AZURE_CLIENT_ID", "")
    if not client_id or not _TENANT.fullmatch(tenant):
        return None
    if path := environ.get("AZURE_FEDERATED_TOKEN_FILE"):
        hint = 'label the pod: azure.workload.identity/use: "true"'
        token = read_token(read_file(path, hint=hint), where=path, hint=hint)
        return AppProof(tenant, client_id, assertion=token, source="AZURE_FEDERATED_TOKEN_FILE")
    if secret := environ.get("AZURE_CLIENT_SECRET"):
        return AppProof(tenant, client_id, secret=Secret(secret), source="AZURE_CLIENT_SECRET")
    return None


def _job_token(index: Index, environ: Mapping[str, str]) -> Secret | None:
    """Return the token of the job in Azure Pipelines that runs this, if the index is in the job's own organization."""
    token = environ.get("SYSTEM_ACCESSTOKEN")
    if not token:
        return None
    try:
        collection = IndexUrl.parse(environ.get("SYSTEM_COLLECTIONURI", ""))
    except UrlError:
        return None
    organization = find_azure_organization(index.url)
    host, segments = collection.origin.host, collection.segments
    is_ours = host == f"{organization}.visualstudio.com" or (
        host == "dev.azure.com" and len(segments) == 1 and segments[0].lower() == organization
    )
    return Secret(token) if is_ours else None


def _session(index: Index, operation: Operation, context: Context) -> Credential:
    """Return a session token of the person who has signed in with Azure's command line."""
    feed = context.http.send("GET", str(index.url), headers=dict([_SUPPRESS]))
    require_ready(feed, str(index.url.origin))
    tenant = index.options.get("tenant") or _tenant(feed, index)
    endpoint = _session_endpoint(feed, index)
    bearer = _person(tenant, context)
    asked_at = context.now()
    answer = context.http.send(
        "POST",
        endpoint,
        headers={"Authorization": Secret(f"Bearer {bearer.reveal()}"), **dict([_SUPPRESS])},
        json={
            "scope": SCOPES[operation],
            "displayName": f"indexpass {operation}",
            "validTo": _valid_to(feed, LIFE_SECONDS[operation], now=asked_at),
        },
    )
    if answer.status in {203, 401}:  # 203 is the page for signing in
        raise SessionError(f"Azure DevOps does not take the sign-in of the tenant {tenant}", hint=_az_login(tenant))
    if answer.status == 403:  # noqa: PLR2004  # RFC 9110
        raise BrokerRefused(
            f"Azure DevOps gives you no token for {operation} on {index.url}",
            reason="forbidden",
            hint=f"ask for the role Feed {'Reader' if operation == 'read' else 'Publisher (Contributor)'} on this feed",
        )
    try:
        body = read_success(answer, "Azure DevOps")
    except BrokerRefused as error:
        error.hint = f"check the URL of the feed, and who has signed in: {_az_login(tenant)}"
        raise
    token = Secret(read_text(body, "token", limit=_MAX_TOKEN_LENGTH))
    life = read_life(answer, body, "validTo", now=asked_at)
    return Credential(_SESSION_USERNAME, token, issued_at=asked_at, expires_at=asked_at + life)


def _person(tenant: str, context: Context) -> Secret:
    """Return an Entra token of whoever has signed in with ``az login``. Raises SessionError if nobody has."""
    az = find_program("az", context.environ)
    if az is None:
        raise context.unidentified(AUDIENCE) or SessionError(
            "nobody is signed in at Azure: its command line, az, is not installed",
            hint=f"install the Azure CLI, then {_az_login(tenant)}",
        )
    words = [az, "account", "get-access-token", "--resource", RESOURCE, "--query", "accessToken", "--output", "tsv"]
    try:
        # In its own folder: az is a Python program, and some releases import from where they are run.
        folder = Path(az).parent
        said = run_program([*words, "--tenant", tenant], context.environ, hint=_az_login(tenant), folder=folder)
        return read_token(said, where="what az prints", hint=_az_login(tenant))
    except IdentityError as error:
        raise context.unidentified(AUDIENCE) or SessionError(
            f"nobody is signed in at Azure, or the sign-in has ended ({error})", hint=error.hint
        ) from error


def _tenant(feed: Answer, index: Index) -> str:
    """Return the tenant that the feed wants people of. Raises BrokerMisbehaved if it sends them elsewhere."""
    found = _CHALLENGE.search(feed.headers.get("www-authenticate", ""))
    if not found:
        raise BrokerMisbehaved(
            f"{index.url} does not say which tenant its people are of (status {feed.status})",
            hint='check the URL, or add a line: tenant = "…"',
        )
    url = _trusted(found[1])
    if url is None or url.origin.host not in _SIGN_IN_HOSTS or not url.segments:
        raise BrokerMisbehaved(f"{index.url} sends people to sign in at a place that is not Microsoft's")
    if not _TENANT.fullmatch(url.segments[0]):
        raise BrokerMisbehaved(f"{index.url} names a tenant that is none")
    return url.segments[0]


def _session_endpoint(feed: Answer, index: Index) -> str:
    """Return where session tokens of the feed's organization are made. Raises BrokerMisbehaved."""
    said = feed.headers.get("x-vss-authorizationendpoint", "")
    url = _trusted(said)
    if url is None or not _SESSION_HOST.fullmatch(url.origin.host):
        raise BrokerMisbehaved(
            f"{index.url} names no place for session tokens that is Microsoft's", hint="check the URL of the feed"
        )
    return f"{str(url).rstrip('/')}{_SESSION_PATH}"


def _trusted(text: str) -> IndexUrl | None:
    try:
        url = IndexUrl.parse(text)
    except UrlError:
        return None
    return url if url.origin.scheme == "https" and url.origin.has_default_port else None


def _valid_to(feed: Answer, life: int, *, now: float) -> str:
    """Return when the token shall end, by the clock of Azure DevOps: this machine's may be wrong."""
    try:
        moment = parsedate_to_datetime(feed.headers.get("date", "")).replace(tzinfo=timezone.utc)
    except ValueError:
        moment = datetime.fromtimestamp(now, timezone.utc)
    return (moment + timedelta(seconds=life)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _az_login(tenant: str) -> str:
    return f"az login --tenant {tenant} --allow-no-subscriptions"
