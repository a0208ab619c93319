"""The broker over HTTP: the OAuth endpoints, the check for proxies, the pages and the built-in index.

Work that blocks (database, password hashes, other people's servers) runs on threads; ``/check`` stays on the event
loop. This module translates between HTTP and the modules that decide; it decides nothing.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from indexpass import _wire
from indexpass.broker.exchange import exchange
from indexpass.broker.guarding import guard
from indexpass.broker.guarding.proxy import ProxyReader
from indexpass.broker.invite import invite
from indexpass.broker.oauth import MAX_FORM_BYTES, OAuthError, parse_form
from indexpass.broker.pages import authorize, login
from indexpass.broker.revoke import revoke

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from indexpass.broker.guarding.check import Facts, Verdict
    from indexpass.broker.service import Broker

    Answerer = Callable[[dict[str, str], str], dict[str, object]]

PURGE_SECONDS = 3600.0
_NO_STORE = {"Cache-Control": "no-store"}  # RFC 6749 section 5.1
_NO_CONTENT = Response(status_code=204)  # the answer of almost every check: made once
_log = logging.getLogger("indexpass.broker")


def create_app(broker: Broker, *, packages: Path | None = None) -> Starlette:
    """Return the broker as an ASGI application.

    With ``packages``, each index on the broker's own origin is served too, from the folder of its name in there: what
    one policy guards is never shown under another.
    """
    checks = _Checks(broker)
    app = Starlette(
        routes=[
            Route("/check", checks),
            *_oauth_routes(broker),
            *_metadata_routes(broker),
            Route("/healthz", _healthz),
            *login.routes(broker),
            *(_index_routes(broker, checks, packages) if packages else []),
        ],
        lifespan=_lifespan(broker),
    )
    app.router.redirect_slashes = False  # it would redirect to whatever host the client named
    return app


class _Checks:
    """Answers ``/check``, and the built-in index's guard; keeps the list of revocations up to date meanwhile."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._proxies = ProxyReader(broker.settings)
        self._reading = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        facts = self._proxies.facts(scope["headers"], scope["query_string"])
        answer = guard.refusal(await self.check(facts)) or _NO_CONTENT
        await answer(scope, receive, send)

    async def check(self, facts: Facts) -> Verdict:
        revocations, now = self._broker.revocations, self._broker.now
        if revocations.is_due(now()):
            async with self._reading:
                if revocations.is_due(now()):  # somebody else may have read it while we waited
                    await run_in_threadpool(revocations.refresh, now())
        return self._broker.checker.check(facts)


def _oauth_routes(broker: Broker) -> list[BaseRoute]:
    def token(form: dict[str, str], address: str) -> dict[str, object]:
        return exchange(broker, form, address=address).to_json()

    def device(form: dict[str, str], address: str) -> dict[str, object]:
        return invite(broker, form, address=address).to_json()

    def revocation(form: dict[str, str], address: str) -> dict[str, object]:
        revoke(broker, form, address=address)
        return {}

    return [
        Route("/oauth/token", _answering(token), methods=["POST"]),
        Route("/oauth/device_authorization", _answering(device), methods=["POST"]),
        Route("/oauth/revoke", _answering(revocation), methods=["POST"]),
    ]


def _answering(answer: Answerer) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that reads a form, has ``answer`` work on a thread, and speaks OAuth either way."""

    async def endpoint(request: Request) -> Response:
        try:
            form = parse_form(request.headers.get("content-type", ""), await _read(request))
            address = request.client.host if request.client else ""
            return JSONResponse(await run_in_threadpool(answer, form, address), headers=_NO_STORE)
        except OAuthError as error:
            body, status = _wire.error_json(error.code, error.description), error.status
        except SQLAlchemyError:
            _log.exception("the database does not answer")
            body, status = _wire.error_json("temporarily_unavailable", "the broker's database does not answer"), 503
        return JSONResponse(body, status_code=status, headers=_NO_STORE)

    return endpoint


async def _read(request: Request) -> bytes:
    """Return the body, or a little more of it than may be: the rest of a larger one is not waited for."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            break
    return bytes(body)


def _metadata_routes(broker: Broker) -> list[BaseRoute]:
    issuer = broker.settings.issuer
    metadata = _wire.Metadata(
        issuer=issuer,
        authorization_endpoint=f"{issuer}{authorize.PATH}",
        token_endpoint=f"{issuer}/oauth/token",
        device_authorization_endpoint=f"{issuer}/oauth/device_authorization",
        revocation_endpoint=f"{issuer}/oauth/revoke",
        jwks_uri=f"{issuer}/jwks.json",
    ).to_json()
    routes: list[BaseRoute] = [
        Route(_wire.METADATA_PATH, _serving(metadata)),
        Route("/.well-known/openid-configuration", _serving(metadata)),
        Route("/jwks.json", _serving(broker.keys.jwks())),
    ]
    for index in broker.settings.indexes:
        if index.url.origin == broker.settings.origin:
            resource = _wire.ResourceMetadata(index.url, issuer, index.upload_url, index.files_url, index.name)
            path = _wire.well_known_url(_wire.RESOURCE_METADATA_PATH, index.url).removeprefix(issuer)
            routes += [Route(form, _serving(resource.to_json())) for form in (path, f"{path}/")]
    return routes


def _serving(document: dict[str, object]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(_request: Request) -> Response:
        return JSONResponse(document, headers={"Cache-Control": "public, max-age=300"})

    return endpoint


async def _healthz(_request: Request) -> Response:
    return PlainTextResponse("ok\n")


def _index_routes(broker: Broker, checks: _Checks, packages: Path) -> list[BaseRoute]:
    from indexpass.broker.guarding.packages import create_app as create_index  # noqa: PLC0415  # pypiserver, where it is served

    routes: list[BaseRoute] = []
    for index in broker.settings.indexes:
        if index.url.origin == broker.settings.origin:
            folder = packages / index.name
            folder.mkdir(parents=True, exist_ok=True)
            routes += guard.routes(index, create_index(folder), checks.check)
    return routes


def _lifespan(broker: Broker) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        purging = asyncio.create_task(_purge(broker))
        try:
            yield
        finally:
            purging.cancel()
            await asyncio.gather(purging, return_exceptions=True)

    return lifespan


async def _purge(broker: Broker) -> None:
    """Remove what has expired, once an hour."""
    while True:
        try:
            await run_in_threadpool(broker.store.purge, broker.now())
        except SQLAlchemyError:
            _log.exception("what has expired cannot be removed; the next try is in an hour")
        await asyncio.sleep(PURGE_SECONDS)
