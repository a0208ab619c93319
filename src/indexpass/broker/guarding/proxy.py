"""What a proxy says about the request that it asks about: which index, and to read or to upload?

nginx names the URL in ``X-Original-URI`` and its own ``Host``, Traefik and Caddy in ``X-Forwarded-Uri`` and
``X-Forwarded-Host``. A proxy passes on what its client sent, so each header is believed only where no other one
contradicts it; whoever could add a header could else point the question at another index. ``?index=NAME`` in the
proxy's own settings is the surest. This module never looks at a token.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from indexpass._url import MAX_URL_LENGTH, IndexUrl, parse_netloc
from indexpass.broker.guarding.check import Facts
from indexpass.errors import UrlError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from indexpass._model import Operation
    from indexpass.broker.settings import GuardedIndex, Settings

READING_METHODS = frozenset({"GET", "HEAD"})
REMEMBERED_URLS = 4096  # clients ask for the same pages again and again; at 2 KiB each this is 8 MiB
_HEARD = {
    name.encode(): name
    for name in (
        "authorization",
        "host",
        "x-original-uri",
        "x-original-method",
        "x-forwarded-host",
        "x-forwarded-uri",
        "x-forwarded-method",
    )
}


class ProxyReader:
    """Reads what proxies say, for the indexes in the settings."""

    def __init__(self, settings: Settings) -> None:
        """Remember no URL yet."""
        self._settings = settings
        self._owner = lru_cache(REMEMBERED_URLS)(self._find_owner)

    def facts(self, headers: Iterable[tuple[bytes, bytes]], query: bytes) -> Facts:
        """Return the facts of the request that a proxy asks about; header names are in lower case, as in ASGI.

        Without a method the operation is the one that needs most: a proxy that forgets to say it, because it always
        asks by GET, must not turn uploads into reads.
        """
        said = _heard(headers)
        names = parse_qs(query.decode("latin-1")).get("index") if query else None
        return Facts(
            authorization=_only(said, "authorization"),
            index=self._index(said) if names is None else self._settings.index_named("".join(names)),
            operation=operation_of(_only(said, "x-original-method", "x-forwarded-method")),
        )

    def _index(self, said: Mapping[str, set[str]]) -> GuardedIndex | None:
        original, forwarded = "x-original-uri" in said, "x-forwarded-uri" in said
        if original == forwarded:  # neither; or both, and one of them is the client's
            return None
        host = _only(said, "host" if original else "x-forwarded-host")
        path = _only(said, "x-original-uri" if original else "x-forwarded-uri").partition("?")[0]
        if not host or not path.startswith("/") or len(host) + len(path) > MAX_URL_LENGTH:
            return None
        return self._owner(host, path)

    def _find_owner(self, host: str, path: str) -> GuardedIndex | None:
        for scheme in ("https", "http"):  # http is an index on loopback
            try:
                index = self._settings.index_owning(IndexUrl.parse(f"{parse_netloc(host, scheme)}{path}"))
            except UrlError:
                continue
            if index:
                return index
        return None


def operation_of(method: str) -> Operation:
    """Return what a request of this method does to an index."""
    return "read" if method in READING_METHODS else "upload"


def authorization_in(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the Authorization header; "" if there is none, "?" if there are two that differ: nobody verifies that."""
    return _only(_heard(headers), "authorization")


def _heard(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, set[str]]:
    said: dict[str, set[str]] = {}
    for name, value in headers:
        if name in _HEARD:
            said.setdefault(_HEARD[name], set()).add(value.decode("latin-1"))
    return said


def _only(said: Mapping[str, set[str]], *names: str) -> str:
    """Return the one value that these headers have; "?" if they contradict each other, "" if there is none."""
    values = {value for name in names for value in said.get(name, ())}
    if len(values) > 1:
        return "?"
    return values.pop() if values else ""
