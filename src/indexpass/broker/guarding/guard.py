"""The guard of the built-in index: each request is checked, then handed on without the credential that came with it.

Reads go to ``simple`` and ``packages`` below the index's root, uploads are POSTs to the path of its upload URL. Which
project an upload is for stands in its body: the guard says in a header of its own which ones the token allows. This
module never stores or lists a package.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from indexpass._url import IndexUrl
from indexpass.broker.guarding.check import Facts, Verdict
from indexpass.broker.guarding.projects import PROJECTS_HEADER, find_target
from indexpass.broker.guarding.proxy import READING_METHODS, authorization_in, operation_of
from indexpass.errors import ConfigError, UrlError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from indexpass.broker.settings import GuardedIndex

    Check = Callable[[Facts], Awaitable[Verdict]]

_PROJECTS_HEADER = PROJECTS_HEADER.encode()
# A token, and a sign-in at the broker's pages: neither is the index's business. What only we may say to it.
_OURS = {b"authorization", b"cookie", _PROJECTS_HEADER}


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
        answer = await self._answer(scope)
        await answer(scope, receive, send)

    async def _answer(self, scope: Scope) -> ASGIApp:
        """Return what answers a request: a refusal, or the index."""
        methods = READING_METHODS if self._target is None else {"POST"}
        if scope["method"] not in methods:
            return PlainTextResponse(
                "this method is not for this path\n", status_code=405, headers={"Allow": ", ".join(sorted(methods))}
            )
        try:
            url = IndexUrl.parse(f"{self._index.url.origin}{scope['raw_path'].decode('latin-1')}")
        except UrlError:  # what two parsers could read differently is not for one of them to read
            return PlainTextResponse("not found\n", status_code=404)
        operation = operation_of(scope["method"])
        facts = Facts(
            authorization_in(scope["headers"]),
            self._index,
            operation,
            target=find_target(self._index, url, operation),
            is_held_later=self._target is not None,
        )
        verdict = await self._check(facts)
        return refusal(verdict) or partial(self._pass_on, verdict.projects)

    async def _pass_on(self, projects: frozenset[str] | None, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if self._target is None else f"{self._base}{self._target}"
        # WSGI makes no difference between "-" and "_" in the name of a header.
        headers = [(name, value) for name, value in scope["headers"] if name.replace(b"_", b"-") not in _OURS]
        if projects is not None:
            headers.append((_PROJECTS_HEADER, " ".join(sorted(projects)).encode()))
        inner = {**scope, "root_path": self._base, "path": path, "raw_path": path.encode(), "headers": headers}
        await self._app(inner, receive, send)


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
