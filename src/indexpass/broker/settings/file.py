"""``broker.toml``, read once and strictly: unknown keys, and names that lead nowhere, are refused.

This module reads one file and never writes, resolves a host name or looks at the environment.
"""

from __future__ import annotations

import re
import sys
from types import MappingProxyType
from typing import TYPE_CHECKING, cast, get_args

from indexpass._url import IndexUrl
from indexpass._wire import SCOPES
from indexpass.broker.settings import (
    MAX_TOKEN_SECONDS,
    GuardedIndex,
    People,
    Policy,
    Replay,
    Settings,
    TrustedIssuer,
    Workload,
)
from indexpass.broker.settings.table import Table, nearest
from indexpass.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from indexpass._model import Operation

FILE_NAME = "broker.toml"
DATABASE_NAME = "broker.sqlite3"
MAX_SESSION_SECONDS = 90 * 24 * 3600

# What goes into every token is bounded, so that a token stays below 1,200 characters.
MAX_INDEX_URL_LENGTH = 150
MAX_ISSUER_LENGTH = 100
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_DURATION = re.compile(r"([1-9][0-9]{0,6})([smh])")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600}


def load(folder: Path) -> Settings:
    """Return the settings in the broker's folder. Raises ConfigError naming the file, the key and the fix."""
    file = folder / FILE_NAME
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(
            f"there is no broker in {folder}", hint=f"indexpass broker init {folder} --issuer URL --index-name NAME"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read", hint="make it a UTF-8 text file that you may read") from error
    return parse(text, file=file)


def parse(text: str, *, file: Path) -> Settings:
    """Return the settings that ``text`` describes; paths in it are relative to the folder of ``file``.

    Raises ConfigError.
    """
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{file} is not valid TOML: {error}", hint="correct the line that it names") from error
    top = Table(file, "", document, _KEYS)
    issuer = top.parsed("issuer", _issuer)
    folder = file.parent
    settings = Settings(
        issuer=issuer,
        listen=top.parsed("listen", parse_listen, default="127.0.0.1:8443"),
        tls_certificate=top.optional("tls-certificate", lambda text: folder / text),
        tls_key=top.optional("tls-key", lambda text: folder / text),
        database=top.parsed("database", _database, default=f"sqlite:///{folder / DATABASE_NAME}"),
        session_seconds=top.parsed("session-lifetime", _seconds(MAX_SESSION_SECONDS), default="24h"),
        indexes=tuple(_index(table) for table in top.tables("index", _INDEX_KEYS)),
        trusted_issuers=tuple(_trusted_issuer(table, issuer) for table in top.tables("trusted-issuer", _ISSUER_KEYS)),
        policies=tuple(_policy(table) for table in top.tables("policy", _POLICY_KEYS)),
    )
    _check_references(settings, file)
    return settings


_KEYS = (
    "issuer",
    "listen",
    "tls-certificate",
    "tls-key",
    "database",
    "session-lifetime",
    "index",
    "trusted-issuer",
    "policy",
)
_INDEX_KEYS = ("name", "url", "upload-url", "files-url", "read-lifetime", "upload-lifetime")
_ISSUER_KEYS = ("name", "url", "audience", "jwks-url", "replay")
_POLICY_KEYS = ("name", "index", "operations", "lifetime", "users", "issuer", "claims")


def _index(table: Table) -> GuardedIndex:
    return GuardedIndex(
        name=table.parsed("name", _name),
        url=table.parsed("url", _index_url),
        upload_url=table.optional("upload-url", _plain_url),
        files_url=table.optional("files-url", _plain_url),
        read_seconds=table.parsed("read-lifetime", _seconds(MAX_TOKEN_SECONDS), default="60m"),
        upload_seconds=table.parsed("upload-lifetime", _seconds(MAX_TOKEN_SECONDS), default="15m"),
    )


def _trusted_issuer(table: Table, broker: str) -> TrustedIssuer:
    return TrustedIssuer(
        name=table.parsed("name", _name),
        url=table.parsed("url", _url_as_written),
        audience=table.parsed("audience", str, default=broker),
        jwks_url=table.optional("jwks-url", _url_as_written),
        replay=table.parsed("replay", _replay, default="once"),
    )


def _replay(text: str) -> Replay:
    if text not in get_args(Replay):
        msg = 'it is "once" or "until-exp"'
        raise ValueError(msg)
    return cast("Replay", text)


def _policy(table: Table) -> Policy:
    if ("users" in table.values) == ("issuer" in table.values):
        raise table.wrong("users", "exactly one of users and issuer is needed", hint="say users, or issuer and claims")
    return Policy(
        name=table.parsed("name", _name),
        index=table.parsed("index", _name),
        operations=frozenset(_operation(text, table) for text in table.texts("operations")),
        who=_people(table) if "users" in table.values else _workload(table),
        seconds=table.optional("lifetime", _seconds(MAX_TOKEN_SECONDS)),
    )


def _people(table: Table) -> People:
    if "claims" in table.values:
        raise table.wrong("claims", "people have no claims", hint="remove claims, or say issuer in place of users")
    return People(frozenset(table.texts("users")))


def _workload(table: Table) -> Workload:
    claims = table.values.get("claims")
    if not isinstance(claims, dict) or not claims:
        raise table.wrong("claims", "at least one claim is needed", hint='write claims = { repository_id = "123" }')
    for key, value in claims.items():
        if not isinstance(value, (str, int)):
            raise table.wrong(f"claims.{key}", "not a text, a whole number or a boolean", hint="write the exact value")
    return Workload(table.parsed("issuer", _name), MappingProxyType(claims))


def _operation(text: str, table: Table) -> Operation:
    if text not in SCOPES:
        raise table.wrong("operations", f'"{text}" is not an operation', hint='write "read", "upload" or both')
    return cast("Operation", text)  # the keys of SCOPES are the operations


def _check_references(settings: Settings, file: Path) -> None:
    """Refuse names that are used twice and names that lead nowhere."""
    indexes = {index.name for index in settings.indexes}
    issuers = {issuer.name for issuer in settings.trusted_issuers}
    _unique("index name", (index.name for index in settings.indexes), file)
    _unique("index url", (str(index.url) for index in settings.indexes), file)
    _unique("trusted-issuer name", (issuer.name for issuer in settings.trusted_issuers), file)
    _unique("trusted-issuer url", (issuer.url for issuer in settings.trusted_issuers), file)
    _unique("policy name", (policy.name for policy in settings.policies), file)
    for policy in settings.policies:
        if policy.index not in indexes:
            raise ConfigError(
                f'{file}: policy "{policy.name}": there is no index "{policy.index}"',
                hint=nearest(policy.index, indexes),
            )
        if isinstance(policy.who, Workload) and policy.who.issuer not in issuers:
            raise ConfigError(
                f'{file}: policy "{policy.name}": there is no trusted-issuer "{policy.who.issuer}"',
                hint=nearest(policy.who.issuer, issuers),
            )
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        raise ConfigError(f"{file}: tls-certificate and tls-key go together", hint="set both, or neither")


def _unique(what: str, values: Iterable[str], file: Path) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise ConfigError(f'{file}: the {what} "{value}" stands twice', hint="rename or remove one of the two")
        seen.add(value)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        msg = "a name has up to 40 lower-case letters, digits, dots, dashes and underscores"
        raise ValueError(msg)
    return text


def _seconds(limit: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        found = _DURATION.fullmatch(text)
        if not found:
            msg = 'a duration is a whole number and a unit, such as "90s", "15m" or "24h"'
            raise ValueError(msg)
        seconds = int(found[1]) * _UNIT_SECONDS[found[2]]
        if seconds > limit:
            msg = f"a duration of at most {limit // 3600}h is needed"
            raise ValueError(msg)
        return seconds

    return parse


def _url_as_written(text: str) -> str:
    """Make sure that the URL may be used, and keep it letter by letter: an ``iss`` claim is compared so."""
    _plain_url(text)
    return text


def _plain_url(text: str) -> IndexUrl:
    if "@" in text.partition("://")[2].partition("/")[0]:
        msg = "the URL contains a user name or password; remove it, and revoke it where it was issued"
        raise ValueError(msg)
    if "?" in text or "#" in text:
        msg = "the URL contains a query or a fragment"
        raise ValueError(msg)
    return IndexUrl.parse(text)


def _index_url(text: str) -> IndexUrl:
    url = _plain_url(text)
    if len(str(url)) > MAX_INDEX_URL_LENGTH:
        msg = f"the URL of an index has at most {MAX_INDEX_URL_LENGTH} characters: it stands in every token"
        raise ValueError(msg)
    return url


def _issuer(text: str) -> str:
    url = _plain_url(text)
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


def _database(text: str) -> str:
    if not text.startswith("sqlite:///"):
        msg = "only SQLite is known: sqlite:///PATH"
        raise ValueError(msg)
    return text
