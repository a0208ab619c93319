"""Credentials from Cloudsmith: an identity token is traded for a short-lived token of a service account.

The account's OIDC settings decide which claims are accepted, the service account's privileges what the token may do
(Cloudsmith's documentation, "OpenID Connect"). Tokens go to Cloudsmith's API only, never to a host that the index
names. This module never signs a person in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard
from urllib.parse import quote

from indexpass._answer import read_success, read_text, refusal
from indexpass._identity_token import read_claims
from indexpass._model import Credential
from indexpass._secret import Secret
from indexpass.errors import BrokerRefused, ConfigError, IdentityError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass._model import Answer, Context, Index, Operation

API = "https://api.cloudsmith.io"
_USERNAME = "token"
_ORIGINS = frozenset({"https://dl.cloudsmith.io", "https://python.cloudsmith.io"})
_UNSAID_SECONDS = 300  # where the token does not say: far less than the 90 minutes that the documentation speaks of
_MAX_TOKEN_LENGTH = 16_384


class CloudsmithProvider:
    """Trades identity tokens at Cloudsmith's API; implements Provider."""

    def issue(self, index: Index, operation: Operation, context: Context) -> Credential:
        """Return a token of the service account: that of ``upload-service`` for uploads, if there is one.

        Cloudsmith knows no narrower token than one for all that the account may do. Raises ConfigError if the index
        does not say whose it is, IdentityError if nothing here proves who runs this, and BrokerError.
        """
        organization = index.options.get("organization") or _organization(index)
        service = index.options["service"]
        if operation == "upload":
            service = index.options.get("upload-service", service)
        audience = index.options.get("audience", API)
        identity = context.identify(audience)
        if identity is None:
            raise context.unidentified(audience) or IdentityError(
                "nothing here proves to Cloudsmith who runs this",
                hint='people use an API key of their own: provider = "static"',
            )
        asked_at = context.now()
        answer = context.http.send(
            "POST",
            f"{API}/openid/{quote(organization, safe='')}/",
            json={"oidc_token": identity.secret, "service_slug": service},
        )
        body = _read(answer, organization, service, audience=audience, source=identity.source)
        token = Secret(read_text(body, "token", limit=_MAX_TOKEN_LENGTH))
        return Credential(_USERNAME, token, issued_at=asked_at, expires_at=asked_at + _life(token, asked_at))


def _organization(index: Index) -> str:
    """Return whose repository it is: ``https://dl.cloudsmith.io/basic/OWNER/REPO/python/simple/``."""
    places = [place for place in (index.url, index.upload_url, index.files_url) if place]
    if all(str(place.origin) in _ORIGINS for place in places):
        match index.url.segments:
            case ("basic", owner, _, *_):
                return owner
    raise ConfigError(
        f"the URLs of the index {index.name!r} do not say which organization of Cloudsmith it belongs to",
        hint='add a line: organization = "…"',
    )


def _life(token: Secret, now: float) -> float:
    """Return for how many seconds the token is good, from what it says of itself.

    By its own ``iat`` where it has one, so that a wrong clock on this machine does no harm.
    """
    claims = read_claims(token) if token.reveal().count(".") == 2 else {}  # noqa: PLR2004  # RFC 7519
    issued_at, expires_at = claims.get("iat", now), claims.get("exp")
    if not _is_time(issued_at) or not _is_time(expires_at):
        return _UNSAID_SECONDS
    return max(expires_at - issued_at, 0)


def _is_time(value: object) -> TypeGuard[float]:
    """Is it a NumericDate (RFC 7519 section 2)?"""
    return isinstance(value, (int, float)) and 0 < value < 10**10


def _read(answer: Answer, organization: str, service: str, *, audience: str, source: str) -> Mapping[str, object]:
    """Return the body of a success; Cloudsmith answers with 200 or 201. What it refuses it does not explain."""
    if 400 <= answer.status < 500 and answer.status != 429:  # noqa: PLR2004  # RFC 9110; 429 asks to come back
        said = answer.body.get("detail") if isinstance(answer.body, dict) else None
        refused = refusal(
            {"error": f"status_{answer.status}", "error_description": said or f"it answered with {answer.status}"},
            "Cloudsmith",
        )
        raise BrokerRefused(
            f"{refused} (the identity token came from {source})",
            reason=refused.reason,
            hint=(
                f"check that the organization {organization} has a service account {service}, and OIDC settings that "
                f"name it, this token's issuer, its claims and the audience {audience}"
            ),
        )
    return read_success(answer._replace(status=200) if answer.status == 201 else answer, "Cloudsmith")  # noqa: PLR2004
