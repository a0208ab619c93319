"""The endpoints of trusted publishing: PyPI's, which know the host alone, and PEP 807's, which know the index.

This module translates between HTTP and ``publishing``; it decides nothing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from indexpass.broker import publishing
from indexpass.broker.incoming import TooLarge, address_of, read_body
from indexpass.broker.publishing import Refusal
from indexpass.broker.state.database import DatabaseAway

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from indexpass.broker.service import Broker

    Endpoint = Callable[[Request], Awaitable[Response]]
    Refresh = Callable[[], Awaitable[None]]

MEDIA_TYPE = "application/vnd.pypi.pytp.v1+json"  # PEP 807
_PROBLEM_TYPE = "application/problem+json"  # RFC 9457
_ACCEPTED = {MEDIA_TYPE, "application/*", "*/*"}
_NO_STORE = {"Cache-Control": "no-store"}
_DATABASE_AWAY = Refusal(
    "temporarily-unavailable", "the broker's database does not answer: try again", status=503, retry_after=5
)
_log = logging.getLogger("indexpass.broker")


def routes(broker: Broker, refresh: Refresh) -> list[BaseRoute]:
    """Return the routes; ``refresh`` reads the keys and the revocations anew where that is due."""
    settings = broker.settings

    async def audience(request: Request) -> Response:
        indexes = publishing.find_indexes(settings, _host(request))
        return JSONResponse({"audience": publishing.find_audience(settings, indexes)})

    async def mint(request: Request) -> Response:
        indexes = publishing.find_indexes(settings, _host(request))
        body = await _read(request)
        await refresh()
        minted = await publishing.mint(broker, body, indexes=indexes, address=address_of(request))
        return JSONResponse(minted.to_pypi(), headers=_NO_STORE)

    async def burn(request: Request) -> Response:
        body = await _read(request)
        await run_in_threadpool(publishing.burn, broker, body, address=address_of(request))
        return Response(status_code=202)  # whether there was such a token is told to nobody

    async def discovery(request: Request) -> Response:
        paths = request.query_params.getlist("discover")
        path = paths[0] if len(paths) == 1 else "?"  # the path of no URL
        return JSONResponse(publishing.discover(settings, _host(request), path), media_type=MEDIA_TYPE)

    async def audience_of_index(request: Request) -> Response:
        index = publishing.index_named(settings, request.path_params["name"])
        return JSONResponse({"audience": publishing.find_audience(settings, (index,))}, media_type=MEDIA_TYPE)

    async def mint_for_index(request: Request) -> Response:
        index = publishing.index_named(settings, request.path_params["name"])
        body = await _read(request)
        await refresh()
        minted = await publishing.mint(broker, body, indexes=(index,), address=address_of(request))
        return JSONResponse(minted.to_pep(), headers=_NO_STORE, media_type=MEDIA_TYPE)

    return [
        Route(publishing.AUDIENCE_PATH, _as_pypi(audience), methods=["GET"]),
        Route(publishing.MINT_PATH, _as_pypi(mint), methods=["POST"]),
        Route(publishing.OLD_MINT_PATH, _as_pypi(mint), methods=["POST"]),
        Route(publishing.BURN_PATH, _as_pypi(burn), methods=["POST"]),
        Route(publishing.DISCOVERY_PATH, _as_pep(discovery), methods=["GET"]),
        Route(f"{publishing.AUDIENCE_PATH}/{{name}}", _as_pep(audience_of_index), methods=["GET"]),
        Route(f"{publishing.MINT_PATH}/{{name}}", _as_pep(mint_for_index), methods=["POST"]),
    ]


def _as_pypi(endpoint: Endpoint) -> Endpoint:
    """Return the endpoint with its refusals in PyPI's shape; for an audience that there is none PyPI says 403."""

    async def answer(request: Request) -> Response:
        try:
            return await _with_database(endpoint, request)
        except Refusal as refusal:
            status = refusal.status if request.method == "GET" else refusal.pypi_status
            return JSONResponse(refusal.to_pypi(), status_code=status, headers=_headers(refusal))

    return answer


def _as_pep(endpoint: Endpoint) -> Endpoint:
    """Return the endpoint with its refusals as problems, and with its one media type negotiated."""

    async def answer(request: Request) -> Response:
        try:
            if not _accepts(request.headers.getlist("accept")):
                raise Refusal("not-acceptable", f"the answer is of the type {MEDIA_TYPE}", status=406)  # noqa: TRY301  # one way out
            return await _with_database(endpoint, request)
        except Refusal as refusal:
            headers = _headers(refusal)
            return JSONResponse(refusal.to_problem(), refusal.status, headers, media_type=_PROBLEM_TYPE)

    return answer


async def _with_database(endpoint: Endpoint, request: Request) -> Response:
    try:
        return await endpoint(request)
    except SQLAlchemyError as error:
        if not isinstance(error, DatabaseAway):  # that is logged once, where it is noticed
            _log.exception("the database refuses")
        raise _DATABASE_AWAY from None


def _accepts(headers: list[str]) -> bool:
    """Does the client take our media type, or say nothing of what it takes?"""
    ranges = [part.replace(" ", "").lower().split(";") for part in ",".join(headers).split(",") if part.strip()]
    return not ranges or any(name in _ACCEPTED and not {"q=0", "q=0.0"} & set(options) for name, *options in ranges)


async def _read(request: Request) -> bytes:
    """Return the body, whatever its type: clients of PyPI send JSON as anything, as PyPI itself allows."""
    try:
        return await read_body(request)
    except TooLarge:
        raise Refusal("invalid-payload", "the request is larger than 64 KiB", status=413) from None


def _headers(refusal: Refusal) -> dict[str, str]:
    return {**_NO_STORE, **({"Retry-After": str(refusal.retry_after)} if refusal.retry_after else {})}


def _host(request: Request) -> str:
    return request.headers.get("host", "")
