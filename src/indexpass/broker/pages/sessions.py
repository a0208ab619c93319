"""My sessions: what is signed in in a person's name, and a button to end each of them.

A session that was ended gets nothing more from the broker at once, and its tokens are refused within seconds, wherever
they are checked. Nobody sees or ends another person's. This module never shows a token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from indexpass.broker.pages.errand import SESSIONS_PATH, Errand
from indexpass.broker.pages.frame import NOTHING_CHANGED, Pages, Refused
from indexpass.broker.pages.times import ago, later, moment
from indexpass.broker.pages.visitors import SIGN_IN_SECONDS
from indexpass.broker.state import sessions, users

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from indexpass.broker.pages.visitors import Visitor
    from indexpass.broker.state.sessions import SessionFacts

MAX_SHOWN = 100  # nobody looks further; revoking all ends the others too


def routes(pages: Pages) -> list[BaseRoute]:
    """Return the routes of the page."""
    page = _Sessions(pages)
    return [
        Route(SESSIONS_PATH, pages.answering(page.show), methods=["GET"]),
        Route(SESSIONS_PATH, pages.answering(page.revoke), methods=["POST"]),
    ]


class _Sessions:
    """The two handlers."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._broker = pages.broker

    async def show(self, request: Request) -> Response:
        """List the person's open sessions, and the sign-in in this browser apart."""
        visitor = await self._pages.visitor(request)
        if not visitor.user:
            return await self._pages.sign_in(visitor, Errand(page="sessions"))
        now = self._broker.now()
        found = await run_in_threadpool(self._list, visitor.user, now)
        values = {
            "sessions": [_shown(session, now) for session in found],
            "has_more": len(found) == MAX_SHOWN,
            "browser_since": moment(visitor.since),
            "browser_ends": later(visitor.since + SIGN_IN_SECONDS - now),
        }
        return self._pages.page("sessions", visitor, values)

    async def revoke(self, request: Request) -> Response:
        """End the one session that the form names, or all of them and with them every sign-in in a browser."""
        visitor, form = await self._pages.read_form(request)
        if not visitor.user:
            raise Refused(403, "Sign in first", NOTHING_CHANGED)
        if "all" in form:
            await run_in_threadpool(self._revoke_all, visitor.user)
            await self._end(request, visitor, "all sessions")
            message = "Every program that was signed in as you has to sign in again, and so has every browser."
            return self._pages.done(self._pages.arriving(""), "All sessions were revoked", message)
        if await run_in_threadpool(self._revoke, visitor.user, form.get("session", "")):
            await self._end(request, visitor, "one session")
        return self._pages.redirect(f"{self._pages.base}{SESSIONS_PATH}")  # where one that is gone is not shown either

    async def _end(self, request: Request, visitor: Visitor, reason: str) -> None:
        await self._pages.audit(request, event="session-revoked", who=visitor.user, result="granted", reason=reason)
        await run_in_threadpool(self._broker.revocations.refresh, self._broker.now())

    def _list(self, user: str, now: float) -> list[SessionFacts]:
        with self._broker.store.reading() as connection:
            return sessions.list_open(connection, user, now, limit=MAX_SHOWN)

    def _revoke(self, user: str, session_id: str) -> bool:
        with self._broker.store.writing() as connection:
            return sessions.revoke_own(connection, user, session_id, self._broker.now())

    def _revoke_all(self, user: str) -> None:
        with self._broker.store.writing() as connection:
            users.sign_out(connection, user, self._broker.now())


def _shown(session: SessionFacts, now: float) -> dict[str, object]:
    return {
        "id": session.session_id,
        "client": session.client_id,
        "since": moment(session.created_at),
        "used": ago(now - session.last_used_at),
        "address": session.address,
        "ends": later(session.expires_at - now),
        "groups": sorted(session.groups),
    }
