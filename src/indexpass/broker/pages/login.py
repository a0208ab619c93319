"""The pages on which a person signs in and approves a device sign-in (RFC 8628 section 3.3).

``GET /device`` asks who this is, then for the code, then whether it is really them; ``POST /device`` decides. Nobody
learns whether a code exists before signing in, guesses are counted, and every decision is audited before the answer
leaves. These pages never mint anything, and never show, log or keep a password.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from indexpass._secret import Secret
from indexpass.broker import people
from indexpass.broker.pages import authorize
from indexpass.broker.pages.frame import NOTHING_CHANGED, Pages, Refused, address, duration
from indexpass.broker.pages.visitors import Visitor
from indexpass.broker.tries import Tries

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from indexpass.broker.service import Broker
    from indexpass.broker.state.devices import DeviceRequest

MAX_WRONG_CODES, WRONG_CODES_SECONDS = 5, 10 * 60  # RFC 8628 section 5.1: 5 guesses at 34 bits are hopeless
MAX_WRONG_PASSWORDS, WRONG_PASSWORDS_SECONDS = 5, 5 * 60
PASSWORD_CHECKS_AT_ONCE = 4  # argon2 takes a core and 64 MiB for each

_USER_CODE = re.compile(r"([BCDFGHJKLMNPQRSTVWXZ]{4})[ -]*([BCDFGHJKLMNPQRSTVWXZ]{4})")
_DECISIONS = {  # button → audit event, result, and what the person is told
    "approve": ("device-approved", "granted", "Approved", "Your terminal goes on by itself."),
    "deny": ("device-denied", "denied", "Denied", "The program was given nothing."),
}
_NO_SUCH_CODE = "This code is unknown, has expired or was used already. Compare it with your terminal."


def routes(broker: Broker) -> list[BaseRoute]:
    """Return the routes of all pages for people, and of their stylesheet."""
    pages = Pages(broker)
    login = _Login(pages)
    return [
        Route("/device", pages.answering(login.show), methods=["GET"]),
        Route("/device", pages.answering(login.decide), methods=["POST"]),
        Route("/signin", pages.answering(login.sign_in), methods=["POST"]),
        Route("/signout", pages.answering(login.sign_out), methods=["POST"]),
        Route("/static/indexpass.css", pages.send_stylesheet, methods=["GET"]),
        *authorize.routes(pages),
    ]


class _Login:
    """The handlers in the order in which a person meets them."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._broker = pages.broker
        self._wrong_codes = Tries(MAX_WRONG_CODES, WRONG_CODES_SECONDS)
        self._wrong_passwords = Tries(MAX_WRONG_PASSWORDS, WRONG_PASSWORDS_SECONDS)
        self._password_checks = asyncio.Semaphore(PASSWORD_CHECKS_AT_ONCE)

    async def show(self, request: Request) -> Response:
        """Ask for what is missing: the sign-in, then the code, then the decision."""
        visitor = await self._pages.visitor(request)
        typed = request.query_params.get("user_code", "")
        code = _parse_code(typed)
        if not visitor.user:
            return self._pages.page("sign_in", visitor, {"user_code": code, "request": "", "name": "", "problem": ""})
        if not code:
            problem = "A code has eight letters and no vowels." if typed else ""
            return self._pages.page("code", visitor, {"user_code": "", "problem": problem}, 400 if typed else 200)
        asked = await self._look_up(visitor, code)
        if asked is None:
            return self._pages.page("code", visitor, {"user_code": code, "problem": _NO_SUCH_CODE}, 404)
        return self._pages.confirm(
            visitor,
            client_id=asked.client_id,
            resource=asked.resource,
            scope=asked.scope,
            form={"user_code": code},
            device={
                "user_code": code,
                "address": asked.address,
                "browser_address": address(request),
                "asked": _ago(self._broker.now() - asked.created_at),
            },
        )

    async def sign_in(self, request: Request) -> Response:
        """Check the password; if it is right, go back to what the person came for, in a new session."""
        visitor, form = await self._pages.read_form(request)
        name, password = form.get("user", "").strip(), Secret(form.get("password", ""))
        code = _parse_code(form.get("user_code", ""))
        authorization = authorize.read_again(self._broker.settings, form["request"]) if form.get("request") else None
        key = (name, address(request))
        if wait := self._wrong_passwords.take(key, self._broker.now()):
            await self._pages.audit(
                request, event="sign-in", who="", result="denied", reason="too many wrong passwords"
            )
            raise Refused(429, "Too many wrong passwords", f"Try again in {duration(wait)}.", wait=wait)
        user = await run_in_threadpool(self._broker.store.user, name)
        async with self._password_checks:
            is_right = await run_in_threadpool(people.is_password, user, password)
        if user is None or not is_right:
            # An unknown name is not recorded: it may be a password that was typed into the wrong field.
            who, reason = (user.name, "wrong password") if user else ("", "unknown user")
            await self._pages.audit(request, event="sign-in", who=who, result="denied", reason=reason)
            problem = "The user name or the password is wrong."
            query = authorization.query if authorization else ""
            values = {"user_code": code, "request": query, "name": name, "problem": problem}
            return self._pages.page("sign_in", visitor, values, 403)
        self._wrong_passwords.give_back(key)
        await self._pages.audit(request, event="sign-in", who=user.name, result="granted")
        place = f"{authorize.PATH}?{authorization.query}" if authorization else "/device"
        if code:
            place = f"/device?user_code={code}"
        return self._pages.redirect(f"{self._pages.base}{place}", Visitor.arriving(user.name, self._broker.now()))

    async def decide(self, request: Request) -> Response:
        """Approve or deny the request whose code the form carries."""
        visitor, form = await self._pages.read_form(request)
        code, decision = _parse_code(form.get("user_code", "")), form.get("decision", "")
        if not visitor.user:
            raise Refused(403, "Sign in first", NOTHING_CHANGED)
        if not code or decision not in _DECISIONS:
            raise Refused(400, "This form is not complete", NOTHING_CHANGED)
        asked = await self._look_up(visitor, code)
        if asked is None or not await run_in_threadpool(
            self._broker.store.decide_device,
            code,
            visitor.user,
            approved=decision == "approve",
            now=self._broker.now(),
        ):
            raise Refused(409, "Too late for this code", _NO_SUCH_CODE)
        event, result, heading, message = _DECISIONS[decision]
        index = self._pages.index_name(asked.resource)
        await self._pages.audit(request, event=event, who=visitor.user, result=result, index=index)
        return self._pages.done(visitor, heading, message)

    async def sign_out(self, request: Request) -> Response:
        """End the session in this browser."""
        await self._pages.read_form(request)
        visitor = Visitor.arriving("", self._broker.now())
        return self._pages.done(visitor, "Signed out", "This browser is no longer signed in.")

    async def _look_up(self, visitor: Visitor, code: str) -> DeviceRequest | None:
        """Return the pending request, or None if there is none by this code.

        Raises Refused after too many wrong codes. They are counted by user name, the one thing that a guesser
        cannot change as easily as a cookie or an address.
        """
        now = self._broker.now()
        if wait := self._wrong_codes.take(visitor.user, now):
            raise Refused(429, "Too many wrong codes", f"Try again in {duration(wait)}.", wait=wait)
        asked = await run_in_threadpool(self._broker.store.device_request, code, now)
        if asked is not None:
            self._wrong_codes.give_back(visitor.user)
        return asked


def _parse_code(text: str) -> str:
    """Return the code as terminals show it, or "" if the text cannot be one: nothing else is echoed on a page."""
    match = _USER_CODE.fullmatch(text.strip().upper())
    return f"{match[1]}-{match[2]}" if match else ""


def _ago(seconds: float) -> str:
    minutes = int(seconds // 60)
    return f"{duration(minutes * 60)} ago" if minutes > 0 else "just now"
