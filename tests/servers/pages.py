"""The broker's pages without a socket: the parts that they use, and a browser that keeps cookies and fills in forms."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from argon2 import PasswordHasher
from sqlalchemy import select

from indexpass._url import IndexUrl
from indexpass.broker.limits import Limits
from indexpass.broker.settings import GuardedIndex, Settings
from indexpass.broker.state import devices, schema
from indexpass.broker.state.audit import Audit
from indexpass.broker.state.revocations import Revocations
from indexpass.broker.state.store import Store
from servers.brokers import make_keys

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import ASGIApp, Message, Scope

    from indexpass.broker.keys import Keys

INDEX = IndexUrl.parse("https://index.example/simple/")
PASSWORD = "correct horse battery"


@dataclass
class Parts:
    """The parts of a broker that the pages use: real ones, but for the clock."""

    settings: Settings
    store: Store
    keys: Keys
    audit: Audit
    revocations: Revocations
    limits: Limits
    clock: list[float]
    company: None = None

    def now(self) -> float:
        return self.clock[0]

    def ask(self, *, scope: str = "pypi:read", resource: str = str(INDEX), client_id: str = "indexpass") -> str:
        """Begin a device sign-in, and return its user code."""
        facts = {"client_id": client_id, "resource": resource, "scope": scope, "address": "198.51.100.7"}
        with self.store.writing() as connection:
            return devices.begin(connection, **facts, now=self.now())[1]

    def decision(self, code: str) -> tuple[str | None, str | None]:
        table = schema.device_codes
        with self.store.reading() as connection:
            query = select(table.c.decision, table.c.user).where(table.c.user_code == devices.normalised(code))
            return tuple(connection.execute(query).one())

    def entries(self) -> list[tuple[str, str, str, str]]:
        table = schema.audit
        with self.store.reading() as connection:
            query = select(table.c.event, table.c.who, table.c.result, table.c.reason)
            return [tuple(row) for row in connection.execute(query)]


def parts(folder: Path, issuer: str = "http://127.0.0.1:8443", **changes: object) -> Parts:
    """Return the parts, with the people alice and bob; ``changes`` are settings that are otherwise."""
    index = GuardedIndex("acme", INDEX, None, None, 3600, 900)
    settings = Settings(issuer, ("127.0.0.1", 8443), None, None, "", 24 * 3600, (index,), (), ())
    store = Store(f"sqlite:///{folder / 'broker.db'}")
    clock = [1_000_000.0]
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    for name in ("alice", "bob"):
        store.add_user(name, cheap.hash(PASSWORD), clock[0])
    keys = make_keys(issuer)
    settings = replace(settings, **changes)  # type: ignore[arg-type]  # the caller knows the fields
    return Parts(
        settings,
        store,
        keys,
        Audit(store, lambda: clock[0]),
        Revocations(store),
        Limits(settings.running, lambda _: None),
        clock,
    )


class Forms(HTMLParser):
    """What a browser would send with the forms of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, str]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "form":
            self.forms.append((found["action"] or "", {}))
        elif tag == "input":
            self.forms[-1][1][found["name"] or ""] = found.get("value") or ""


@dataclass
class Page:
    status: int
    headers: dict[str, str]
    text: str


@dataclass
class Browser:
    """Keeps cookies and fills in forms, at one network address."""

    app: ASGIApp
    address: str = "192.0.2.1"
    cookies: dict[str, str] = field(default_factory=dict)
    page: Page = field(default_factory=lambda: Page(0, {}, ""))

    def get(self, target: str) -> Page:
        return self._send("GET", target, {}, b"")

    def post(self, target: str, body: bytes, headers: dict[str, str] | None = None) -> Page:
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._send("POST", target, kind | (headers or {}), body)

    def fill_in(self, action: str, headers: dict[str, str] | None = None, **fields: str) -> Page:
        """Send the form of the page at hand that goes to ``action``, and follow where it leads."""
        filled = next(dict(values) for target, values in Forms(self.page.text).forms if target == action)
        page = self.post(action, urlencode(filled | fields).encode(), headers)
        return self.get(page.headers["location"]) if page.status == 303 else page

    def sign_in(self, user: str = "alice", password: str = PASSWORD, *, code: str = "") -> Page:
        self.get("/device" + (f"?user_code={code}" if code else ""))
        return self.fill_in("/signin", user=user, password=password)

    def decide(self, decision: str, headers: dict[str, str] | None = None, **fields: str) -> Page:
        return self.fill_in("/device", headers, decision=decision, **fields)

    def _send(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Page:
        path, _, query = target.partition("?")
        if self.cookies:
            headers = headers | {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": (self.address, 50000),
            "server": ("127.0.0.1", 8443),
        }
        pieces = [body[start : start + 1024] for start in range(0, len(body), 1024)] + [b""]
        messages: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

        async def send(message: Message) -> None:
            messages.append(message)

        asyncio.run(self.app(scope, receive, send))
        received = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
        text = b"".join(message.get("body", b"") for message in messages[1:]).decode()
        for name, value in messages[0]["headers"]:
            if name == b"set-cookie":
                self.cookies |= {key: morsel.value for key, morsel in SimpleCookie(value.decode()).items()}
        self.page = Page(messages[0]["status"], received, text)
        return self.page
