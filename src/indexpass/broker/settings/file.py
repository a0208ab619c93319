"""``broker.toml``, read once and strictly: unknown keys, and names that lead nowhere, are refused.

This module reads one file and never writes, resolves a host name or looks at the environment.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from indexpass.broker.settings import (
    MAX_TOKEN_SECONDS,
    MAX_UPLOAD_SECONDS,
    Database,
    GuardedIndex,
    Settings,
    Workload,
    company,
    running,
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
    from collections.abc import Iterator
    from pathlib import Path


FILE_NAME = "broker.toml"
DATABASE_NAME = "broker.sqlite3"
MAX_SESSION_SECONDS = 90 * 24 * 3600
MIN_KEY_SECONDS = 24 * 3600  # the next key is published so long before it signs
MAX_KEY_SECONDS = 365 * 24 * 3600


def load(folder: Path) -> Settings:
    """Return the settings in the broker's folder. Raises ConfigError naming the file, the key and the fix."""
    return parse(read_text(folder), file=folder / FILE_NAME)


def read_text(folder: Path) -> str:
    """Return the text of the settings in the broker's folder. Raises ConfigError."""
    file = folder / FILE_NAME
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(
            f"there is no broker in {folder}", hint=f"indexpass broker init {folder} --issuer URL --index-name NAME"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read", hint="make it a UTF-8 text file that you may read") from error


def parse(text: str, *, file: Path) -> Settings:
    """Return the settings that ``text`` describes; paths in it are relative to the folder of ``file``.

    Raises ConfigError: the first that :func:`examine` finds.
    """
    outcome = examine(text, file=file)
    if isinstance(outcome, Settings):
        return outcome
    raise outcome[0]


def examine(text: str, *, file: Path) -> Settings | list[ConfigError]:
    """Return the settings that ``text`` describes, or all that is wrong with it.

    What is wrong outside of the tables hides the rest, and so do wrong tables what leads from one to another.
    """
    problems: list[ConfigError] = []
    try:
        settings = _read(text, file, problems)
    except ConfigError as error:
        return [*problems, error]
    return problems or list(_find_broken_references(settings, file, text)) or settings


def _read(text: str, file: Path, problems: list[ConfigError]) -> Settings:
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{file} is not valid TOML: {error}", hint="correct the line that it names") from error
    top = Table(file, "", document, KEYS, text=text)
    issuer = top.parsed("issuer", values.issuer_url)
    folder = file.parent
    trusted_issuers = top.each(
        "trusted-issuer", trust.ISSUER_KEYS, lambda table: trust.read_issuer(table, issuer), problems
    )
    return Settings(
        issuer=issuer,
        listen=top.parsed("listen", values.parse_listen, default="127.0.0.1:8443"),
        tls_certificate=top.optional("tls-certificate", lambda text: folder / text),
        tls_key=top.optional("tls-key", lambda text: folder / text),
        database=Database(
            top.parsed("database", values.database, default=f"sqlite:///{folder / DATABASE_NAME}"),
            top.optional("database-password-file", lambda text: folder / text),
        ),
        session_seconds=top.parsed("session-lifetime", values.seconds(MAX_SESSION_SECONDS), default="24h"),
        indexes=top.each("index", INDEX_KEYS, _index, problems),
        trusted_issuers=trusted_issuers,
        policies=top.each(
            "policy", trust.POLICY_KEYS, lambda table: trust.read_policy(table, trusted_issuers), problems
        ),
        company=company.read_company(table, folder) if (table := top.table("company", company.KEYS)) else None,
        running=running.read(top),
        key_seconds=top.parsed("key-lifetime", values.seconds(MAX_KEY_SECONDS, MIN_KEY_SECONDS), default="30d"),
    )


KEYS = (
    "issuer",
    "listen",
    "tls-certificate",
    "tls-key",
    "database",
    "database-password-file",
    "session-lifetime",
    "key-lifetime",
    "index",
    "trusted-issuer",
    "policy",
    "company",
    *running.KEYS,
)
INDEX_KEYS = ("name", "url", "upload-url", "files-url", "read-lifetime", "upload-lifetime")


def _index(table: Table) -> GuardedIndex:
    return GuardedIndex(
        name=table.parsed("name", values.name),
        url=table.parsed("url", values.index_url),
        upload_url=table.optional("upload-url", values.plain_url),
        files_url=table.optional("files-url", values.plain_url),
        read_seconds=table.parsed("read-lifetime", values.seconds(MAX_TOKEN_SECONDS), default="60m"),
        upload_seconds=table.parsed("upload-lifetime", values.seconds(MAX_UPLOAD_SECONDS), default="15m"),
    )


def _find_broken_references(settings: Settings, file: Path, text: str) -> Iterator[ConfigError]:
    """Yield what is wrong with names: those that are used twice, and those that lead nowhere."""

    def wrong(where: str, key: str, problem: str, hint: str) -> ConfigError:
        return Table(file, where, {}, (), text=text).wrong(key, problem, hint=hint)

    for table, key, names in (
        ("index", "name", [index.name for index in settings.indexes]),
        ("index", "url", [str(index.url) for index in settings.indexes]),
        ("trusted-issuer", "name", [issuer.name for issuer in settings.trusted_issuers]),
        ("trusted-issuer", "url", [issuer.url for issuer in settings.trusted_issuers]),
        ("policy", "name", [policy.name for policy in settings.policies]),
    ):
        for number, name in enumerate(names, 1):
            if name in names[: number - 1]:
                yield wrong(f"[[{table}]] {number}", key, f'"{name}" stands twice', "rename or remove one of the two")
    indexes = {index.name for index in settings.indexes}
    issuers = {issuer.name for issuer in settings.trusted_issuers}
    for number, policy in enumerate(settings.policies, 1):
        where = f"[[policy]] {number}"
        if policy.index not in indexes:
            yield wrong(where, "index", f'there is no index "{policy.index}"', nearest(policy.index, indexes))
        if isinstance(policy.who, Workload) and policy.who.issuer not in issuers:
            problem = f'there is no trusted-issuer "{policy.who.issuer}"'
            yield wrong(where, "issuer", problem, nearest(policy.who.issuer, issuers))
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        yield wrong("", "tls-key", "tls-certificate and tls-key go together", "set both, or neither")
    if settings.database.password_file and settings.database.url.startswith("sqlite:"):
        yield wrong("", "database-password-file", "SQLite has no password", "remove it, or set database to PostgreSQL")
