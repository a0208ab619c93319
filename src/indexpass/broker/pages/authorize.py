"""The authorization endpoint (RFC 6749 section 4.1): a program on the person's own machine asks, in their browser.

``GET /oauth/authorize`` asks who this is and whether it is really them; ``POST`` decides, and sends the browser back to
the program on loopback. A request that does not say who asks, or would lead anywhere else, is shown and never followed
(RFC 9700 section 4.11). Nothing is kept before a person approves. This module never mints anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from indexpass._authorization import answer_url
from indexpass._wire import CLIENT_ID
from indexpass.broker.oauth import OAuthError
from indexpass.broker.pages.errand import AUTHORIZE_PATH, Errand
from indexpass.broker.pages.frame import NOTHING_CHANGED, Pages, Refused
from indexpass.broker.pages.program_request import is_state, parse_request, read_again, read_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

_DECISIONS = {"approve": ("code-approved", "granted"), "deny": ("code-denied", "denied")}


def routes(pages: Pages) -> list[BaseRoute]:
    """Return the routes of the endpoint."""
    endpoint = _Authorize(pages)
    return [
        Route(AUTHORIZE_PATH, pages.answering(endpoint.show), methods=["GET"]),
        Route(AUTHORIZE_PATH, pages.answering(endpoint.decide), methods=["POST"]),
    ]


class _Authorize:
    """The two handlers."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._broker = pages.broker

    async def show(self, request: Request) -> Response:
        """Ask for what is missing: the sign-in, then the decision."""
        said = parse_request(request.scope["query_string"].decode("ascii", errors="replace"))
        try:
            asked = read_request(self._broker.settings, said)
        except OAuthError as error:
            members = {"error": error.code, "error_description": error.description}
            return self._send_back(said["redirect_uri"], said.get("state", ""), members)
        visitor = await self._pages.visitor(request)
        if not visitor.user:
            return await self._pages.sign_in(visitor, Errand(request=asked.query))
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
                self._broker.store.add_code,
                asked,
                visitor.user,
                groups=visitor.groups,
                client_id=CLIENT_ID,
                now=self._broker.now(),
            )
            members = {"code": code.reveal()}  # it leaves: for the person's own machine, by their own browser
        index = self._pages.index_name(asked.resource)
        await self._pages.audit(request, event=event, who=visitor.user, result=result, index=index)
        return self._send_back(asked.redirect_uri, asked.state, members)

    def _send_back(self, redirect_uri: str, state: str, members: Mapping[str, str]) -> Response:
        said = {**members, "state": state if is_state(state) else ""}
        return self._pages.redirect(answer_url(redirect_uri, self._broker.settings.issuer, said))
