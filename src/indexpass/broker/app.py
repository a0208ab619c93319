"""The broker over HTTP: the check for proxies, and all other endpoints, pages and the built-in index put together.

Work that blocks (database, password hashes, other people's servers) runs on threads; ``/check`` stays on the event
loop. This module translates between HTTP and the modules that decide; it decides nothing.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from indexpass.broker import endpoints, publishing_endpoints, upkeep
from indexpass.broker.deadlines import BodyDeadline
from indexpass.broker.guarding import guard
from indexpass.broker.guarding.proxy import ProxyReader
from indexpass.broker.health import Readiness
from indexpass.broker.pages import login
from indexpass.broker.state.usage import Fetch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from indexpass.broker.guarding.check import Facts, Verdict
    from indexpass.broker.service import Broker

CHECK_PATH = "/check"
MEASURED_CHECKS = 64  # one in so many is timed, which says as much as all of them would
REFRESH_PATIENCE_SECONDS = 0.5
_NO_CONTENT: list[Message] = [  # the answer of almost every check
    {"type": "http.response.start", "status": 204, "headers": []},
    {"type": "http.response.body", "body": b""},
]


def create_app(broker: Broker, *, packages: Path | None = None) -> Starlette:
    """Return the broker as an ASGI application.

    With ``packages``, each index on the broker's own origin is served too, from the folder of its name in there: what
    one policy guards is never shown under another.
    """
    checks = _Checks(broker)
    app = _App(
        checks,
        routes=[
            *endpoints.routes(broker, checks.refresh),
            *publishing_endpoints.routes(broker, checks.refresh),
            Route("/healthz", _healthz),
            Route("/readyz", _readyz(broker, checks.refresh)),
            *login.routes(broker),
            *(_index_routes(broker, checks, packages) if packages else []),
        ],
        middleware=[
            Middleware(BodyDeadline),
            Middleware(ProxyHeadersMiddleware, trusted_hosts=list(broker.settings.running.trusted_proxies)),
        ],
        lifespan=lambda _app: upkeep.keeping_up(broker),
    )
    app.router.redirect_slashes = False  # it would redirect to whatever host the client named
    return app


class _App(Starlette):
    """Answers ``/check`` at once: half of what a check would take is to find the way to it.

    Neither the address that it comes from nor a body matters there.
    """

    def __init__(
        self,
        checks: ASGIApp,
        *,
        routes: Sequence[BaseRoute],
        middleware: Sequence[Middleware],
        lifespan: Callable[[Starlette], AbstractAsyncContextManager[None]],
    ) -> None:
        super().__init__(routes=routes, middleware=middleware, lifespan=lifespan)
        self._checks = checks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == CHECK_PATH:
            await self._checks(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


class _Checks:
    """Answers ``/check``, and the built-in index's guard; keeps the list of revocations up to date meanwhile.

    What it answers is counted in memory, which is all that a check has time for.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._proxies = ProxyReader(broker.settings)
        self._reading: asyncio.Task[None] | None = None
        self._patient_until = 0.0
        self._has_usage = broker.settings.running.has_usage
        self._unmeasured = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        verdict = await self.check(self._proxies.facts(scope["headers"], scope["query_string"]))
        answer = guard.refusal(verdict)
        if answer:
            await answer(scope, receive, send)
            return
        for part in _NO_CONTENT:
            await send(part)

    async def check(self, facts: Facts) -> Verdict:
        self._unmeasured += 1
        is_measured = self._unmeasured >= MEASURED_CHECKS
        begun = perf_counter() if is_measured else 0.0
        if self._broker.revocations.is_due(self._broker.now()):
            await self.refresh()
        verdict = self._broker.checker.check(facts)
        self._count(facts, verdict)
        if is_measured:
            self._unmeasured = 0
            self._broker.metrics.check_seconds.observe(perf_counter() - begun)
        return verdict

    def _count(self, facts: Facts, verdict: Verdict) -> None:
        index, target = facts.index.name if facts.index else "", facts.target
        self._broker.metrics.checks[index, verdict.status] += 1
        is_fetch = self._has_usage and target.version and facts.operation == "read"
        if is_fetch and target.project and verdict.subject:  # a no names nobody
            fetch = Fetch(index, target.project, target.version, verdict.subject)
            self._broker.tally.count(fetch, self._broker.now())

    async def refresh(self) -> None:
        """Read the keys and what was revoked anew, if that is due.

        One reads for all, on a thread that no request can occupy. Where the database takes its time, nobody waits for
        it longer than a moment: no index should stand still because the broker cannot mint.
        """
        if not self._broker.revocations.is_due(self._broker.now()):
            return
        now = asyncio.get_running_loop().time
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(asyncio.to_thread(self._broker.refresh))
            self._patient_until = now() + REFRESH_PATIENCE_SECONDS
        done, _ = await asyncio.wait({self._reading}, timeout=max(0.0, self._patient_until - now()))
        for reading in done:
            reading.result()


async def _healthz(_request: Request) -> Response:
    return PlainTextResponse("ok\n")


def _readyz(broker: Broker, refresh: Callable[[], Awaitable[None]]) -> Callable[[Request], Awaitable[Response]]:
    readiness = Readiness(broker, refresh)

    async def endpoint(_request: Request) -> Response:
        failing = await readiness.failing()
        answer = {"ready": not failing, "failing": failing}
        return JSONResponse(answer, status_code=503 if failing else 200, headers={"Cache-Control": "no-store"})

    return endpoint


def _index_routes(broker: Broker, checks: _Checks, packages: Path) -> list[BaseRoute]:
    from indexpass.broker.guarding.packages import create_app as create_index  # noqa: PLC0415  # pypiserver, where it is served

    routes: list[BaseRoute] = []
    for index in broker.settings.indexes:
        if index.url.origin == broker.settings.origin:
            folder = packages / index.name
            folder.mkdir(parents=True, exist_ok=True)
            routes += guard.routes(index, create_index(folder), checks.check)
    return routes
