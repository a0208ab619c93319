"""Configuration: the site's file, the user's file and the environment, read into a tuple of Index.

Nothing is ever read from the working directory, so that no project can add an index, a broker or a command. This
module reads; ``indexpass add`` writes.
"""

from __future__ import annotations

import os
import re
import sys
from types import MappingProxyType
from typing import TYPE_CHECKING

from indexpass._credential import Index
from indexpass._platforms import PLATFORMS, URL_OPTIONS
from indexpass._url import IndexUrl, redacted
from indexpass.errors import ConfigError, UrlError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from indexpass._locations import Locations

FILE_KEYS = ("index", "interactive")
INTERACTIVE = ("never", "device")
INDEX_KEYS = ("name", "url", "upload-url", "files-url", "provider")  # and those of the provider, in _platforms
VARIABLES = (
    "INDEXPASS_HOME",
    "INDEXPASS_INDEX_URL",
    "INDEXPASS_UPLOAD_URL",
    "INDEXPASS_FILES_URL",
    "INDEXPASS_PROVIDER",
    "INDEXPASS_BROKER",
    "INDEXPASS_OPTIONS",
    "INDEXPASS_IDENTITY_TOKEN",
    "INDEXPASS_IDENTITY_TOKEN_FILE",
    "INDEXPASS_IDENTITY_SOURCE",
    "INDEXPASS_SESSION_STORE",
)
_FROM_ENVIRONMENT = {
    "INDEXPASS_INDEX_URL": "url",
    "INDEXPASS_UPLOAD_URL": "upload-url",
    "INDEXPASS_FILES_URL": "files-url",
    "INDEXPASS_PROVIDER": "provider",
    "INDEXPASS_BROKER": "broker",
    "INDEXPASS_OPTIONS": "options",
}
_VARIABLES_PLACE = "the INDEXPASS_* variables"
_URL_KEYS = ("url", "upload-url", "files-url")
MAX_CONFIG_BYTES = 1024 * 1024
_BARE_KEY = re.compile("[A-Za-z0-9_-]+")  # TOML's


_memory: tuple[object, tuple[Index, ...]] | None = None  # what the configuration was read from, and what it said


def load(locations: Locations, environ: Mapping[str, str]) -> tuple[Index, ...]:
    """Return all configured indexes, the most authoritative first: environment, user's file, site's file.

    An index that is named or placed the same as a more authoritative one is left out. Asked again in the same
    process, this costs two ``stat`` calls unless something changed. Raises ConfigError naming the file, the key and
    the fix.
    """
    global _memory  # noqa: PLW0603  # the one place where this process remembers its configuration
    variables = {key: environ[name] for name, key in _FROM_ENVIRONMENT.items() if environ.get(name)}
    stamp = (locations, _stamp(locations.user_file), _stamp(locations.site_file), variables)
    if _memory is None or _memory[0] != stamp:
        _memory = (stamp, _merged(*(indexes for _, indexes in _layers(locations, variables))))
    return _memory[1]


def read_file(path: Path) -> tuple[Index, ...]:
    """Return the indexes that one file configures; none if there is no such file. Raises ConfigError."""
    tables = _read_document(path).get("index", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigError(f"{path}: 'index' is not a list of tables", hint="write [[index]] with two brackets")
    return tuple(_index(table, where=f"{path}, [[index]] {number}") for number, table in enumerate(tables, 1))


def may_sign_in_inside_clients(locations: Locations) -> bool:
    """Has this user opted in to sign-ins in the middle of a client's run, by ``interactive = "device"``?

    Only the user's own file can say so. Raises ConfigError.
    """
    return _read_document(locations.user_file).get("interactive") == "device"


def _read_document(path: Path) -> Mapping[str, object]:
    """Return what a file says; nothing if there is no such file. Raises ConfigError, also for an unknown key."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CONFIG_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint=f"check its owner: ls -l {path}") from error
    if len(data) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{path} is larger than 1 MiB", hint="keep only [[index]] tables in it")
    try:
        document = _parse(data.decode())
    except ValueError as error:  # not UTF-8, or not TOML
        raise ConfigError(f"{path} is not valid TOML: {error}", hint=f"correct it in an editor: {path}") from error
    for key in document:
        if key not in FILE_KEYS:
            raise ConfigError(f"{path}: unknown key {key!r}", hint=f"known keys are {', '.join(FILE_KEYS)}")
    if document.get("interactive", "never") not in INTERACTIVE:
        hint = f"write one of {', '.join(INTERACTIVE)}, in quotes"
        raise ConfigError(f"{path}: the value of 'interactive' is unknown", hint=hint)
    return document


def _parse(text: str) -> Mapping[str, object]:
    """Return what TOML says. Raises ValueError if it is not TOML."""
    plain = _parse_plain(text)
    if plain is not None:
        return plain
    if sys.version_info >= (3, 11):
        import tomllib  # noqa: PLC0415  # a third of what we add to a keyring look-up of any user on the machine
    else:
        import tomli as tomllib  # noqa: PLC0415
    return tomllib.loads(text)


def _parse_plain(text: str) -> Mapping[str, object] | None:
    """Return what a file says that is as plain as ``indexpass add`` writes it; None if only a TOML parser may read it.

    Plain are comments, ``[[index]]``, and ``key = "text"`` without escapes, each on a line of its own. A test holds
    the answer equal to the parser's.
    """
    tables: list[dict[str, str]] = []
    for padded in text.replace("\r\n", "\n").split("\n"):
        line = padded.strip(" \t")
        if not line.isprintable():
            return None
        if line == "[[index]]":
            tables.append({})
        elif line and not line.startswith("#"):
            key, _, value = line.partition(" = ")
            inner = value[1:-1]
            if not tables or not _BARE_KEY.fullmatch(key) or key in tables[-1]:
                return None
            if value != f'"{inner}"' or '"' in inner or "\\" in inner:
                return None
            tables[-1][key] = inner
    return {"index": tables} if tables else {}


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        facts = os.stat(path)  # noqa: PTH116  # Path.stat costs twice as much, on every look-up of every user
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size, facts.st_ino


def read_layers(locations: Locations, environ: Mapping[str, str]) -> tuple[tuple[Path | None, tuple[Index, ...]], ...]:
    """Return each place of the configuration and what it says, the most authoritative first; None is the variables.

    :func:`load` merges them. Raises ConfigError.
    """
    return _layers(locations, {key: environ[name] for name, key in _FROM_ENVIRONMENT.items() if environ.get(name)})


def _layers(locations: Locations, variables: dict[str, str]) -> tuple[tuple[Path | None, tuple[Index, ...]], ...]:
    from_environment: tuple[Index, ...] = ()
    if "url" in variables:
        table = {"name": "environment", **variables}
        table.update(_options_in(table.pop("options", "")))
        from_environment = (_index(table, where=_VARIABLES_PLACE),)
    files = (locations.user_file, locations.site_file)
    return ((None, from_environment), *((path, read_file(path)) for path in files))


def _options_in(text: str) -> Iterator[tuple[str, str]]:
    """Yield the keys and values of INDEXPASS_OPTIONS: words as a shell has them, ``key=value`` each."""
    import shlex  # noqa: PLC0415  # few have options in a variable

    wrong = ConfigError(
        "INDEXPASS_OPTIONS is not a list of key=value", hint="export INDEXPASS_OPTIONS='audience=acme role=ci'"
    )
    try:
        words = shlex.split(text)
    except ValueError:
        raise wrong from None
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise wrong
        yield key, value


def _merged(*layers: Iterable[Index]) -> tuple[Index, ...]:
    merged: list[Index] = []
    for layer in layers:
        above = tuple(merged)
        for index in layer:
            if any(index.name == other.name or index.url == other.url for other in above):
                continue
            clash = next((other for other in merged if index.name == other.name or index.url == other.url), None)
            if clash:
                raise ConfigError(
                    f"the indexes {clash.name!r} and {index.name!r} have the same name or url",
                    hint="remove one of the two [[index]] tables",
                )
            merged.append(index)
    return tuple(merged)


def _index(table: Mapping[str, object], *, where: str) -> Index:
    texts = {key: _text(table, key, where=where) for key in table}
    for key in ("name", "url"):
        if key not in texts:
            raise ConfigError(f"{where}: {key!r} is missing", hint=f'add a line: {key} = "…"')
    urls = {key: _url(texts[key], key, where=where) for key in _URL_KEYS if key in texts}
    known = _known(urls["url"]) if not texts.keys() & {"provider", "broker"} else None
    provider = texts.get("provider") or (known.provider if known else "broker")
    return Index(
        name=texts["name"],
        url=urls["url"],
        upload_url=urls.get("upload-url") or (known.upload_url if known else None),
        files_url=urls.get("files-url"),
        provider=provider,
        options=MappingProxyType(_options(texts, provider, urls["url"], where=where)),
    )


def _known(url: IndexUrl) -> Index | None:
    from indexpass._known import find  # noqa: PLC0415  # only for who names neither a provider nor a broker

    return find(url)


def _options(texts: Mapping[str, str], provider: str, url: IndexUrl, *, where: str) -> dict[str, str]:
    """Return the provider's own settings. Of a provider that is not ours nobody here knows which it takes."""
    options = {key: value for key, value in texts.items() if key not in INDEX_KEYS}
    platform = PLATFORMS.get(provider)
    if platform is None:
        return options
    if platform.in_files_only and where == _VARIABLES_PLACE:
        raise ConfigError(
            f"{where} cannot configure the provider {provider!r}, because it runs a program",
            hint="put its [[index]] table into your own config.toml, or the administrator's",
        )
    for key, value in options.items():
        if key not in (*platform.needs, *platform.takes):
            known = ", ".join((*INDEX_KEYS, *platform.needs, *platform.takes))
            raise ConfigError(f"{where}: unknown key {key!r}", hint=f"known keys are {known}")
        if key in URL_OPTIONS:
            options[key] = str(_url(value, key, where=where)).rstrip("/")
    for key in platform.needs:
        if key not in options:
            hint = f'add a line: {key} = "…"'
            if key == "broker":
                hint = f"let indexpass find it: indexpass add {url}"
            if where == _VARIABLES_PLACE:
                hint = "export INDEXPASS_BROKER=https://…" if key == "broker" else f"export INDEXPASS_OPTIONS={key}=…"
            raise ConfigError(f"{where}: {key!r} is missing", hint=hint)
    return options


def _text(table: Mapping[str, object], key: str, *, where: str) -> str:
    value = table[key]
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ConfigError(f"{where}: {key!r} is not a text", hint=f'write it in quotes: {key} = "…"')
    return value


def _url(text: str, key: str, *, where: str) -> IndexUrl:
    authority = text.partition("://")[2].partition("/")[0]
    if "@" in authority:
        raise ConfigError(
            f"{where}: {key!r} contains a user name or password ({redacted(text)})",
            hint="remove everything between :// and @, and revoke that secret where it was issued",
        )
    if "?" in text or "#" in text:
        raise ConfigError(f"{where}: {key!r} contains a query or fragment", hint="end the URL before ? or #")
    try:
        return IndexUrl.parse(text)
    except UrlError as error:
        raise ConfigError(f"{where}: {key!r} cannot be used: {error}", hint=error.hint) from error
