"""Sign-in at the company, as the browser sees it: away to its OpenID provider, and back with an answer.

``POST /company/sign-in`` sends the browser away with a cookie of its own, and ``GET /company/callback`` takes it back.
Each outcome is audited before the answer leaves; nothing is kept here meanwhile. This module never reads a claim.
"""

from __future__ import annotations

import asyncio
import hmac
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from indexpass._authorization import parse_query
from indexpass.broker.company.person import CompanyRefused
from indexpass.broker.company.sign_in import CALLBACK_PATH
from indexpass.broker.pages.errand import Errand
from indexpass.broker.pages.frame import Refused
from indexpass.broker.pages.visitors import AwayCookie, Departure
from indexpass.broker.state import company_users

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from indexpass.broker.company.person import CompanyPerson
    from indexpass.broker.company.sign_in import CompanySignIn
    from indexpass.broker.pages.frame import Pages
    from indexpass.broker.pages.visitors import Visitor

SIGN_IN_PATH = "/company/sign-in"
MAX_ANSWER_LENGTH = 8 * 1024  # of the query that comes back; the longest codes seen have some 2 KiB
QUESTIONS_AT_ONCE = 8  # to the provider: each blocks a thread, for seconds if the provider is slow
BUSY_SECONDS = 5
_EVENT = "company-sign-in"
_NOT_SIGNED_IN = "You are not signed in"
_AGAIN = "To try again, go back to where you started."
_OVER = "It was finished before, took more than ten minutes, or began in another browser or window."


def routes(pages: Pages) -> list[BaseRoute]:
    """Return the routes; none where no company is configured."""
    sign_in = pages.broker.company
    if sign_in is None:
        return []
    company = _Company(pages, sign_in)
    return [
        Route(SIGN_IN_PATH, pages.answering(company.send_away), methods=["POST"]),
        Route(CALLBACK_PATH, pages.answering(company.take_back), methods=["GET"]),
    ]


class _Company:
    """The two handlers."""

    def __init__(self, pages: Pages, sign_in: CompanySignIn) -> None:
        self._pages = pages
        self._broker = pages.broker
        self._sign_in = sign_in
        is_https = self._broker.settings.origin.scheme == "https"
        self._cookie = AwayCookie(self._broker.keys.cookie_secret(), is_https=is_https)
        self._questions = asyncio.Semaphore(QUESTIONS_AT_ONCE)

    async def send_away(self, request: Request) -> Response:
        """Send the browser to the provider. Only a form of ours does: a link from elsewhere signs nobody in."""
        visitor, form = await self._pages.read_form(request)
        errand = Errand.read(self._broker.settings, form)
        async with self._asking(request):
            url, state = await run_in_threadpool(self._sign_in.begin)
        page = self._onward(visitor, url, f"Going on to {self._sign_in.company.name}")
        self._cookie.write(page, Departure(state, errand.fields, self._broker.now()))
        return page

    async def take_back(self, request: Request) -> Response:
        """Sign in whom the provider's answer names, in a new session, and go on to what the person came for."""
        departure = self._cookie.read(request.cookies, self._broker.now())
        query = request.scope["query_string"].decode("ascii", errors="replace")
        answer = (parse_query(query) if len(query) <= MAX_ANSWER_LENGTH else None) or {}
        # Who has no cookie with this state did not leave from here: somebody else's answer, or one that was used.
        if departure is None or not hmac.compare_digest(answer.get("state", "").encode(), departure.state.encode()):
            raise Refused(400, "This sign-in is over", f"{_OVER} {_AGAIN}", has_start=False)
        async with self._asking(request):
            person = await run_in_threadpool(self._sign_in.finish, departure.state, answer)
            name = await run_in_threadpool(self._admit, person)
            visitor = self._pages.arriving(name, person.groups)
            errand = Errand.read(self._broker.settings, departure.errand)
        await self._pages.audit(request, event=_EVENT, who=name, result="granted")
        page = self._onward(visitor, f"{self._pages.base}{errand.path}", "Signed in")
        self._cookie.remove(page)
        return page

    def _onward(self, visitor: Visitor, url: str, heading: str) -> Response:
        """Return a page that goes on by itself: the browser then goes from us, whoever sent it here.

        After a redirect, the provider would have sent it, and our cookies are not for what other sites begin; and
        a redirect after a form is held against its page's form-action, for which we would have to know the provider's
        address before anybody asks for it.
        """
        return self._pages.page("onward", visitor, {"heading": heading, "url": url})

    def _admit(self, person: CompanyPerson) -> str:
        """Return the user name. Raises CompanyRefused if somebody else has it."""
        with self._broker.store.writing() as connection:
            name = company_users.admit(
                connection, issuer=person.issuer, subject=person.subject, name=person.name, now=self._broker.now()
            )
        if not name:
            raise CompanyRefused(
                "another user has the name",
                f"{self._sign_in.company.name} calls you {person.name}, but that user name is somebody else's here. "
                f"Whoever runs this broker can free it with “indexpass broker user remove {person.name}”.",
                status=409,
                who=person.name,
            )
        return name

    @asynccontextmanager
    async def _asking(self, request: Request) -> AsyncIterator[None]:
        """Let a few ask the provider at once, and turn its refusals into audit entries and error pages."""
        if self._questions.locked():
            raise Refused(503, _NOT_SIGNED_IN, "Too many are signing in at this moment.", wait=BUSY_SECONDS)
        try:
            async with self._questions:
                yield
        except CompanyRefused as refused:
            await self._pages.audit(request, event=_EVENT, who=refused.who, result="denied", reason=str(refused))
            raise Refused(refused.status, _NOT_SIGNED_IN, f"{refused.told} {_AGAIN}", has_start=False) from None
        except Refused as refused:
            await self._pages.audit(request, event=_EVENT, result="denied", reason=refused.heading.lower())
            raise
