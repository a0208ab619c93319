"""``broker.toml``, read once and strictly: unknown keys, and names that lead nowhere, are refused.

This module reads one file and never writes, resolves a host name or looks at the environment.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from indexpass.broker.settings import (
    MAX_TOKEN_SECONDS,
    GuardedIndex,
    Settings,
    Workload,
    trust,
    values,
)
from indexpass.broker.settings.table import Table, nearest
from indexpass.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


FILE_NAME = "broker.toml"
DATABASE_NAME = "broker.sqlite3"
MAX_SESSION_SECONDS = 90 * 24 * 3600


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
    top = Table(file, "", document, KEYS)
    issuer = top.parsed("issuer", values.issuer_url)
    folder = file.parent
    settings = Settings(
        issuer=issuer,
        listen=top.parsed("listen", values.parse_listen, default="127.0.0.1:8443"),
        tls_certificate=top.optional("tls-certificate", lambda text: folder / text),
        tls_key=top.optional("tls-key", lambda text: folder / text),
        database=top.parsed("database", values.database, default=f"sqlite:///{folder / DATABASE_NAME}"),
        session_seconds=top.parsed("session-lifetime", values.seconds(MAX_SESSION_SECONDS), default="24h"),
        indexes=tuple(_index(table) for table in top.tables("index", INDEX_KEYS)),
        trusted_issuers=tuple(
            trust.read_issuer(table, issuer) for table in top.tables("trusted-issuer", trust.ISSUER_KEYS)
        ),
        policies=tuple(trust.read_policy(table) for table in top.tables("policy", trust.POLICY_KEYS)),
    )
    _check_references(settings, file)
    return settings


KEYS = (
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
INDEX_KEYS = ("name", "url", "upload-url", "files-url", "read-lifetime", "upload-lifetime")


def _index(table: Table) -> GuardedIndex:
    return GuardedIndex(
        name=table.parsed("name", values.name),
        url=table.parsed("url", values.index_url),
        upload_url=table.optional("upload-url", values.plain_url),
        files_url=table.optional("files-url", values.plain_url),
        read_seconds=table.parsed("read-lifetime", values.seconds(MAX_TOKEN_SECONDS), default="60m"),
        upload_seconds=table.parsed("upload-lifetime", values.seconds(MAX_TOKEN_SECONDS), default="15m"),
    )


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
