"""The values in ``broker.toml``: names, durations, URLs, addresses. Each function reads one text.

They raise ValueError or UrlError with what is wrong; the table that they are read from says where.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from indexpass._url import IndexUrl

if TYPE_CHECKING:
    from collections.abc import Callable

# What goes into every token is bounded, so that a token stays below 1,200 characters.
MAX_INDEX_URL_LENGTH = 150
MAX_ISSUER_LENGTH = 100
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_DURATION = re.compile(r"([1-9][0-9]{0,6})([smhd])")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}


def name(text: str) -> str:
    """Return the name of an index, an issuer or a policy."""
    if not _NAME.fullmatch(text):
        msg = "a name has up to 40 lower-case letters, digits, dots, dashes and underscores"
        raise ValueError(msg)
    return text


def seconds(limit: int, least: int = 1) -> Callable[[str], int]:
    """Return what reads a duration of ``least`` to ``limit`` seconds."""

    def parse(text: str) -> int:
        found = _DURATION.fullmatch(text)
        if not found:
            msg = 'a duration is a whole number and a unit, such as "90s", "15m", "24h" or "30d"'
            raise ValueError(msg)
        seconds = int(found[1]) * _UNIT_SECONDS[found[2]]
        if seconds > limit:
            msg = f"a duration of at most {limit // 3600}h is needed"
            raise ValueError(msg)
        if seconds < least:
            msg = f"a duration of at least {least // 3600}h is needed"
            raise ValueError(msg)
        return seconds

    return parse


def url_as_written(text: str) -> str:
    """Make sure that the URL may be used, and keep it letter by letter: an ``iss`` claim is compared so."""
    plain_url(text)
    return text


def plain_url(text: str) -> IndexUrl:
    """Return a URL that has no credential, query or fragment."""
    if "@" in text.partition("://")[2].partition("/")[0]:
        msg = "the URL contains a user name or password; remove it, and revoke it where it was issued"
        raise ValueError(msg)
    if "?" in text or "#" in text:
        msg = "the URL contains a query or a fragment"
        raise ValueError(msg)
    return IndexUrl.parse(text)


def index_url(text: str) -> IndexUrl:
    """Return the URL of an index."""
    url = plain_url(text)
    if len(str(url)) > MAX_INDEX_URL_LENGTH:
        msg = f"the URL of an index has at most {MAX_INDEX_URL_LENGTH} characters: it stands in every token"
        raise ValueError(msg)
    return url


def issuer_url(text: str) -> str:
    """Return the broker's own URL, without a trailing slash."""
    url = plain_url(text)
    if url.segments:
        msg = "the broker's URL has no path: give the broker a host name or a port of its own"
        raise ValueError(msg)
    if len(str(url.origin)) > MAX_ISSUER_LENGTH:
        msg = f"the broker's URL has at most {MAX_ISSUER_LENGTH} characters: it stands in every token"
        raise ValueError(msg)
    return str(url.origin)


def parse_listen(text: str) -> tuple[str, int]:
    """Return host and port. Raises ValueError with what is wrong."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:  # noqa: PLR2004  # TCP ports
        msg = 'an address and a port are needed, such as "127.0.0.1:8443" or "[::1]:8443"'
        raise ValueError(msg)
    return host.removeprefix("[").removesuffix("]"), int(port)


def database(text: str) -> str:
    """Return the SQLAlchemy URL of the database: it holds no password."""
    if text.startswith("sqlite:///"):
        return text
    if not text.startswith("postgresql://"):
        msg = "a database is sqlite:///PATH or postgresql://USER@HOST/NAME"
        raise ValueError(msg)
    parts = urlsplit(text)
    if ":" in parts.netloc.rpartition("@")[0] or "password" in parse_qs(parts.query, keep_blank_values=True):
        msg = "the URL contains a password; change it in PostgreSQL, and name a file of it in database-password-file"
        raise ValueError(msg)
    return text
