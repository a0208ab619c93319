"""Signing in with a password, and out again; and the routes of all pages for people.

Guesses are counted twice: here by name and address, in the database by name. Who failed learns no more than that;
every sign-in is audited before the answer leaves. This module never mints anything, and never shows, logs or keeps a
password.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from indexpass._secret import Secret
from indexpass.broker import people
from indexpass.broker.incoming import address_of
from indexpass.broker.pages import authorize, company, device, invitation, sessions
from indexpass.broker.pages.errand import Errand
from indexpass.broker.pages.frame import Pages, Refused
from indexpass.broker.pages.times import duration
from indexpass.broker.pages.visitors import Visitor
from indexpass.broker.people import WrongPassword
from indexpass.broker.tries import Tries

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from indexpass.broker.service import Broker

MAX_WRONG_PASSWORDS, WRONG_PASSWORDS_SECONDS = 5, 5 * 60
PASSWORD_CHECKS_AT_ONCE = 4  # argon2 takes a core and 64 MiB for each
_WRONG = (
    "The user name or the password is wrong. "
    "After many wrong passwords in a row, a name may be locked for a while: then wait, or ask who runs this broker."
)


def routes(broker: Broker) -> list[BaseRoute]:
    """Return the routes of all pages for people, and of their stylesheet."""
    pages = Pages(broker)
    password_checks = asyncio.Semaphore(PASSWORD_CHECKS_AT_ONCE)
    login = _Login(pages, password_checks)
    return [
        Route("/signin", pages.answering(login.sign_in), methods=["POST"]),
        Route("/signout", pages.answering(login.sign_out), methods=["POST"]),
        Route("/static/indexpass.css", pages.send_stylesheet, methods=["GET"]),
        *device.routes(pages),
        *authorize.routes(pages),
        *invitation.routes(pages, password_checks),
        *sessions.routes(pages),
        *company.routes(pages),
    ]


class _Login:
    """The two handlers."""

    def __init__(self, pages: Pages, password_checks: asyncio.Semaphore) -> None:
        self._pages = pages
        self._broker = pages.broker
        self._wrong_passwords = Tries(MAX_WRONG_PASSWORDS, WRONG_PASSWORDS_SECONDS)
        self._password_checks = password_checks

    async def sign_in(self, request: Request) -> Response:
        """Check the password; if it is right, go back to what the person came for, in a new session."""
        visitor, form = await self._pages.read_form(request)
        name, password = form.get("user", "").strip(), Secret(form.get("password", ""))
        errand = Errand.read(self._broker.settings, form)
        browser = self._pages.known_browser(request)
        is_known = browser is not None and browser.user == name
        # A known browser has tries of its own, which nobody else at its address uses up.
        key = browser if is_known else (name, address_of(request))
        if wait := 0 if is_known else self._broker.limits.passwords.wait(address_of(request), self._broker.now()):
            raise Refused(429, "Too many wrong passwords", f"Try again in {duration(wait)}.", wait=wait)
        if wait := self._wrong_passwords.take(key, self._broker.now()):
            await self._pages.audit(
                request, event="sign-in", who="", result="denied", reason="too many wrong passwords"
            )
            raise Refused(429, "Too many wrong passwords", f"Try again in {duration(wait)}.", wait=wait)
        async with self._password_checks:
            outcome = await run_in_threadpool(
                people.sign_in, self._broker.store, name, password, is_known=is_known, now=self._broker.now()
            )
        if isinstance(outcome, WrongPassword):
            self._broker.limits.passwords.count(address_of(request), self._broker.now())
            # An unknown name is not recorded: it may be a password that was typed into the wrong field.
            await self._pages.audit(request, event="sign-in", who=outcome.who, result="denied", reason=outcome.reason)
            return await self._pages.sign_in(visitor, errand, name=name, problem=_WRONG, status=403)
        self._wrong_passwords.give_back(key)
        await self._pages.audit(request, event="sign-in", who=outcome.name, result="granted")
        return self._pages.enter(outcome.name, errand.path)

    async def sign_out(self, request: Request) -> Response:
        """End the session in this browser."""
        await self._pages.read_form(request)
        visitor = Visitor.arriving("", self._broker.now())
        return self._pages.done(visitor, "Signed out", "This browser is no longer signed in.")
