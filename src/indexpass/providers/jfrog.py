"""Credentials from JFrog Artifactory: an identity token is traded at JFrog's Access service, on the index's own host.

The administrator's OIDC integration, and its identity mapping that matches the token, decide what the access token may
do and how long it lives (JFrog REST API, "OIDC Token Exchange"). This module never signs a person in and never asks
for more than a mapping gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexpass._answer import read_seconds, read_success, read_text, refusal
from indexpass._model import Credential
from indexpass._secret import Secret
from indexpass.errors import BrokerRefused, ConfigError, IdentityError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass._model import Answer, Context, IdentityToken, Index, Operation

_TOKEN_PATH = "/access/api/v1/oidc/token"  # noqa: S105  # a path, not a token
_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
_ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105  # a name, not a token
_UNSAID_SECONDS = 300  # where the answer does not say how long the token lives: no mapping is likely to give less
_MAX_TOKEN_LENGTH = 16_384
_SETTINGS = "Administration → General Management → Manage Integrations"


class JFrogProvider:
    """Trades identity tokens at JFrog; implements Provider."""

    def issue(self, index: Index, operation: Operation, context: Context) -> Credential:
        """Return an access token of the identity mapping that matches, for the user that it names.

        A token for uploads is asked of the mapping ``upload-identity-mapping``, if there is one. Raises ConfigError
        if the index is spread over hosts, IdentityError if nothing here proves who runs this, and BrokerError.
        """
        platform = str(index.url.origin)
        if any(place and place.origin != index.url.origin for place in (index.upload_url, index.files_url)):
            raise ConfigError(
                f"the URLs of the index {index.name!r} are not all on {platform}, whose credential goes nowhere else",
                hint="write upload-url as PLATFORM/artifactory/api/pypi/REPOSITORY",
            )
        audience = index.options.get("audience", platform)
        identity = context.identify(audience)
        if identity is None:
            raise context.unidentified(audience) or IdentityError(
                f"nothing here proves to {platform} who runs this",
                hint='people use a token that they make in their JFrog profile: provider = "static"',
            )
        asked_at = context.now()
        answer = context.http.send("POST", platform + _TOKEN_PATH, json=_request(index, operation, identity))
        body = _read(answer, platform, index, audience=audience, source=identity.source)
        return Credential(
            read_text(body, "username", default=""),
            Secret(read_text(body, "access_token", limit=_MAX_TOKEN_LENGTH)),
            issued_at=asked_at,
            expires_at=asked_at + read_seconds(body, "expires_in", default=_UNSAID_SECONDS),
        )


def _request(index: Index, operation: Operation, identity: IdentityToken) -> Mapping[str, object]:
    options = index.options
    mapping = options.get("identity-mapping")
    if operation == "upload":
        mapping = options.get("upload-identity-mapping", mapping)
    asked = {
        "grant_type": _GRANT,
        "subject_token_type": _ID_TOKEN,
        "subject_token": identity.secret,
        "provider_name": options["oidc-provider"],
        "project_key": options.get("project"),
        "identity_mapping_name": mapping,
    }
    return {key: value for key, value in asked.items() if value}


def _read(answer: Answer, platform: str, index: Index, *, audience: str, source: str) -> Mapping[str, object]:
    """Return the body of a success, or raise what JFrog says in its own form: ``{"errors": [{code, message}]}``."""
    if 400 <= answer.status < 500 and answer.status != 429:  # noqa: PLR2004  # RFC 9110; 429 asks to come back
        refused = refusal(_first_error(answer.body, answer.status), platform)
        provider = index.options["oidc-provider"]
        raise BrokerRefused(
            f"{refused} (the identity token came from {source})",
            reason=refused.reason,
            hint=(
                f'check oidc-provider = "{provider}": JFrog has to have an OIDC integration of that name ({_SETTINGS})'
                if answer.status == 404  # noqa: PLR2004
                else f"in JFrog, {_SETTINGS} → {provider}: set the audience {audience}, and an identity mapping whose "
                "claims match this run"
            ),
        )
    return read_success(answer, platform)


def _first_error(body: object, status: int) -> dict[str, object]:
    errors = body.get("errors") if isinstance(body, dict) else None
    first = errors[0] if isinstance(errors, list) and errors else None
    said = first if isinstance(first, dict) else {}
    return {
        "error": said.get("code") or f"status_{status}",
        "error_description": said.get("message") or f"it answered with status {status}",
    }
