"""The messages that ask the broker for a token and bring it: built by one side and parsed by the other, both here.

Standard OAuth, so that others' clients and servers fit: RFC 6749, 7009 (revocation), 8628 (device), 8693 (exchange),
8707 (resource). What broker and index say about themselves is in ``_metadata``. Nothing from outside is trusted before
a ``parse`` function here has narrowed it. This module does no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from indexpass._answer import read_seconds, read_success, read_text, read_url_text
from indexpass._secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass._model import Answer, Operation
    from indexpass._url import IndexUrl

CLIENT_ID = "indexpass"  # public client: it has no secret, people and CI prove themselves
TOKEN_USERNAME = "__token__"  # noqa: S105  # the user name that goes with every token; the broker ignores it
GRANT_CODE = "authorization_code"
GRANT_DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
GRANT_REFRESH = "refresh_token"
GRANT_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
TYPE_ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105  # a name, not a token
TYPE_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  # a name, not a token
SCOPES: Mapping[Operation, str] = {"read": "pypi:read", "upload": "pypi:write"}
_MAX_TOKEN_LENGTH = 16_384


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
    def parse(cls, answer: Answer, *, who: str = "the broker") -> DeviceAuthorization:
        """Return the invitation of ``who``. Raises BrokerRefused, BrokerUnreachable or BrokerMisbehaved."""
        body = read_success(answer, who)
        uri = read_url_text(body, "verification_uri")  # a browser opens it: never file:, never another program's scheme
        return cls(
            device_code=Secret(read_text(body, "device_code", limit=_MAX_TOKEN_LENGTH)),
            user_code=read_text(body, "user_code"),
            verification_uri=uri,
            verification_uri_complete=read_url_text(body, "verification_uri_complete", default=uri),
            expires_in=read_seconds(body, "expires_in", default=600),
            interval=read_seconds(body, "interval", default=5),  # RFC 8628: 5 where the server does not say
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
    def parse(cls, answer: Answer, *, who: str = "the broker") -> TokenAnswer:
        """Return the grant of ``who``. Raises BrokerRefused, BrokerUnreachable or BrokerMisbehaved."""
        body = read_success(answer, who)
        refresh = read_text(body, "refresh_token", default="", limit=_MAX_TOKEN_LENGTH)
        return cls(
            access_token=Secret(read_text(body, "access_token", limit=_MAX_TOKEN_LENGTH)),
            expires_in=read_seconds(body, "expires_in", default=300),
            scope=read_text(body, "scope", default=""),
            refresh_token=Secret(refresh) if refresh else None,
            issued_token_type=read_text(body, "issued_token_type", default="") or None,
            user=read_text(body, "user", default=""),
        )


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
