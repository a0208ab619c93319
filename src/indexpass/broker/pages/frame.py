"""What all pages for people share: how they are rendered, who looks at them, and whose forms are believed.

Plain HTML without JavaScript. Every form carries the token of its own session and comes from our own origin. This
module never checks a password, and never shows, logs or keeps one.
"""

from __future__ import annotations

import hmac
import math
from importlib.resources import files
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from indexpass._url import IndexUrl
from indexpass.broker.pages.visitors import Visitor, VisitorCookie

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request

    from indexpass.broker.service import Broker

    Handler = Callable[[Request], Awaitable[Response]]

MAX_FORM_BYTES = 8 * 1024  # a password of 1,024 characters fits, whatever its alphabet
NOTHING_CHANGED = "Nothing was changed."
_RIGHTS = {"pypi:read": "Download packages", "pypi:write": "Upload packages"}


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
        self._cookie = VisitorCookie(broker.keys.cookie_secret(), is_https=self._origin.scheme == "https")
        loader = PackageLoader("indexpass.broker.pages")
        self._templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
        self._stylesheet = files("indexpass.broker.pages").joinpath("templates/indexpass.css").read_bytes()

    def answering(self, handler: Handler) -> Handler:
        """Return the handler with its refusals turned into error pages."""

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except Refused as refused:
                return await self._refuse(request, refused)

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
            "rights": [_RIGHTS.get(each, each) for each in scope.split()],
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
        form = _parse_form(request.headers.get("content-type", ""), await _read_body(request))
        visitor = await self.visitor(request)
        if not hmac.compare_digest(form.get("form_token", "").encode(), visitor.form_token.encode()):
            raise Refused(403, "This form is out of date", NOTHING_CHANGED)
        return visitor, form

    async def visitor(self, request: Request) -> Visitor:
        """Return who the cookie says this is, or a new visitor if it says nothing or names a user who was removed."""
        now = self.broker.now()
        visitor = self._cookie.read(request.cookies, now)
        if visitor is None or (visitor.user and await run_in_threadpool(self.broker.store.user, visitor.user) is None):
            return Visitor.arriving("", now)
        return visitor

    def index_name(self, resource: str) -> str:
        """Return what the settings call the index of this URL; empty if they no longer have it."""
        index = self.broker.settings.index_for(IndexUrl.parse(resource))
        return index.name if index else ""

    async def audit(self, request: Request, **facts: str) -> None:
        """Write down what was decided; no answer leaves before."""
        await run_in_threadpool(self.broker.audit.record, address=address(request), **facts)

    async def _refuse(self, request: Request, refused: Refused) -> Response:
        """Say why the request went no further. This sets no cookie: another site's form must not sign anybody out."""
        visitor = await self.visitor(request)
        headers = {**_headers(), "Retry-After": str(refused.wait)} if refused.wait else _headers()
        values = {"heading": refused.heading, "message": refused.message, "has_start": refused.has_start}
        html = self._render("error", visitor, values)
        return HTMLResponse(html, refused.status, headers=headers)

    def _render(self, template: str, visitor: Visitor, values: Mapping[str, object]) -> str:
        return self._templates.get_template(f"{template}.html").render(
            values, base=self.base, host=self._origin.netloc, user=visitor.user, form_token=visitor.form_token
        )


def address(request: Request) -> str:
    """Return the address that the request came from, or nothing if that is not known."""
    return request.client.host if request.client else ""


def duration(seconds: float) -> str:
    """Say it in minutes, or in hours where it comes out even."""
    minutes = max(1, math.ceil(seconds / 60))
    count, unit = (minutes, "minute") if minutes % 60 else (minutes // 60, "hour")
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


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


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise Refused(413, "This form is too large", NOTHING_CHANGED)
    return bytes(body)


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
