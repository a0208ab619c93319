"""The guard of the built-in index: each request is checked, then handed on without the credential that came with it.

Reads go to ``simple`` and ``packages`` below the index's root, uploads are POSTs to the path of its upload URL. This
module never stores or lists a package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from indexpass._url import IndexUrl
from indexpass.broker.guarding.check import Facts, Verdict
from indexpass.broker.guarding.proxy import READING_METHODS, authorization_in, operation_of
from indexpass.errors import ConfigError, UrlError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from indexpass.broker.settings import GuardedIndex

    Check = Callable[[Facts], Awaitable[Verdict]]

_OURS = {b"authorization", b"cookie"}  # a token, and a sign-in at the broker's pages: neither is the index's business


def routes(index: GuardedIndex, app: ASGIApp, check: Check) -> list[BaseRoute]:
    """Return the routes by which ``index``, which stands on the broker's own origin, is served by ``app``.

    Raises ConfigError if its URL does not end in ``/simple/``, where the built-in index has its pages.
    """
    root = index.url.root
    if index.url.segments != (*root.segments, "simple"):
        raise ConfigError(
            f"the built-in index cannot serve {index.url}", hint="let the url of the index end in /simple/"
        )
    base = _path(root)
    found: list[BaseRoute] = [
        Route(f"{base}/{part}/{{rest:path}}", _Guard(index, app, check, base, None)) for part in ("simple", "packages")
    ]
    if index.upload_url and index.upload_url.origin == root.origin:
        upload = _path(index.upload_url)
        paths = [f"{upload}/", upload] if upload else ["/"]
        found += [Route(path, _Guard(index, app, check, base, "/")) for path in paths]
    return found


class _Guard:
    """An ASGI application in front of another. With ``target`` it takes uploads, without it reads."""

    def __init__(self, index: GuardedIndex, app: ASGIApp, check: Check, base: str, target: str | None) -> None:
        self._index = index
        self._app = app
        self._check = check
        self._base = base
        self._target = target

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = await self._refusal(scope)
        if answer:
            await answer(scope, receive, send)
            return
        path = scope["path"] if self._target is None else f"{self._base}{self._target}"
        headers = [(name, value) for name, value in scope["headers"] if name not in _OURS]
        inner = {**scope, "root_path": self._base, "path": path, "raw_path": path.encode(), "headers": headers}
        await self._app(inner, receive, send)

    async def _refusal(self, scope: Scope) -> Response | None:
        """Return the answer that ends the request here, or None if it may go on."""
        methods = READING_METHODS if self._target is None else {"POST"}
        if scope["method"] not in methods:
            return PlainTextResponse(
                "this method is not for this path\n", status_code=405, headers={"Allow": ", ".join(sorted(methods))}
            )
        try:
            IndexUrl.parse(f"{self._index.url.origin}{scope['raw_path'].decode('latin-1')}")
        except UrlError:  # what two parsers could read differently is not for one of them to read
            return PlainTextResponse("not found\n", status_code=404)
        facts = Facts(authorization_in(scope["headers"]), self._index, operation_of(scope["method"]))
        verdict = await self._check(facts)
        return refusal(verdict)


def refusal(verdict: Verdict) -> Response | None:
    """Return the answer that a verdict makes, or None if the request may go on."""
    if verdict.status == 204:  # noqa: PLR2004  # check's word for yes
        return None
    response = PlainTextResponse(f"{verdict.reason}\n", status_code=verdict.status)
    if verdict.challenges:  # in one header, because nginx before 1.23 passes only the first one on
        response.headers["WWW-Authenticate"] = ", ".join(verdict.challenges)
    return response


def _path(url: IndexUrl) -> str:
    """Return the URL's path as the server sees it, decoded, without a trailing slash."""
    return "".join(f"/{segment}" for segment in url.segments)
