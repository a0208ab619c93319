"""How OAuth asks and refuses: a form comes in, a token or an error code goes out (RFC 6749 sections 3.2 and 5.2).

This module knows the shape of requests, not what they are good for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Mapping

FORM_TYPE = "application/x-www-form-urlencoded"
MAX_FORM_BYTES = 64 * 1024  # the largest identity tokens seen have some 4 KiB
_MAX_FIELDS = 32


class OAuthError(Exception):
    """A refusal that the client is told: a code that programs know, and a sentence for people.

    ``status`` is the HTTP status: 400 unless the RFC that defines the code says otherwise.
    """

    def __init__(self, code: str, description: str, status: int = 400) -> None:
        """Keep code, description and status; none of them may contain what the client sent."""
        super().__init__(f"{code}: {description}")
        self.code = code
        self.description = description
        self.status = status


def parse_form(content_type: str, body: bytes) -> dict[str, str]:
    """Return the form's parameters; those without a value count as absent (RFC 6749 section 3.2).

    Raises OAuthError if the body is no form in UTF-8, is too large, or has a parameter twice.
    """
    if content_type.partition(";")[0].strip().lower() != FORM_TYPE:
        raise OAuthError("invalid_request", f"the content type must be {FORM_TYPE}")
    if len(body) > MAX_FORM_BYTES:
        raise OAuthError("invalid_request", "the request is larger than 64 KiB", status=413)
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
    form = dict(pairs)
    if len(form) != len(pairs):
        raise OAuthError("invalid_request", "a parameter stands twice")
    return {key: value for key, value in form.items() if value}


def required(form: Mapping[str, str], key: str) -> str:
    """Return a parameter. Raises OAuthError if it is missing."""
    if key not in form:
        raise OAuthError("invalid_request", f"{key} is missing")
    return form[key]
