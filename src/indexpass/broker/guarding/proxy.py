"""What a proxy says about the request that it asks about: which index and project, and to read or to upload?

nginx names the URL in ``X-Original-URI`` and its own ``Host``, Traefik and Caddy in ``X-Forwarded-Uri`` and
``X-Forwarded-Host``. A proxy passes on what its client sent, so each header is believed only where no other one
contradicts it; whoever could add a header could else point the question at another index. ``?index=NAME`` in the
proxy's own settings is the surest; the URL then says no more than the project. This module never looks at a token.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from indexpass._url import MAX_URL_LENGTH, IndexUrl, parse_netloc
from indexpass.broker.guarding.check import Facts
from indexpass.broker.guarding.projects import NO_TARGET, Target, find_target
from indexpass.errors import UrlError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from indexpass._model import Operation
    from indexpass.broker.settings import GuardedIndex, Settings

READING_METHODS = frozenset({"GET", "HEAD"})
REMEMBERED_URLS = 4096  # clients ask for the same pages again and again; at 2 KiB each this is 8 MiB
_HEARD = frozenset(
    {
        b"authorization",
        b"host",
        b"x-original-uri",
        b"x-original-method",
        b"x-forwarded-host",
        b"x-forwarded-uri",
        b"x-forwarded-method",
    }
)
_PLACE = (b"host", b"x-original-uri", b"x-forwarded-host", b"x-forwarded-uri")  # those that say where
_UNCLEAR = b"?"  # what a header says that contradicts itself: no URL, no method, and nobody's token


class ProxyReader:
    """Reads what proxies say, for the indexes in the settings."""

    def __init__(self, settings: Settings) -> None:
        """Remember no URL yet."""
        self._settings = settings
        self._named = {index.name: index for index in settings.indexes}
        self._queries = {f"index={name}".encode(): index for name, index in self._named.items()}
        self._remembered = lru_cache(REMEMBERED_URLS)(self._find)

    def facts(self, headers: Iterable[tuple[bytes, bytes]], query: bytes) -> Facts:
        """Return the facts of the request that a proxy asks about; header names are in lower case, as in ASGI.

        Without a method the operation is the one that needs most: a proxy that forgets to say it, because it always
        asks by GET, must not turn uploads into reads.
        """
        said = _heard(headers)
        operation = operation_of(_only(said, b"x-original-method", b"x-forwarded-method"))
        place = tuple(map(said.get, _PLACE))
        # What is longer than any URL is looked at, and not remembered.
        find = self._remembered if sum(map(len, filter(None, place))) + len(query) <= MAX_URL_LENGTH else self._find
        index, target = find(query, place, operation)
        return Facts(_only(said, b"authorization"), index, operation, target)

    def _find(
        self, query: bytes, place: tuple[bytes | None, ...], operation: Operation
    ) -> tuple[GuardedIndex | None, Target]:
        """Return the index that is meant, and what of it."""
        host, path = _place({name: value for name, value in zip(_PLACE, place, strict=True) if value is not None})
        index = self._queries.get(query) or self._find_index(query, host, path)
        return index, self._find_target(index, path, operation) if index else NO_TARGET

    def _find_index(self, query: bytes, host: str, path: str) -> GuardedIndex | None:
        """Return the index that the query names, however it is written, or the one that owns the URL."""
        names = parse_qs(query.decode("latin-1")).get("index") if query else None
        return self._find_owner(host, path) if names is None else self._named.get("".join(names))

    def _find_owner(self, host: str, path: str) -> GuardedIndex | None:
        for scheme in ("https", "http"):  # http is an index on loopback
            try:
                index = self._settings.index_owning(IndexUrl.parse(f"{parse_netloc(host, scheme)}{path}"))
            except UrlError:
                continue
            if index:
                return index
        return None

    def _find_target(self, index: GuardedIndex, path: str, operation: Operation) -> Target:
        try:
            return find_target(index, IndexUrl.parse(f"{index.url.origin}{path}"), operation)
        except UrlError:
            return NO_TARGET


def operation_of(method: str) -> Operation:
    """Return what a request of this method does to an index."""
    return "read" if method in READING_METHODS else "upload"


def authorization_in(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the Authorization header; "" if there is none, "?" if there are two that differ: nobody verifies that."""
    return _only(_heard(headers), b"authorization")


def _heard(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return the headers that are believed. One that stands twice is unclear, unless it says the same."""
    said: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _HEARD and said.setdefault(name, value) != value:
            said[name] = _UNCLEAR
    return said


def _place(said: Mapping[bytes, bytes]) -> tuple[str, str]:
    """Return the host and the path that the proxy was asked for, as they were written; two empty texts if unclear."""
    original, forwarded = b"x-original-uri" in said, b"x-forwarded-uri" in said
    if original == forwarded:  # neither; or both, and one of them is the client's
        return "", ""
    host = _only(said, b"host" if original else b"x-forwarded-host")
    path = _only(said, b"x-original-uri" if original else b"x-forwarded-uri").partition("?")[0]
    if not path.startswith("/") or "#" in path or len(host) + len(path) > MAX_URL_LENGTH:
        return "", ""
    return host, path


def _only(said: Mapping[bytes, bytes], name: bytes, other: bytes = b"") -> str:
    """Return what the header says, or the other one; "?" if they contradict each other, "" if there is neither."""
    value, another = said.get(name), said.get(other)
    if value is None:
        value = another
    elif another is not None and another != value:
        value = _UNCLEAR
    return value.decode("latin-1") if value else ""
