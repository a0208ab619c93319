"""The pages on which a person approves a device sign-in (RFC 8628 section 3.3): plain HTML, no JavaScript.

``GET /device`` asks who this is, then for the code, then whether it is really them; ``POST /device`` decides. Nobody
learns whether a code exists before signing in, guesses are counted, every form carries the token of its own session,
and every decision is audited before the answer leaves. These pages never mint anything, and never show, log or keep a
password.
"""

from __future__ import annotations

import asyncio
import hmac
import math
import re
from importlib.resources import files
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from indexpass._secret import Secret
from indexpass._url import IndexUrl
from indexpass.broker import people
from indexpass.broker.tries import Tries
from indexpass.broker.visitors import Visitor, VisitorCookie

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from indexpass.broker.devices import DeviceRequest
    from indexpass.broker.service import Broker

MAX_WRONG_CODES, WRONG_CODES_SECONDS = 5, 10 * 60  # RFC 8628 section 5.1: 5 guesses at 34 bits are hopeless
MAX_WRONG_PASSWORDS, WRONG_PASSWORDS_SECONDS = 5, 5 * 60
MAX_FORM_BYTES = 8 * 1024  # a password of 1,024 characters fits, whatever its alphabet
PASSWORD_CHECKS_AT_ONCE = 4  # argon2 takes a core and 64 MiB for each

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Not "no-referrer": under it browsers send "Origin: null" with our own forms, which leaves nothing to check.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_USER_CODE = re.compile(r"([BCDFGHJKLMNPQRSTVWXZ]{4})[ -]*([BCDFGHJKLMNPQRSTVWXZ]{4})")
_RIGHTS = {"pypi:read": "Download packages", "pypi:write": "Upload packages"}
_DECISIONS = {  # button → audit event, result, and what the person is told
    "approve": ("device-approved", "granted", "Approved", "Your terminal goes on by itself."),
    "deny": ("device-denied", "denied", "Denied", "The program was given nothing."),
}
_NO_SUCH_CODE = "This code is unknown, has expired or was used already. Compare it with your terminal."
_NOTHING_CHANGED = "Nothing was changed."


def routes(broker: Broker) -> list[BaseRoute]:
    """Return the routes of the pages: ``/device``, ``/signin``, ``/signout`` and their stylesheet."""
    pages = _Pages(broker)
    return [
        Route("/device", _answering(pages, pages.show), methods=["GET"]),
        Route("/device", _answering(pages, pages.decide), methods=["POST"]),
        Route("/signin", _answering(pages, pages.sign_in), methods=["POST"]),
        Route("/signout", _answering(pages, pages.sign_out), methods=["POST"]),
        Route("/static/indexpass.css", pages.send_stylesheet, methods=["GET"]),
    ]


class _Refused(Exception):
    """The request goes no further and is answered with an error page; ``wait`` is in seconds."""

    def __init__(self, status: int, heading: str, message: str, *, wait: int = 0) -> None:
        super().__init__(heading)
        self.status = status
        self.heading = heading
        self.message = message
        self.wait = wait


class _Pages:
    """The handlers in the order in which a person meets them, and then what they share."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._origin = broker.settings.origin
        self._base = urlsplit(broker.settings.issuer).path.rstrip("/")  # a proxy may remove it before we see it
        self._cookie = VisitorCookie(broker.keys.cookie_secret(), is_https=self._origin.scheme == "https")
        loader = PackageLoader("indexpass.broker")
        self._templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
        self._stylesheet = files("indexpass.broker").joinpath("templates/indexpass.css").read_bytes()
        self._wrong_codes = Tries(MAX_WRONG_CODES, WRONG_CODES_SECONDS)
        self._wrong_passwords = Tries(MAX_WRONG_PASSWORDS, WRONG_PASSWORDS_SECONDS)
        self._password_checks = asyncio.Semaphore(PASSWORD_CHECKS_AT_ONCE)

    async def show(self, request: Request) -> Response:
        """Ask for what is missing: the sign-in, then the code, then the decision."""
        visitor = await self._visitor(request)
        typed = request.query_params.get("user_code", "")
        code = _parse_code(typed)
        if not visitor.user:
            return self._page("sign_in", visitor, user_code=code, name="", problem="")
        if not code:
            problem = "A code has eight letters and no vowels." if typed else ""
            return self._page("code", visitor, 400 if typed else 200, user_code="", problem=problem)
        asked = await self._look_up(visitor, code)
        if asked is None:
            return self._page("code", visitor, 404, user_code=code, problem=_NO_SUCH_CODE)
        return self._page(
            "confirm",
            visitor,
            user_code=code,
            client_id=asked.client_id,
            address=asked.address,
            browser_address=_address(request),
            asked=_ago(self._broker.now() - asked.created_at),
            index=self._index_name(asked),
            resource=asked.resource,
            rights=[_RIGHTS.get(scope, scope) for scope in asked.scope.split()],
            session=_duration(self._broker.settings.session_seconds),
        )

    async def sign_in(self, request: Request) -> Response:
        """Check the password; if it is right, go back to the code in a new session."""
        visitor, form = await self._read_form(request)
        name, password = form.get("user", "").strip(), Secret(form.get("password", ""))
        code = _parse_code(form.get("user_code", ""))
        key = (name, _address(request))
        if wait := self._wrong_passwords.take(key, self._broker.now()):
            await self._audit(request, event="sign-in", who="", result="denied", reason="too many wrong passwords")
            raise _Refused(429, "Too many wrong passwords", f"Try again in {_duration(wait)}.", wait=wait)
        user = await run_in_threadpool(self._broker.store.user, name)
        async with self._password_checks:
            is_right = await run_in_threadpool(people.is_password, user, password)
        if user is None or not is_right:
            # An unknown name is not recorded: it may be a password that was typed into the wrong field.
            who, reason = (user.name, "wrong password") if user else ("", "unknown user")
            await self._audit(request, event="sign-in", who=who, result="denied", reason=reason)
            problem = "The user name or the password is wrong."
            return self._page("sign_in", visitor, 403, user_code=code, name=name, problem=problem)
        self._wrong_passwords.give_back(key)
        await self._audit(request, event="sign-in", who=user.name, result="granted")
        target = f"{self._base}/device" + (f"?user_code={code}" if code else "")
        answer = RedirectResponse(target, status_code=303, headers=_HEADERS)
        self._cookie.write(answer, Visitor.arriving(user.name, self._broker.now()))
        return answer

    async def decide(self, request: Request) -> Response:
        """Approve or deny the request whose code the form carries."""
        visitor, form = await self._read_form(request)
        code, decision = _parse_code(form.get("user_code", "")), form.get("decision", "")
        if not visitor.user:
            raise _Refused(403, "Sign in first", _NOTHING_CHANGED)
        if not code or decision not in _DECISIONS:
            raise _Refused(400, "This form is not complete", _NOTHING_CHANGED)
        asked = await self._look_up(visitor, code)
        if asked is None or not await run_in_threadpool(
            self._broker.store.decide_device,
            code,
            visitor.user,
            approved=decision == "approve",
            now=self._broker.now(),
        ):
            raise _Refused(409, "Too late for this code", _NO_SUCH_CODE)
        event, result, heading, message = _DECISIONS[decision]
        await self._audit(request, event=event, who=visitor.user, result=result, index=self._index_name(asked))
        return self._page("done", visitor, heading=heading, message=message)

    async def sign_out(self, request: Request) -> Response:
        """End the session in this browser."""
        await self._read_form(request)
        message = "This browser is no longer signed in."
        return self._page("done", Visitor.arriving("", self._broker.now()), heading="Signed out", message=message)

    async def send_stylesheet(self, _request: Request) -> Response:
        """Send the one stylesheet, which is the same for everybody and may be cached."""
        headers = {**_HEADERS, "Cache-Control": "public, max-age=3600"}
        return Response(self._stylesheet, media_type="text/css", headers=headers)

    async def refuse(self, request: Request, refused: _Refused) -> Response:
        """Say why the request went no further. This sets no cookie: another site's form must not sign anybody out."""
        visitor = await self._visitor(request)
        headers = {**_HEADERS, "Retry-After": str(refused.wait)} if refused.wait else _HEADERS
        html = self._render("error", visitor, heading=refused.heading, message=refused.message)
        return HTMLResponse(html, refused.status, headers=headers)

    async def _look_up(self, visitor: Visitor, code: str) -> DeviceRequest | None:
        """Return the pending request, or None if there is none by this code.

        Raises _Refused after too many wrong codes. They are counted by user name, the one thing that a guesser
        cannot change as easily as a cookie or an address.
        """
        now = self._broker.now()
        if wait := self._wrong_codes.take(visitor.user, now):
            raise _Refused(429, "Too many wrong codes", f"Try again in {_duration(wait)}.", wait=wait)
        asked = await run_in_threadpool(self._broker.store.device_request, code, now)
        if asked is not None:
            self._wrong_codes.give_back(visitor.user)
        return asked

    async def _read_form(self, request: Request) -> tuple[Visitor, dict[str, str]]:
        """Return the visitor and the form. Raises _Refused unless one of our own pages of this session sent it."""
        if request.headers.get("origin", str(self._origin)) != str(self._origin):
            raise _Refused(403, "This form came from another site", _NOTHING_CHANGED)
        form = _parse_form(request.headers.get("content-type", ""), await _read_body(request))
        visitor = await self._visitor(request)
        if not hmac.compare_digest(form.get("form_token", "").encode(), visitor.form_token.encode()):
            raise _Refused(403, "This form is out of date", _NOTHING_CHANGED)
        return visitor, form

    async def _visitor(self, request: Request) -> Visitor:
        """Return who the cookie says this is, or a new visitor if it says nothing or names a user who was removed."""
        now = self._broker.now()
        visitor = self._cookie.read(request.cookies, now)
        if visitor is None or (visitor.user and await run_in_threadpool(self._broker.store.user, visitor.user) is None):
            return Visitor.arriving("", now)
        return visitor

    def _page(self, template: str, visitor: Visitor, status: int = 200, **values: object) -> Response:
        page = HTMLResponse(self._render(template, visitor, **values), status, headers=_HEADERS)
        self._cookie.write(page, visitor)
        return page

    def _render(self, template: str, visitor: Visitor, **values: object) -> str:
        return self._templates.get_template(f"{template}.html").render(
            values, base=self._base, host=self._origin.netloc, user=visitor.user, form_token=visitor.form_token
        )

    def _index_name(self, asked: DeviceRequest) -> str:
        index = self._broker.settings.index_for(IndexUrl.parse(asked.resource))
        return index.name if index else ""

    async def _audit(self, request: Request, **facts: str) -> None:
        await run_in_threadpool(self._broker.audit.record, address=_address(request), **facts)


def _answering(
    pages: _Pages, handler: Callable[[Request], Awaitable[Response]]
) -> Callable[[Request], Awaitable[Response]]:
    """Return the handler with its refusals turned into error pages."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except _Refused as refused:
            return await pages.refuse(request, refused)

    return answer


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise _Refused(413, "This form is too large", _NOTHING_CHANGED)
    return bytes(body)


def _parse_form(content_type: str, body: bytes) -> dict[str, str]:
    if content_type.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise _Refused(415, "This is not a form of these pages", _NOTHING_CHANGED)
    try:
        form = dict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=8))
    except ValueError as error:
        raise _Refused(400, "This form cannot be read", _NOTHING_CHANGED) from error
    if any("\0" in value for value in form.values()):  # PostgreSQL has no such text
        raise _Refused(400, "This form cannot be read", _NOTHING_CHANGED)
    return form


def _parse_code(text: str) -> str:
    """Return the code as terminals show it, or "" if the text cannot be one: nothing else is echoed on a page."""
    match = _USER_CODE.fullmatch(text.strip().upper())
    return f"{match[1]}-{match[2]}" if match else ""


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _duration(seconds: float) -> str:
    minutes = max(1, math.ceil(seconds / 60))
    count, unit = (minutes, "minute") if minutes % 60 else (minutes // 60, "hour")
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def _ago(seconds: float) -> str:
    minutes = int(seconds // 60)
    return f"{_duration(minutes * 60)} ago" if minutes > 0 else "just now"
