"""The broker protocol's messages: built by one side and parsed by the other, both here.

Standard OAuth, so that others' clients and servers fit: RFC 6749, 8414 (metadata), 8628 (device), 8693 (exchange),
8707 (resource), 9728 (resource metadata). Nothing from outside is trusted before a ``parse`` function here has
narrowed it. This module does no I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from indexpass._secret import Secret
from indexpass._url import MAX_URL_LENGTH, IndexUrl
from indexpass.errors import BrokerMisbehaved, BrokerRefused, BrokerUnreachable, UrlError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass._model import Answer, Operation

CLIENT_ID = "indexpass"  # public client: it has no secret, people and CI prove themselves
TOKEN_USERNAME = "__token__"  # noqa: S105  # the user name that goes with every token; the broker ignores it
GRANT_CODE = "authorization_code"
GRANT_DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
GRANT_REFRESH = "refresh_token"
GRANT_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
TYPE_ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105  # a name, not a token
TYPE_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  # a name, not a token
SCOPES: Mapping[Operation, str] = {"read": "pypi:read", "upload": "pypi:write"}
METADATA_PATH = "/.well-known/oauth-authorization-server"
RESOURCE_METADATA_PATH = "/.well-known/oauth-protected-resource"
_MAX_TOKEN_LENGTH = 16_384
_MAX_TEXT_LENGTH = 500
_LIKE_A_TOKEN = re.compile(r"[A-Za-z0-9_.~+=-]{40,}")  # longer than a UUID, shorter than any token or code of ours


@dataclass(frozen=True, slots=True)
class Metadata:
    """Where the broker's endpoints are (RFC 8414). All stand on the issuer's own origin.

    ``authorization_endpoint`` is None where people cannot sign in there as safely as we want it: with PKCE by S256,
    and with the issuer's name in the answer.
    """

    issuer: str
    token_endpoint: str
    device_authorization_endpoint: str
    revocation_endpoint: str
    jwks_uri: str
    authorization_endpoint: str | None = None

    def to_json(self) -> dict[str, object]:
        """Return the document that the broker publishes."""
        by_browser: dict[str, object] = {
            "authorization_endpoint": self.authorization_endpoint,
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }
        return {
            "issuer": self.issuer,
            "token_endpoint": self.token_endpoint,
            "device_authorization_endpoint": self.device_authorization_endpoint,
            "revocation_endpoint": self.revocation_endpoint,
            "jwks_uri": self.jwks_uri,
            "grant_types_supported": [
                *([GRANT_CODE] if self.authorization_endpoint else []),
                *(GRANT_DEVICE, GRANT_REFRESH, GRANT_EXCHANGE),
            ],
            "response_types_supported": ["code"] if self.authorization_endpoint else [],
            "scopes_supported": list(SCOPES.values()),
            "token_endpoint_auth_methods_supported": ["none"],
            **(by_browser if self.authorization_endpoint else {}),
        }

    @classmethod
    def parse(cls, answer: Answer, *, issuer: str) -> Metadata:
        """Return what ``issuer`` publishes about itself.

        Raises BrokerMisbehaved if the document names another issuer (RFC 8414 section 3.3) or an endpoint on another
        origin: a token must not go to a host that nobody was shown.
        """
        body = _success(answer, "the broker's metadata")
        if _text(body, "issuer").rstrip("/") != issuer.rstrip("/"):
            raise BrokerMisbehaved(
                f"{issuer} says that it is another broker",
                hint="check the broker's URL; it must be the same as the issuer in the broker's own settings",
            )
        home = IndexUrl.parse(issuer).origin
        endpoints = {}
        keys = ["token_endpoint", "device_authorization_endpoint", "revocation_endpoint", "jwks_uri"]
        if _has_safe_codes(body):
            keys.append("authorization_endpoint")
        for key in keys:
            endpoints[key] = _text(body, key, limit=MAX_URL_LENGTH)
            if _url(endpoints[key]).origin != home:
                raise BrokerMisbehaved(f"{issuer} places its {key} on another host")
        return cls(issuer=issuer, **endpoints)


@dataclass(frozen=True, slots=True)
class ResourceMetadata:
    """What an index says about itself (RFC 9728), and two members of our own: where uploads and files go."""

    resource: IndexUrl
    broker: str
    upload_url: IndexUrl | None
    files_url: IndexUrl | None
    name: str

    def to_json(self) -> dict[str, object]:
        """Return the document that is published for the index."""
        document: dict[str, object] = {
            "resource": str(self.resource),
            "authorization_servers": [self.broker],
            "scopes_supported": list(SCOPES.values()),
            "bearer_methods_supported": ["header"],
            "resource_name": self.name,
        }
        if self.upload_url:
            document["indexpass_upload_url"] = str(self.upload_url)
        if self.files_url:
            document["indexpass_files_url"] = str(self.files_url)
        return document

    @classmethod
    def parse(cls, answer: Answer, *, resource: IndexUrl) -> ResourceMetadata:
        """Return what the index says. Raises BrokerMisbehaved if it speaks of another index or leaves its origin."""
        body = _success(answer, "the index's metadata")
        if _url(_text(body, "resource", limit=MAX_URL_LENGTH)) != resource:
            raise BrokerMisbehaved(f"the metadata of {resource} describes another index")
        servers = body.get("authorization_servers")
        if not isinstance(servers, list) or not servers or not isinstance(servers[0], str):
            raise BrokerMisbehaved(f"the metadata of {resource} names no broker")
        urls: list[IndexUrl | None] = []
        for key in ("indexpass_upload_url", "indexpass_files_url"):
            url = _url(_text(body, key, limit=MAX_URL_LENGTH)) if body.get(key) is not None else None
            if url and url.origin != resource.origin:
                raise BrokerMisbehaved(f"the metadata of {resource} points to another host")
            urls.append(url)
        return cls(
            resource=resource,
            broker=str(_url(servers[0])).rstrip("/"),
            upload_url=urls[0],
            files_url=urls[1],
            name=_text(body, "resource_name", default=""),
        )


@dataclass(frozen=True, slots=True)
class DeviceAuthorization:
    """An invitation to sign in on another screen (RFC 8628 section 3.2). Times are in seconds."""

    device_code: Secret
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: int
    interval: int

    def to_json(self) -> dict[str, object]:
        """Return the broker's answer; this reveals the device code."""
        return {
            "device_code": self.device_code.reveal(),
            "user_code": self.user_code,
            "verification_uri": self.verification_uri,
            "verification_uri_complete": self.verification_uri_complete,
            "expires_in": self.expires_in,
            "interval": self.interval,
        }

    @classmethod
    def parse(cls, answer: Answer) -> DeviceAuthorization:
        """Return the invitation. Raises BrokerRefused, BrokerUnreachable or BrokerMisbehaved."""
        body = _success(answer, "the broker")
        uri = _url_text(body, "verification_uri")  # a browser opens it: never file:, never another program's scheme
        return cls(
            device_code=Secret(_text(body, "device_code", limit=_MAX_TOKEN_LENGTH)),
            user_code=_text(body, "user_code"),
            verification_uri=uri,
            verification_uri_complete=_url_text(body, "verification_uri_complete", default=uri),
            expires_in=_seconds(body, "expires_in", default=600),
            interval=_seconds(body, "interval", default=5),  # RFC 8628: 5 where the server does not say
        )


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """A granted token (RFC 6749 section 5.1). ``refresh_token`` is None where no session goes on."""

    access_token: Secret
    expires_in: int
    scope: str
    refresh_token: Secret | None = None
    issued_token_type: str | None = None
    user: str = ""

    def to_json(self) -> dict[str, object]:
        """Return the broker's answer; this reveals the tokens."""
        body: dict[str, object] = {
            "access_token": self.access_token.reveal(),
            "token_type": "Bearer",
            "expires_in": self.expires_in,
            "scope": self.scope,
        }
        if self.refresh_token:
            body["refresh_token"] = self.refresh_token.reveal()
        if self.issued_token_type:
            body["issued_token_type"] = self.issued_token_type
        if self.user:
            body["user"] = self.user
        return body

    @classmethod
    def parse(cls, answer: Answer) -> TokenAnswer:
        """Return the grant. Raises BrokerRefused, BrokerUnreachable or BrokerMisbehaved."""
        body = _success(answer, "the broker")
        refresh = _text(body, "refresh_token", default="", limit=_MAX_TOKEN_LENGTH)
        return cls(
            access_token=Secret(_text(body, "access_token", limit=_MAX_TOKEN_LENGTH)),
            expires_in=_seconds(body, "expires_in", default=300),
            scope=_text(body, "scope", default=""),
            refresh_token=Secret(refresh) if refresh else None,
            issued_token_type=_text(body, "issued_token_type", default="") or None,
            user=_text(body, "user", default=""),
        )


def well_known_url(path: str, subject: IndexUrl) -> str:
    """Return where the document about ``subject`` stands: the well-known path goes before the subject's own path.

    RFC 8414 section 3.1 and RFC 9728 section 3.1; the trailing slash of the subject is dropped.
    """
    own_path = str(subject).removeprefix(str(subject.origin)).rstrip("/")
    return f"{subject.origin}{path}{own_path}"


def device_form(resource: IndexUrl) -> dict[str, str | Secret]:
    """Return the request that starts a device sign-in, for reading ``resource`` at first."""
    return {"client_id": CLIENT_ID, "scope": SCOPES["read"], "resource": str(resource)}


def device_token_form(device_code: Secret) -> dict[str, str | Secret]:
    """Return the request that asks whether the person has approved."""
    return {"grant_type": GRANT_DEVICE, "client_id": CLIENT_ID, "device_code": device_code}


def code_form(code: Secret, *, verifier: Secret, redirect_uri: str) -> dict[str, str | Secret]:
    """Return the request that trades the code from the browser (RFC 6749 section 4.1.3, RFC 7636 section 4.5)."""
    return {
        "grant_type": GRANT_CODE,
        "client_id": CLIENT_ID,
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": verifier,
    }


def refresh_form(refresh_token: Secret, *, resource: IndexUrl, operation: Operation) -> dict[str, str | Secret]:
    """Return the request that trades a session's refresh token for a credential."""
    return {
        "grant_type": GRANT_REFRESH,
        "client_id": CLIENT_ID,
        "refresh_token": refresh_token,
        "resource": str(resource),
        "scope": SCOPES[operation],
    }


def exchange_form(subject_token: Secret, *, resource: IndexUrl, operation: Operation) -> dict[str, str | Secret]:
    """Return the request that trades an identity token for a credential (RFC 8693 section 2.1)."""
    return {
        "grant_type": GRANT_EXCHANGE,
        "client_id": CLIENT_ID,
        "subject_token": subject_token,
        "subject_token_type": TYPE_ID_TOKEN,
        "resource": str(resource),
        "scope": SCOPES[operation],
    }


def revoke_form(token: Secret) -> dict[str, str | Secret]:
    """Return the request that ends a session (RFC 7009)."""
    return {"client_id": CLIENT_ID, "token": token, "token_type_hint": "refresh_token"}


def error_json(code: str, description: str) -> dict[str, object]:
    """Return an error answer (RFC 6749 section 5.2)."""
    return {"error": code, "error_description": description}


def refusal(body: Mapping[str, object], who: str) -> BrokerRefused:
    """Return what an error answer means, without what looks like a token."""
    reason = _said(body, "error") or "unknown_error"
    return BrokerRefused(f"{who} refused: {_said(body, 'error_description') or reason}", reason=reason)


def _success(answer: Answer, who: str) -> Mapping[str, object]:
    """Return the body of a 200, or raise what the status and the error code mean."""
    if answer.status == 429 or answer.status >= 500:  # noqa: PLR2004  # RFC 6585, RFC 9110
        raise BrokerUnreachable(
            f"{who} is not ready: it answered with status {answer.status}",
            hint="try again in a minute",
            retry_after=answer.retry_after,
        )
    body = answer.body
    if not isinstance(body, dict):
        raise BrokerMisbehaved(
            f"{who} answered with status {answer.status} and no JSON object",
            hint="check that the URL is a broker's and not a proxy's sign-in page",
        )
    if answer.status != 200:  # noqa: PLR2004
        raise refusal(body, who)
    return body


def _has_safe_codes(body: Mapping[str, object]) -> bool:
    """Does the broker take codes by S256 (RFC 7636 section 4.2), and name itself beside them (RFC 9207 section 3)?"""
    methods = body.get("code_challenge_methods_supported")
    return (
        body.get("authorization_endpoint") is not None
        and isinstance(methods, list)
        and "S256" in methods
        and body.get("authorization_response_iss_parameter_supported") is True
    )


def _said(body: Mapping[str, object], key: str) -> str:
    """Return what the broker says about a refusal, without what looks like a token; empty if it is no short text."""
    try:
        return _LIKE_A_TOKEN.sub("****", _text(body, key, default=""))
    except BrokerMisbehaved:
        return ""  # a refusal stays a refusal, however badly it is worded


def _text(body: Mapping[str, object], key: str, *, default: str | None = None, limit: int = _MAX_TEXT_LENGTH) -> str:
    """Return a short text; null and an empty text count as absent. Raises BrokerMisbehaved where it is needed."""
    value = body.get(key)
    if value is None or value == "":
        value = default
    # Text goes to terminals and into files: no control characters, no essays.
    if not isinstance(value, str) or len(value) > limit or not value.isprintable():
        raise BrokerMisbehaved(f"the answer's {key} is missing or not a short text")
    return value


def _url_text(body: Mapping[str, object], key: str, *, default: str | None = None) -> str:
    """Return a URL as it was written, query and all, after making sure that it is one which may be used."""
    text = _text(body, key, default=default, limit=MAX_URL_LENGTH)
    _url(text)
    return text


def _seconds(body: Mapping[str, object], key: str, *, default: int) -> int:
    value = body.get(key)
    if value is None:
        value = default
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 10**9:
        raise BrokerMisbehaved(f"the answer's {key} is not a number of seconds")
    return value


def _url(text: str) -> IndexUrl:
    try:
        return IndexUrl.parse(text)
    except UrlError as error:
        raise BrokerMisbehaved(f"the answer contains a URL that cannot be used: {error}") from error
