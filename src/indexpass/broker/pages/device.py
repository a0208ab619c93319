"""The pages on which a person approves a device sign-in (RFC 8628 section 3.3).

``GET /device`` asks who this is, then for the code, then whether it is really them; ``POST /device`` decides. Nobody
learns whether a code exists before signing in, guesses are counted, and every decision is audited before the answer
leaves. This module never mints anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from indexpass.broker.incoming import address_of
from indexpass.broker.pages.errand import DEVICE_PATH, Errand, parse_code
from indexpass.broker.pages.frame import NOTHING_CHANGED, Pages, Refused
from indexpass.broker.pages.times import ago, duration
from indexpass.broker.tries import Tries

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from indexpass.broker.pages.visitors import Visitor
    from indexpass.broker.state.devices import DeviceRequest

MAX_WRONG_CODES, WRONG_CODES_SECONDS = 5, 10 * 60  # RFC 8628 section 5.1: 5 guesses at 34 bits are hopeless
_DECISIONS = {  # button → audit event, result, and what the person is told
    "approve": ("device-approved", "granted", "Approved", "Your terminal goes on by itself."),
    "deny": ("device-denied", "denied", "Denied", "The program was given nothing."),
}
_NO_SUCH_CODE = "This code is unknown, has expired or was used already. Compare it with your terminal."


def routes(pages: Pages) -> list[BaseRoute]:
    """Return the routes of these pages."""
    device = _Device(pages)
    return [
        Route(DEVICE_PATH, pages.answering(device.show), methods=["GET"]),
        Route(DEVICE_PATH, pages.answering(device.decide), methods=["POST"]),
    ]


class _Device:
    """The two handlers."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._broker = pages.broker
        self._wrong_codes = Tries(MAX_WRONG_CODES, WRONG_CODES_SECONDS)

    async def show(self, request: Request) -> Response:
        """Ask for what is missing: the sign-in, then the code, then the decision."""
        visitor = await self._pages.visitor(request)
        typed = request.query_params.get("user_code", "")
        code = parse_code(typed)
        if not visitor.user:
            return await self._pages.sign_in(visitor, Errand(user_code=code))
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
                "browser_address": address_of(request),
                "asked": ago(self._broker.now() - asked.created_at),
            },
        )

    async def decide(self, request: Request) -> Response:
        """Approve or deny the request whose code the form carries."""
        visitor, form = await self._pages.read_form(request)
        code, decision = parse_code(form.get("user_code", "")), form.get("decision", "")
        if not visitor.user:
            raise Refused(403, "Sign in first", NOTHING_CHANGED)
        if not code or decision not in _DECISIONS:
            raise Refused(400, "This form is not complete", NOTHING_CHANGED)
        asked = await self._look_up(visitor, code)
        if asked is None or not await run_in_threadpool(
            self._broker.store.decide_device,
            code,
            visitor.user,
            groups=visitor.groups,
            approved=decision == "approve",
            now=self._broker.now(),
        ):
            raise Refused(409, "Too late for this code", _NO_SUCH_CODE)
        event, result, heading, message = _DECISIONS[decision]
        index = self._pages.index_name(asked.resource)
        await self._pages.audit(request, event=event, who=visitor.user, result=result, index=index)
        return self._pages.done(visitor, heading, message)

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
