"""The endpoints that OAuth names: token, device authorization, revocation, introspection, metadata, keys.

Each reads a form, has the work done, on a thread where that blocks, and speaks OAuth whatever comes of it. This module
translates between HTTP and the modules that decide; it decides nothing.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from indexpass import _metadata, _wire
from indexpass.broker.exchange import exchange
from indexpass.broker.incoming import TooLarge, address_of, read_body
from indexpass.broker.introspect import introspect
from indexpass.broker.invite import invite
from indexpass.broker.keys import ALGORITHM
from indexpass.broker.oauth import OAuthError, parse_form, with_client
from indexpass.broker.pages.errand import AUTHORIZE_PATH
from indexpass.broker.revoke import revoke
from indexpass.broker.state.database import DatabaseAway

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from indexpass.broker.service import Broker

    Answerer = Callable[["_Asked"], Awaitable[dict[str, object]]]
    Endpoint = Callable[[Request], Awaitable[Response]]
    Refresh = Callable[[], Awaitable[None]]

TOKEN_PATH = "/oauth/token"  # noqa: S105  # a path
DEVICE_PATH = "/oauth/device_authorization"
REVOKE_PATH = "/oauth/revoke"
INTROSPECT_PATH = "/oauth/introspect"
KEYS_PATH = "/jwks.json"
OPENID_PATH = "/.well-known/openid-configuration"
METADATA_SECONDS = 300  # a key is published for longer than this before it signs
# What OpenID Connect Discovery 1.0 asks for beyond RFC 8414. No ID tokens are issued: the algorithm is the keys' own.
_OPENID: dict[str, object] = {
    "subject_types_supported": ["public"],
    "id_token_signing_alg_values_supported": [ALGORITHM],
    "request_parameter_supported": False,
    "request_uri_parameter_supported": False,
}
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}  # RFC 6749 section 5.1
_CACHED = {"Cache-Control": f"public, max-age={METADATA_SECONDS}"}
_BASIC_CHALLENGE = 'Basic realm="indexpass", charset="UTF-8"'  # RFC 6749 section 5.2
_DATABASE_AWAY = OAuthError(
    "temporarily_unavailable", "the broker's database does not answer", status=503, retry_after=5
)
_log = logging.getLogger("indexpass.broker")


def routes(broker: Broker, refresh: Refresh) -> list[BaseRoute]:
    """Return the routes; ``refresh`` reads the keys and the revocations anew where that is due."""
    return [*_form_routes(broker, refresh), *_document_routes(broker, refresh)]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a request says: its form, its ``Authorization`` header, and the address that it came from."""

    form: dict[str, str]
    authorization: str
    address: str

    def by_client(self) -> dict[str, str]:
        """Return the form with the client's name, wherever that stands. Raises OAuthError."""
        return with_client(self.form, self.authorization)


def _form_routes(broker: Broker, refresh: Refresh) -> list[BaseRoute]:
    async def token(asked: _Asked) -> dict[str, object]:
        with broker.metrics.timing_exchange():
            return (await exchange(broker, asked.by_client(), address=asked.address)).to_json()

    def device(asked: _Asked) -> dict[str, object]:
        return invite(broker, asked.by_client(), address=asked.address).to_json()

    def revocation(asked: _Asked) -> dict[str, object]:
        revoke(broker, asked.by_client(), address=asked.address)
        return {}

    def introspection(asked: _Asked) -> dict[str, object]:
        return introspect(broker, asked.form, authorization=asked.authorization)

    endpoints: dict[str, Answerer] = {
        TOKEN_PATH: token,
        DEVICE_PATH: _on_a_thread(device),
        REVOKE_PATH: _on_a_thread(revocation),
        INTROSPECT_PATH: _on_a_thread(introspection),
    }
    return [Route(path, _answering(answer, refresh), methods=["POST"]) for path, answer in endpoints.items()]


def _on_a_thread(answer: Callable[[_Asked], dict[str, object]]) -> Answerer:
    async def answering(asked: _Asked) -> dict[str, object]:
        return await run_in_threadpool(answer, asked)

    return answering


def _answering(answer: Answerer, refresh: Refresh) -> Endpoint:
    """Return an endpoint that reads a form, has it answered, and speaks OAuth either way."""

    async def endpoint(request: Request) -> Response:
        try:
            asked = await _read(request)
            await refresh()
            return JSONResponse(await answer(asked), headers=_NO_STORE)
        except OAuthError as error:
            return _refusal(error)
        except SQLAlchemyError as error:
            if not isinstance(error, DatabaseAway):  # that is logged once, where it is noticed
                _log.exception("the database refuses")
            return _refusal(_DATABASE_AWAY)

    return endpoint


async def _read(request: Request) -> _Asked:
    """Return what the request says. Raises OAuthError if it says it in another way than RFC 6749 section 3.2 does."""
    if request.scope["query_string"]:  # it stands in logs, and what is asked here are secrets (RFC 6750 section 5.3)
        raise OAuthError("invalid_request", "the parameters go into the body, never into the URL")
    try:
        body = await read_body(request)
    except TooLarge:
        raise OAuthError("invalid_request", "the request is larger than 64 KiB", status=413) from None
    return _Asked(
        form=parse_form(request.headers.get("content-type", ""), body),
        authorization=request.headers.get("authorization", ""),
        address=address_of(request),
    )


def _refusal(error: OAuthError) -> Response:
    headers = dict(_NO_STORE)
    if error.status == 401:  # noqa: PLR2004  # RFC 9110 section 15.5.2
        headers["WWW-Authenticate"] = _BASIC_CHALLENGE
    if error.retry_after:
        headers["Retry-After"] = str(error.retry_after)
    return JSONResponse(_wire.error_json(error.code, error.description), status_code=error.status, headers=headers)


def _document_routes(broker: Broker, refresh: Refresh) -> list[BaseRoute]:
    issuer = broker.settings.issuer
    metadata = _metadata.Metadata(
        issuer=issuer,
        authorization_endpoint=f"{issuer}{AUTHORIZE_PATH}",
        token_endpoint=f"{issuer}{TOKEN_PATH}",
        device_authorization_endpoint=f"{issuer}{DEVICE_PATH}",
        revocation_endpoint=f"{issuer}{REVOKE_PATH}",
        introspection_endpoint=f"{issuer}{INTROSPECT_PATH}",
        jwks_uri=f"{issuer}{KEYS_PATH}",
    ).to_json()

    async def keys(_request: Request) -> Response:
        await refresh()
        return JSONResponse(broker.keys.jwks(), headers=_CACHED)

    routes: list[BaseRoute] = [
        Route(_metadata.METADATA_PATH, _serving(metadata)),
        Route(OPENID_PATH, _serving({**metadata, **_OPENID})),
        Route(KEYS_PATH, keys),
    ]
    for index in broker.settings.indexes:
        if index.url.origin == broker.settings.origin:
            resource = _metadata.ResourceMetadata(index.url, issuer, index.upload_url, index.files_url, index.name)
            path = _metadata.well_known_url(_metadata.RESOURCE_METADATA_PATH, index.url).removeprefix(issuer)
            routes += [Route(form, _serving(resource.to_json())) for form in (path, f"{path}/")]
    return routes


def _serving(document: dict[str, object]) -> Endpoint:
    async def endpoint(_request: Request) -> Response:
        return JSONResponse(document, headers=_CACHED)

    return endpoint
