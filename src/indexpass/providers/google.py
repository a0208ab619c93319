"""Credentials for Google Artifact Registry: an access token of Google's, as google-auth obtains it.

A machine that can prove who it is to a workload identity pool trades its identity token there, and goes on as a service
account if one is configured. Everyone else has Application Default Credentials: a person's sign-in with gcloud, or the
machine's own service account. This module never keeps a token, and sends one to Google only.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple, NoReturn
from urllib.parse import urlsplit

import requests

from indexpass._answer import refusal
from indexpass._known import is_all_at
from indexpass._model import Credential
from indexpass._secret import Secret
from indexpass._vendor import run_library
from indexpass.errors import BrokerMisbehaved, BrokerUnreachable, ConfigError, IndexpassError, SessionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from google.auth.credentials import Credentials

    from indexpass._model import Context, Index, Operation

USERNAME = "oauth2accesstoken"  # Artifact Registry, "Set up authentication to Python package repositories"
# Artifact Registry's API takes the first for all that reads (REST reference, "Authorization scopes").
SCOPES: Mapping[Operation, str] = {
    "read": "https://www.googleapis.com/auth/cloud-platform.read-only",
    "upload": "https://www.googleapis.com/auth/cloud-platform",
}
# Only the token of a service account has a length that can be chosen. uv and Poetry never ask again in mid-run: with
# 40 minutes, what they are handed lasts for 20 at least. An upload is one request after the other, right away.
LIFE_SECONDS: Mapping[Operation, int] = {"read": 40 * 60, "upload": 15 * 60}
_STS_URL = "https://sts.googleapis.com/v1/token"
_IAM_URL = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{}:generateAccessToken"
_POOL = re.compile(r"projects/[0-9]+/locations/global/workloadIdentityPools/[a-z0-9-]+/providers/[a-z0-9-]+")
_SERVICE_ACCOUNT = re.compile(r"[a-zA-Z0-9._-]+@[a-zA-Z0-9.-]+")
_SIGN_IN = "gcloud auth application-default login"
_CLOCK = ("iat and exp", "is stale", "issued in the future", "token used too early")
_SECONDS = 10.0  # for one request; the whole is bounded beyond
_METADATA_SECONDS = 1.0  # the metadata server is on the same machine, or there is none
_MAX_BYTES = 1024 * 1024
_MAX_RETRY_AFTER_SECONDS = 3600


class GoogleProvider:
    """Asks Google for access tokens; implements Provider."""

    def issue(self, index: Index, operation: Operation, context: Context) -> Credential:
        """Return a new access token: for the identity token if a pool is configured and there is one, else the default.

        Raises ConfigError, SessionError, IdentityError or BrokerError.
        """
        if not is_all_at(index, "google"):
            raise ConfigError(
                f"the index {index.name!r} is not at Google Artifact Registry",
                hint="write its url as https://REGION-python.pkg.dev/PROJECT/REPOSITORY/simple/",
            )
        pool, account = _options(index)
        audience = f"https://iam.googleapis.com/{pool}"
        identity = context.identify(audience) if pool else None
        transport = _Transport(context.environ.get("SSL_CERT_FILE"))

        def load() -> Credentials:
            if identity:
                return _federated(pool, account, identity.secret, operation)
            return _default(operation, transport)

        issued_at = context.now()
        try:
            token, expires_at = run_library(lambda: _refresh(load, transport), platform="Google", extra="google")
        except SessionError as error:
            unidentified = context.unidentified(audience) if pool and not identity else None
            raise unidentified or error from None
        if identity and account:
            # What we asked for: the answer has a time by Google's clock, which this machine's need not agree with.
            expires_at = issued_at + LIFE_SECONDS[operation]
        return Credential(USERNAME, token, issued_at=issued_at, expires_at=expires_at)


def _options(index: Index) -> tuple[str, str]:
    """Return the full name of the pool's provider, and the email of the service account; each may be empty."""
    pool = index.options.get("workload-identity-provider", "")
    account = index.options.get("service-account", "")
    if pool and not _POOL.fullmatch(pool):
        problem = "'workload-identity-provider' is not the full name of one"
        hint = "write it as projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER"
    elif account and not _SERVICE_ACCOUNT.fullmatch(account):
        problem, hint = "'service-account' is not the email of one", "write it as NAME@PROJECT.iam.gserviceaccount.com"
    elif account and not pool:
        problem, hint = "'service-account' needs 'workload-identity-provider'", "add it, or remove 'service-account'"
    else:
        return pool, account
    raise ConfigError(f"the index {index.name!r}: {problem}", hint=hint)


def _federated(pool: str, account: str, subject: Secret, operation: Operation) -> Credentials:
    """Return what trades an identity token at the pool, and then the answer for a token of the service account."""
    from google.auth.identity_pool import Credentials  # noqa: PLC0415  # only where a token is issued

    return Credentials(  # type: ignore[no-untyped-call]
        audience=f"//iam.googleapis.com/{pool}",
        subject_token_type="urn:ietf:params:oauth:token-type:jwt",  # noqa: S106  # a name, not a token
        token_url=_STS_URL,
        subject_token_supplier=_Supplier(subject),
        service_account_impersonation_url=_IAM_URL.format(account) if account else None,
        service_account_impersonation_options={"token_lifetime_seconds": LIFE_SECONDS[operation]},
        scopes=[SCOPES[operation]],
    )


def _default(operation: Operation, transport: _Transport) -> Credentials:
    """Return Application Default Credentials; of a person's the scopes were chosen at the sign-in."""
    import google.auth  # noqa: PLC0415  # only where a token is issued

    credentials, _ = google.auth.default(scopes=[SCOPES[operation]], request=transport)  # type: ignore[arg-type]
    return credentials


def _refresh(load: Callable[[], Credentials], transport: _Transport) -> tuple[Secret, float]:
    """Return a new token, and when it expires in seconds since the epoch. Raises IndexpassError."""
    from datetime import timezone  # noqa: PLC0415  # with google-auth, which loads it

    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError  # noqa: PLC0415

    try:
        credentials = load()
        credentials.refresh(transport)  # type: ignore[no-untyped-call]
    except DefaultCredentialsError as error:
        raise _without_credentials(is_absent="were not found" in str(error)) from None
    except GoogleAuthError:
        _explain(transport)
    except (AttributeError, KeyError, TypeError, ValueError):  # what google-auth makes of an answer that is none
        raise BrokerMisbehaved(f"{transport.host}'s answer is not what its documentation says") from None
    if not isinstance(credentials.token, str) or not credentials.token or credentials.expiry is None:
        raise BrokerMisbehaved("Google's answer has no access token, or no expiry")
    return Secret(credentials.token), credentials.expiry.replace(tzinfo=timezone.utc).timestamp()


def _without_credentials(*, is_absent: bool) -> IndexpassError:
    """Return what it means that there are no default credentials, or none that can be used."""
    if is_absent:
        return SessionError(
            "nobody is signed in at Google, and no identity token could be used in place of that",
            hint=f"{_SIGN_IN} (in CI: configure 'workload-identity-provider', and let the job have an identity token)",
        )
    return ConfigError(
        "the file of Application Default Credentials, or what it names, cannot be used",
        hint=f"{_SIGN_IN} (or correct GOOGLE_APPLICATION_CREDENTIALS)",
    )


def _explain(transport: _Transport) -> NoReturn:
    """Raise what the last answer means."""
    answer = transport.last
    if not transport.host:  # nobody was asked
        raise _without_credentials(is_absent=False)
    if answer is None:
        raise BrokerUnreachable(f"{transport.host} cannot be reached", hint="check your network, VPN and HTTPS_PROXY")
    if answer.status == 429 or answer.status >= 500:  # noqa: PLR2004  # RFC 6585, RFC 9110
        raise BrokerUnreachable(
            f"{transport.host} is not ready: it answered with status {answer.status}",
            hint="try again in a minute",
            retry_after=_retry_after(answer.headers),
        )
    if answer.status == 200:  # noqa: PLR2004
        raise BrokerMisbehaved(f"{transport.host}'s answer is not what its documentation says")
    refused = refusal(_error_in(answer.data), transport.host)
    if any(mark in refused.message for mark in _CLOCK):
        refused.hint = "set this machine's clock: timedatectl set-ntp true"
    elif transport.host == "sts.googleapis.com":
        refused.hint = _POOL_HINTS.get(refused.reason, _POOL_HINT)
    elif transport.host == "iamcredentials.googleapis.com":
        refused.hint = _ACCOUNT_HINTS.get(refused.reason, _ACCOUNT_HINT)
    elif refused.reason == "invalid_grant":
        raise SessionError("your sign-in at Google has ended, or was revoked", hint=_SIGN_IN)
    else:
        refused.hint = f"give this machine a service account, or sign in: {_SIGN_IN}"
    raise refused


_POOL_HINT = (
    "compare the pool's provider with the claims of the job: gcloud iam workload-identity-pools providers describe"
)
_POOL_HINTS = {
    "invalid_target": "correct 'workload-identity-provider': the pool or provider does not exist, or is disabled",
    "unauthorized_client": "let the provider's attribute condition accept this job",
    "invalid_grant": (
        "let the provider accept the audience https://iam.googleapis.com/ and its own full name (the default), and the "
        "issuer of the job's identity tokens"
    ),
}
_ACCOUNT_HINT = (
    "let the pool act as the service account: gcloud iam service-accounts add-iam-policy-binding SERVICE_ACCOUNT "
    "--role roles/iam.workloadIdentityUser --member principalSet://iam.googleapis.com/POOL/*"
)
_ACCOUNT_HINTS = {
    "SERVICE_DISABLED": "gcloud services enable iamcredentials.googleapis.com",
    "NOT_FOUND": "correct 'service-account': there is none of that name",
    "INVALID_ARGUMENT": "correct 'service-account'",
}


def _error_in(data: bytes) -> Mapping[str, object]:
    """Return an error in OAuth's form (RFC 6749 section 5.2), also if it came in that of Google's APIs (AIP-193)."""
    try:
        body: object = json.loads(data)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        return {}
    error = body.get("error")
    if not isinstance(error, dict):
        return body
    reason = "SERVICE_DISABLED" if "SERVICE_DISABLED" in str(error.get("details")) else error.get("status")
    return {"error": reason, "error_description": error.get("message")}


def _retry_after(headers: Mapping[str, str]) -> float | None:
    text = headers.get("retry-after", "")
    return float(min(int(text), _MAX_RETRY_AFTER_SECONDS)) if re.fullmatch("[0-9]{1,9}", text) else None


class _Supplier:
    """Gives google-auth the identity token that we have; a SubjectTokenSupplier."""

    def __init__(self, subject: Secret) -> None:
        self._subject = subject

    def get_subject_token(self, _context: object, _request: object) -> str:
        return self._subject.reveal()


class _Response(NamedTuple):
    """What google-auth reads of an answer: its transport.Response."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class _Transport:
    """google-auth's way out, its transport.Request: bounded, never following a redirect, without .netrc.

    It keeps the last answer, because what google-auth raises does not say everything. A host that was not there is not
    tried again: google-auth would ask for a metadata server three times, and wait in between.
    """

    def __init__(self, authorities: str | None) -> None:
        self.session = requests.Session()  # by this name google-auth reaches it, for the metadata server's certificates
        self.session.verify = authorities or True
        self.last: _Response | None = None
        self.host = ""
        self._absent: set[str] = set()

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_more: object,
    ) -> _Response:
        from google.auth.exceptions import TransportError  # noqa: PLC0415  # loaded by whoever calls

        self.host = urlsplit(url).hostname or ""
        self.last = None
        if self.host in self._absent:
            raise TransportError(f"{self.host} cannot be reached")  # type: ignore[no-untyped-call]
        seconds = _METADATA_SECONDS if url.startswith("http://") else min(timeout or _SECONDS, _SECONDS)
        try:
            with self.session.request(
                method,
                url,
                data=body,
                headers=headers,
                timeout=seconds,
                auth=_keep_as_it_is,
                allow_redirects=False,
                stream=True,
            ) as response:
                data = response.raw.read(_MAX_BYTES, decode_content=True)
                found = {name.lower(): value for name, value in response.headers.items()}
        except OSError:  # requests' own errors are OSErrors too; their text can hold the URL and more
            self._absent.add(self.host)
            raise TransportError(f"{self.host} cannot be reached") from None  # type: ignore[no-untyped-call]
        self.last = _Response(response.status_code, found, data)
        return self.last


def _keep_as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Stand where requests would otherwise look up .netrc, which may hold another service's password."""
    return request
