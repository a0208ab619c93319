"""What a program asks of a person's browser, read from the URL or form that brings it (RFC 6749 section 4.1.1).

A request that does not say who asks, or would lead anywhere but to a program on the person's own machine, is refused
before anything else is looked at. This module never answers the program.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from indexpass._authorization import REDIRECT_PATH, AuthorizationRequest, parse_query
from indexpass._wire import CLIENT_ID, SCOPES
from indexpass.broker.exchange import find_index, find_operations
from indexpass.broker.oauth import OAuthError, required
from indexpass.broker.pages.frame import NOTHING_CHANGED, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass.broker.settings import Settings

# RFC 8252 section 7.3: any port, because the program takes a free one; all else letter by letter.
_REDIRECT_URI = re.compile(rf"http://(?:127\.0\.0\.1|\[::1\]):([1-9][0-9]{{0,4}}){re.escape(REDIRECT_PATH)}")
_MAX_PORT = 65535
_STATE = re.compile(r"[\x20-\x7e]{1,512}")  # RFC 6749 appendix A.5
_CODE_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # RFC 7636 section 4.2: a SHA-256
_RUN_AGAIN = "Go back to your terminal and run the command again."


def parse_request(query: str) -> dict[str, str]:
    """Return what the program says, once it is clear that it is known and where the answer may go. Raises Refused."""
    said = parse_query(query)
    if said is None or said.get("client_id") != CLIENT_ID:
        raise _unusable("It does not come from a program that is known here.")
    match = _REDIRECT_URI.fullmatch(said.get("redirect_uri", ""))
    if not match or int(match[1]) > _MAX_PORT:
        raise _unusable("It would lead to a place that is not allowed.")
    return said


def read_request(settings: Settings, said: Mapping[str, str]) -> AuthorizationRequest:
    """Return the request, in the one form in which it is shown and kept. Raises OAuthError if it is not complete."""
    if required(said, "response_type") != "code":
        raise OAuthError("unsupported_response_type", "the response_type must be code")
    if not is_state(required(said, "state")):
        raise OAuthError("invalid_request", "the state must be up to 512 printable ASCII characters")
    # RFC 7636 section 4.3: without a method it would be "plain", which a thief of the code can compute as well.
    if said.get("code_challenge_method") != "S256":
        raise OAuthError("invalid_request", "the code_challenge_method must be S256")
    if not _CODE_CHALLENGE.fullmatch(required(said, "code_challenge")):
        raise OAuthError("invalid_request", "the code_challenge is not a SHA-256 in base64url")
    index = find_index(settings, required(said, "resource"))
    operations = find_operations(required(said, "scope"))
    return AuthorizationRequest(
        redirect_uri=said["redirect_uri"],
        resource=index.resource,
        scope=" ".join(SCOPES[operation] for operation in operations),
        state=said["state"],
        code_challenge=said["code_challenge"],
    )


def read_again(settings: Settings, query: str) -> AuthorizationRequest:
    """Return the request that one of our own forms brings back. Raises Refused if it is none that may be followed."""
    try:
        return read_request(settings, parse_request(query))
    except OAuthError as error:
        raise Refused(400, "This form is not complete", NOTHING_CHANGED) from error


def is_state(text: str) -> bool:
    """May the program's ``state`` be sent back?"""
    return bool(_STATE.fullmatch(text))


def _unusable(why: str) -> Refused:
    return Refused(400, "This link cannot be used", f"{why} {_RUN_AGAIN}", has_start=False)
