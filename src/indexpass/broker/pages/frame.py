"""What all pages for people share: how they are rendered, who looks at them, and whose forms are believed.

Plain HTML without JavaScript. Every form carries the token of its own session and comes from our own origin. This
module never checks a password, and never shows, logs or keeps one.
"""

from __future__ import annotations

import hmac
import json
from importlib.resources import files
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from indexpass._url import IndexUrl
from indexpass._wire import SCOPES
from indexpass.broker.incoming import TooLarge, address_of, read_body
from indexpass.broker.pages.times import duration
from indexpass.broker.pages.visitors import KnownBrowser, KnownBrowserCookie, Visitor, VisitorCookie
from indexpass.broker.policy import Denial, Person, decide
from indexpass.broker.settings import People
from indexpass.broker.state import users
from indexpass.broker.state.database import DatabaseAway

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request

    from indexpass.broker.pages.errand import Errand
    from indexpass.broker.service import Broker
    from indexpass.broker.settings import GuardedIndex

    Handler = Callable[[Request], Awaitable[Response]]

MAX_FORM_BYTES = 8 * 1024  # a password of 1,024 characters fits, whatever its alphabet
MAX_GROUPS_LENGTH = 2500  # of all names as JSON: browsers drop a cookie of more than 4 KiB
NOTHING_CHANGED = "Nothing was changed."
_RIGHTS = {"read": "Download packages", "upload": "Upload packages"}
_AWAY_SECONDS = 30


class Refused(Exception):
    """The request goes no further and is answered with an error page.

    ``wait`` is in seconds; ``has_start`` says whether the page offers to start again with a code.
    """

    def __init__(self, status: int, heading: str, message: str, *, wait: int = 0, has_start: bool = True) -> None:
        """Keep what the page will say."""
        super().__init__(heading)
        self.status = status
        self.heading = heading
        self.message = message
        self.wait = wait
        self.has_start = has_start


class Pages:
    """Renders pages, and knows who is looking."""

    def __init__(self, broker: Broker) -> None:
        """Load the templates and the stylesheet once."""
        self.broker = broker
        self.base = urlsplit(broker.settings.issuer).path.rstrip("/")  # a proxy may remove it before we see it
        self._origin = broker.settings.origin
        secret, is_https = broker.keys.cookie_secret(), self._origin.scheme == "https"
        self._cookie = VisitorCookie(secret, is_https=is_https)
        self._known_browser_cookie = KnownBrowserCookie(secret, is_https=is_https)
        loader = PackageLoader("indexpass.broker.pages")
        self._templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
        self._stylesheet = files("indexpass.broker.pages").joinpath("templates/indexpass.css").read_bytes()

    def answering(self, handler: Handler) -> Handler:
        """Return the handler with its refusals turned into error pages."""

        async def answer(request: Request) -> Response:
            try:
                try:
                    return await handler(request)
                except Refused as refused:
                    return self._refuse(await self.visitor(request), refused)
            except DatabaseAway:
                return self._refuse(Visitor.arriving("", self.broker.now()), _away())

        return answer

    def page(
        self,
        template: str,
        visitor: Visitor,
        values: Mapping[str, object],
        status: int = 200,
        *,
        form_targets: tuple[str, ...] = (),
    ) -> Response:
        """Return the page with the visitor's cookie; ``form_targets`` is where its forms may lead beside ourselves."""
        html = self._render(template, visitor, values)
        page = HTMLResponse(html, status, headers=_headers(form_targets))
        self._cookie.write(page, visitor)
        return page

    async def sign_in(
        self, visitor: Visitor, errand: Errand, *, name: str = "", problem: str = "", status: int = 200
    ) -> Response:
        """Return the page that asks who this is; the errand comes back with the answer.

        The company's own sign-in is offered where there is one, and a password is asked for unless nobody has any.
        """
        company = self.broker.settings.company
        values = {
            "errand": errand,
            "name": name,
            "problem": problem,
            "company": company.name if company else "",
            "has_passwords": company is None or await run_in_threadpool(self._has_passwords),
        }
        return self.page("sign_in", visitor, values, status)

    def arriving(self, user: str, groups: frozenset[str] = frozenset()) -> Visitor:
        """Return the visitor that somebody is once they have signed in.

        Of the groups that the company named, only those that a policy names too are kept: they travel in a cookie.
        Raises Refused if even those are too many.
        """
        known = groups & self._groups_of_policies()
        if len(json.dumps(sorted(known))) > MAX_GROUPS_LENGTH:
            raise Refused(403, "You are in too many groups", "Ask who runs this broker to name fewer in its policies.")
        return Visitor.arriving(user, self.broker.now(), known)

    def enter(self, user: str, place: str) -> Response:
        """Sign in somebody who has proved it by a password, and send them on to ``place``, a path below our URL.

        The browser is known from now on as one that this person uses.
        """
        answer = self.redirect(f"{self.base}{place}", self.arriving(user))
        self._known_browser_cookie.write(answer, user, self.broker.now())
        return answer

    def known_browser(self, request: Request) -> KnownBrowser | None:
        """Return as whom this browser has been signed in before, or None if it has not."""
        return self._known_browser_cookie.read(request.cookies, self.broker.now())

    def confirm(  # noqa: PLR0913  # what a person decides about, all by keyword
        self,
        visitor: Visitor,
        *,
        client_id: str,
        resource: str,
        scope: str,
        form: Mapping[str, str],
        device: Mapping[str, str] | None = None,
        form_targets: tuple[str, ...] = (),
    ) -> Response:
        """Return the page that asks whether this is really them; ``form`` comes back with the decision.

        ``device`` says which other machine asked, and is None for a program on the person's own.
        """
        values = {
            "client_id": client_id,
            "index": self.index_name(resource),
            "resource": resource,
            "rights": self._rights(visitor, resource, scope),
            "session": duration(self.broker.settings.session_seconds),
            "action": f"{self.base}{'/device' if device else '/oauth/authorize'}",
            "form": form,
            "device": device,
        }
        return self.page("confirm", visitor, values, form_targets=form_targets)

    def done(self, visitor: Visitor, heading: str, message: str) -> Response:
        """Return the page that says that it is over."""
        return self.page("done", visitor, {"heading": heading, "message": message})

    def redirect(self, url: str, visitor: Visitor | None = None) -> Response:
        """Send the browser on, without what it has just sent (RFC 9700 section 4.12); with a cookie for a visitor."""
        answer = RedirectResponse(url, status_code=303, headers=_headers())
        if visitor:
            self._cookie.write(answer, visitor)
        return answer

    async def send_stylesheet(self, _request: Request) -> Response:
        """Send the one stylesheet, which is the same for everybody and may be cached."""
        headers = {**_headers(), "Cache-Control": "public, max-age=3600"}
        return Response(self._stylesheet, media_type="text/css", headers=headers)

    async def read_form(self, request: Request) -> tuple[Visitor, dict[str, str]]:
        """Return the visitor and the form. Raises Refused unless one of our own pages of this session sent it."""
        if request.headers.get("origin", str(self._origin)) != str(self._origin):
            raise Refused(403, "This form came from another site", NOTHING_CHANGED)
        try:
            body = await read_body(request, MAX_FORM_BYTES)
        except TooLarge:
            raise Refused(413, "This form is too large", NOTHING_CHANGED) from None
        form = _parse_form(request.headers.get("content-type", ""), body)
        visitor = await self.visitor(request)
        if not hmac.compare_digest(form.get("form_token", "").encode(), visitor.form_token.encode()):
            raise Refused(403, "This form is out of date", NOTHING_CHANGED)
        return visitor, form

    async def visitor(self, request: Request) -> Visitor:
        """Return who the cookie says this is.

        That is a new visitor if it says nothing, or names somebody who was removed or signed out everywhere since.
        """
        now = self.broker.now()
        visitor = self._cookie.read(request.cookies, now) or Visitor.arriving("", now)
        if visitor.user:
            user = await run_in_threadpool(self.broker.store.user, visitor.user)
            if user is None or not user.may_be_signed_in(visitor.since):
                return Visitor.arriving("", now)
        return visitor

    def index_name(self, resource: str) -> str:
        """Return what the settings call the index of this URL; empty if they no longer have it."""
        index = self._index(resource)
        return index.name if index else ""

    async def audit(self, request: Request, **facts: str) -> None:
        """Write down what was decided; no answer leaves before."""
        await self.broker.audit.record(address=address_of(request), **facts)

    def _index(self, resource: str) -> GuardedIndex | None:
        return self.broker.settings.index_for(IndexUrl.parse(resource))

    def _rights(self, visitor: Visitor, resource: str, scope: str) -> list[dict[str, str]]:
        """Return what the program asks for, each with what this person may not have of it."""
        index, person = self._index(resource), Person(visitor.user, visitor.groups)
        rights = []
        for operation in (operation for operation, name in SCOPES.items() if name in scope.split()):
            decision = decide(self.broker.settings, person, index, operation) if index else Denial("")
            if isinstance(decision, Denial):
                note = "no policy of this broker lets you"
            else:
                note = "" if decision.projects is None else f"only {', '.join(sorted(decision.projects))}"
            rights.append({"name": _RIGHTS[operation], "note": note})
        return rights

    def _groups_of_policies(self) -> frozenset[str]:
        people = (policy.who for policy in self.broker.settings.policies if isinstance(policy.who, People))
        return frozenset().union(*(each.groups for each in people))

    def _has_passwords(self) -> bool:
        with self.broker.store.reading() as connection:
            return users.has_passwords(connection)

    def _refuse(self, visitor: Visitor, refused: Refused) -> Response:
        """Say why the request went no further. This sets no cookie: another site's form must not sign anybody out."""
        headers = {**_headers(), "Retry-After": str(refused.wait)} if refused.wait else _headers()
        values = {"heading": refused.heading, "message": refused.message, "has_start": refused.has_start}
        html = self._render("error", visitor, values)
        return HTMLResponse(html, refused.status, headers=headers)

    def _render(self, template: str, visitor: Visitor, values: Mapping[str, object]) -> str:
        return self._templates.get_template(f"{template}.html").render(
            values, base=self.base, host=self._origin.netloc, user=visitor.user, form_token=visitor.form_token
        )


def _away() -> Refused:
    message = "Its database does not answer. Try again in a minute."
    return Refused(503, "The broker cannot answer now", message, wait=_AWAY_SECONDS, has_start=False)


def _headers(form_targets: tuple[str, ...] = ()) -> dict[str, str]:
    form_action = " ".join(["form-action 'self'", *form_targets])
    return {
        "Content-Security-Policy": (
            f"default-src 'none'; style-src 'self'; {form_action}; frame-ancestors 'none'; base-uri 'none'"
        ),
        "X-Content-Type-Options": "nosniff",
        # Not "no-referrer": under it browsers send "Origin: null" with our own forms, which leaves nothing to check.
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


def _parse_form(content_type: str, body: bytes) -> dict[str, str]:
    if content_type.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise Refused(415, "This is not a form of these pages", NOTHING_CHANGED)
    try:
        form = dict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=8))
    except ValueError as error:
        raise Refused(400, "This form cannot be read", NOTHING_CHANGED) from error
    if any("\0" in value for value in form.values()):  # PostgreSQL has no such text
        raise Refused(400, "This form cannot be read", NOTHING_CHANGED)
    return form
