"""How OAuth asks and refuses: a form comes in, a token or an error code goes out (RFC 6749 sections 2.3, 3.2 and 5.2).

This module knows the shape of requests and how a client says its name, not what a request is good for.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote_plus

from indexpass._secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

FORM_TYPE = "application/x-www-form-urlencoded"
_MAX_FIELDS = 32
_REPEATABLE = {"resource", "audience"}  # in RFC 8707 and RFC 8693; a token here is for one index


class OAuthError(Exception):
    """A refusal that the client is told: a code that programs know, and a sentence for people.

    ``status`` is the HTTP status: 400 unless the RFC that defines the code says otherwise. ``retry_after`` is after
    how many seconds it is worth to ask again, or 0 where time changes nothing.
    """

    def __init__(self, code: str, description: str, status: int = 400, *, retry_after: int = 0) -> None:
        """Keep code, description and status; none of them may contain what the client sent."""
        super().__init__(f"{code}: {description}")
        self.code = code
        self.description = description
        self.status = status
        self.retry_after = retry_after


def parse_form(content_type: str, body: bytes) -> dict[str, str]:
    """Return the form's parameters; those without a value count as absent (RFC 6749 section 3.2).

    Raises OAuthError if the body is no form in UTF-8, or has a parameter twice.
    """
    if content_type.partition(";")[0].strip().lower() != FORM_TYPE:
        raise OAuthError("invalid_request", f"the content type must be {FORM_TYPE}")
    try:
        pairs = parse_qsl(
            body.decode("utf-8"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError:
        raise OAuthError("invalid_request", "the form cannot be read") from None  # the cause quotes the form
    form: dict[str, str] = {}
    for key, value in pairs:
        if key in form:
            raise _twice(key)
        if "\0" in value:  # PostgreSQL has no such text, and no RFC allows one
            raise OAuthError("invalid_request", "a parameter contains a NUL character")
        form[key] = value
    return {key: value for key, value in form.items() if value}


def required(form: Mapping[str, str], key: str) -> str:
    """Return a parameter. Raises OAuthError if it is missing."""
    if key not in form:
        raise OAuthError("invalid_request", f"{key} is missing")
    return form[key]


@dataclass(frozen=True, slots=True)
class ClientLogin:
    """How a client says its name: the two halves of a Basic header."""

    name: str
    secret: Secret


def parse_basic(authorization: str) -> ClientLogin | None:
    """Return what a Basic header says, or None if there is no header. Raises OAuthError if it is another one.

    Both halves are form-encoded before they are put together (RFC 6749 section 2.3.1).
    """
    if not authorization:
        return None
    scheme, _, value = authorization.partition(" ")
    refusal = OAuthError("invalid_client", "the Authorization header is not Basic with a name and a secret", status=401)
    if scheme.lower() != "basic":
        raise refusal
    try:
        name, colon, secret = b64decode(value.strip(), validate=True).decode("utf-8").partition(":")
        name, secret = (unquote_plus(half, errors="strict") for half in (name, secret))
    except (binascii.Error, ValueError):
        raise refusal from None  # the cause quotes the secret
    if not colon or "\0" in name:
        raise refusal
    return ClientLogin(name, Secret(secret))


def with_client(form: Mapping[str, str], authorization: str) -> dict[str, str]:
    """Return the form with the client's name in it, wherever the client said it.

    Some clients of others send a name and an empty secret by Basic where they have no secret at all. Raises OAuthError
    if there is a secret: the one client that is known here is public, and two who say otherwise are not the same.
    """
    login = parse_basic(authorization)
    if (login and login.secret.reveal()) or "client_secret" in form or "client_assertion" in form:
        raise OAuthError("invalid_client", "the client is public: it has no secret to show", status=401)
    if not login:
        return dict(form)
    if form.get("client_id", login.name) != login.name:
        raise OAuthError("invalid_request", "the header and the form name two clients")
    return {**form, "client_id": login.name}


def _twice(key: str) -> OAuthError:
    if key in _REPEATABLE:
        return OAuthError("invalid_target", f"{key} stands twice: a token is for one index")
    return OAuthError("invalid_request", "a parameter stands twice")
