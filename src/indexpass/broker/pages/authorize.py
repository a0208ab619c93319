"""The authorization endpoint (RFC 6749 section 4.1): a program on the person's own machine asks, in their browser.

``GET /oauth/authorize`` asks who this is and whether it is really them; ``POST`` decides, and sends the browser back to
the program on loopback. A request that does not say who asks, or would lead anywhere else, is shown and never followed
(RFC 9700 section 4.11). Nothing is kept before a person approves. This module never mints anything.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from indexpass._authorization import REDIRECT_PATH, AuthorizationRequest, answer_url, parse_query
from indexpass._wire import CLIENT_ID, SCOPES
from indexpass.broker.exchange import find_index, find_operations
from indexpass.broker.oauth import OAuthError, required
from indexpass.broker.pages.frame import NOTHING_CHANGED, Pages, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from indexpass.broker.settings import Settings

PATH = "/oauth/authorize"
# RFC 8252 section 7.3: any port, because the program takes a free one; all else letter by letter.
_REDIRECT_URI = re.compile(rf"http://(?:127\.0\.0\.1|\[::1\]):([1-9][0-9]{{0,4}}){re.escape(REDIRECT_PATH)}")
_MAX_PORT = 65535
_STATE = re.compile(r"[\x20-\x7e]{1,512}")  # RFC 6749 appendix A.5
_CODE_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # RFC 7636 section 4.2: a SHA-256
_RUN_AGAIN = "Go back to your terminal and run the command again."
_DECISIONS = {"approve": ("code-approved", "granted"), "deny": ("code-denied", "denied")}


def routes(pages: Pages) -> list[BaseRoute]:
    """Return the routes of the endpoint."""
    endpoint = _Authorize(pages)
    return [
        Route(PATH, pages.answering(endpoint.show), methods=["GET"]),
        Route(PATH, pages.answering(endpoint.decide), methods=["POST"]),
    ]


class _Authorize:
    """The two handlers."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._broker = pages.broker

    async def show(self, request: Request) -> Response:
        """Ask for what is missing: the sign-in, then the decision."""
        said = _parse(request.scope["query_string"].decode("ascii", errors="replace"))
        try:
            asked = _read(self._broker.settings, said)
        except OAuthError as error:
            members = {"error": error.code, "error_description": error.description}
            return self._send_back(said["redirect_uri"], said.get("state", ""), members)
        visitor = await self._pages.visitor(request)
        if not visitor.user:
            values = {"user_code": "", "request": asked.query, "name": "", "problem": ""}
            return self._pages.page("sign_in", visitor, values)
        return self._pages.confirm(
            visitor,
            client_id=CLIENT_ID,
            resource=asked.resource,
            scope=asked.scope,
            form={"request": asked.query},
            # Chromium holds the redirect after the form against form-action as well. An IPv6 address has no form in a
            # content security policy, so there only the port is named.
            form_targets=(asked.redirect_uri.replace("[::1]", "*"),),
        )

    async def decide(self, request: Request) -> Response:
        """Approve or deny the request that the form carries, and tell the program."""
        visitor, form = await self._pages.read_form(request)
        if not visitor.user:
            raise Refused(403, "Sign in first", NOTHING_CHANGED)
        asked = read_again(self._broker.settings, form.get("request", ""))
        decision = form.get("decision", "")
        if decision not in _DECISIONS:
            raise Refused(400, "This form is not complete", NOTHING_CHANGED)
        event, result = _DECISIONS[decision]
        members = {"error": "access_denied", "error_description": "the sign-in was denied"}
        if decision == "approve":
            code = await run_in_threadpool(
                self._broker.store.add_code, asked, visitor.user, client_id=CLIENT_ID, now=self._broker.now()
            )
            members = {"code": code.reveal()}  # it leaves: for the person's own machine, by their own browser
        index = self._pages.index_name(asked.resource)
        await self._pages.audit(request, event=event, who=visitor.user, result=result, index=index)
        return self._send_back(asked.redirect_uri, asked.state, members)

    def _send_back(self, redirect_uri: str, state: str, members: Mapping[str, str]) -> Response:
        said = {**members, "state": state if _STATE.fullmatch(state) else ""}
        return self._pages.redirect(answer_url(redirect_uri, self._broker.settings.issuer, said))


def read_again(settings: Settings, query: str) -> AuthorizationRequest:
    """Return the request that one of our own forms brings back. Raises Refused if it is none that may be followed."""
    try:
        return _read(settings, _parse(query))
    except OAuthError as error:
        raise Refused(400, "This form is not complete", NOTHING_CHANGED) from error


def _parse(query: str) -> dict[str, str]:
    """Return what the program says, once it is clear that it is known and where the answer may go."""
    said = parse_query(query)
    if said is None or said.get("client_id") != CLIENT_ID:
        raise _unusable("It does not come from a program that is known here.")
    match = _REDIRECT_URI.fullmatch(said.get("redirect_uri", ""))
    if not match or int(match[1]) > _MAX_PORT:
        raise _unusable("It would lead to a place that is not allowed.")
    return said


def _unusable(why: str) -> Refused:
    return Refused(400, "This link cannot be used", f"{why} {_RUN_AGAIN}", has_start=False)


def _read(settings: Settings, said: Mapping[str, str]) -> AuthorizationRequest:
    """Return the request, in the one form in which it is shown and kept. Raises OAuthError if it is not complete."""
    if required(said, "response_type") != "code":
        raise OAuthError("unsupported_response_type", "the response_type must be code")
    if not _STATE.fullmatch(required(said, "state")):
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
