"""The page on which somebody who was invited chooses a password, and is signed in with it.

The code is typed and stands in no URL. This module never shows, logs or keeps a code or a password.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from indexpass._secret import Secret
from indexpass.broker import people
from indexpass.broker.incoming import address_of
from indexpass.broker.pages.errand import SESSIONS_PATH
from indexpass.broker.pages.frame import Pages, Refused
from indexpass.broker.pages.times import duration

if TYPE_CHECKING:
    import asyncio

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

PATH = "/invitation"
_LENGTH = f"A password has {people.MIN_PASSWORD_LENGTH} to {people.MAX_PASSWORD_LENGTH:,} characters."
_DIFFERENT = "The two passwords are not the same."
_NO_SUCH_CODE = "This code is unknown, has expired or was used already. Ask who gave it to you for another."


def routes(pages: Pages, password_checks: asyncio.Semaphore) -> list[BaseRoute]:
    """Return the routes of the page; no more passwords are hashed at once than ``password_checks`` lets."""
    invitation = _Invitation(pages, password_checks)
    return [
        Route(PATH, pages.answering(invitation.show), methods=["GET"]),
        Route(PATH, pages.answering(invitation.accept), methods=["POST"]),
    ]


class _Invitation:
    """The two handlers."""

    def __init__(self, pages: Pages, password_checks: asyncio.Semaphore) -> None:
        self._pages = pages
        self._broker = pages.broker
        self._password_checks = password_checks

    async def show(self, request: Request) -> Response:
        """Ask for the code and a password."""
        visitor = await self._pages.visitor(request)
        return self._pages.page("invitation", visitor, {"problem": "", "problem_field": ""})

    async def accept(self, request: Request) -> Response:
        """Give the person the password, and sign them in."""
        visitor, form = await self._pages.read_form(request)
        code, password = Secret(form.get("code", "")), Secret(form.get("password", ""))
        problem, field = "", "password"
        if not people.has_right_length(password):
            problem = _LENGTH
        elif form.get("again", "") != password.reveal():
            problem, field = _DIFFERENT, "again"
        if problem:
            return self._pages.page("invitation", visitor, {"problem": problem, "problem_field": field}, 400)
        now = self._broker.now()
        if wait := self._broker.limits.passwords.wait(address_of(request), now):
            raise Refused(429, "Too many wrong codes", f"Try again in {duration(wait)}.", wait=wait)
        async with self._password_checks:
            name = await run_in_threadpool(people.accept_invitation, self._broker.store, code, password, now)
        if not name:
            self._broker.limits.passwords.count(address_of(request), now)
            await self._pages.audit(request, event="invitation", result="denied", reason="no such invitation")
            return self._pages.page("invitation", visitor, {"problem": _NO_SUCH_CODE, "problem_field": "code"}, 403)
        await self._pages.audit(request, event="invitation", who=name, result="granted")
        return self._pages.enter(name, SESSIONS_PATH)
