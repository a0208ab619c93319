"""Which clients are on this machine, what each would run, and what its settings say about our indexes.

Programs are asked at the same time, each for at most 10 seconds. Of settings only what concerns keyring and our indexes
is taken: a secret in them goes nowhere. This module judges nothing.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from indexpass._clients import files
from indexpass._doctor.environments import (
    Environment,
    Program,
    ask_environment,
    ask_pip,
    ask_version,
    find_all,
    find_python,
)
from indexpass._keyring_command import is_shim
from indexpass._match import match

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from indexpass._clients import ClientFile
    from indexpass._credential import Index

MAX_SETTINGS_BYTES = 1024 * 1024
OTHERS = ("poetry", "twine", "pdm", "hatch")
_URL = re.compile(r"https?://[^\s\"'<>]{1,2048}")
_UV_URLS = ("index-url", "extra-index-url")
_UV_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL")


class Pip(NamedTuple):
    """One pip. ``settings`` are as :func:`ask_pip` returns them; ``is_used`` if they name an index of ours.

    ``is_first`` is the one that ``pip`` runs, or that of the active environment.
    """

    path: str
    environment: Environment
    settings: Mapping[str, str] | None
    is_used: bool
    is_first: bool


class UvIndex(NamedTuple):
    """One of our indexes as uv knows it; ``place`` is the file or variable that names it.

    ``scope`` is whose file that is if it has a table there, in which ``authenticate`` can be said; else "".
    """

    url: str
    place: str
    scope: str
    has_user: bool
    is_authenticated: bool


class Uv(NamedTuple):
    """The first uv on PATH; ``provider`` is its keyring-provider."""

    path: str
    version: str
    provider: str
    indexes: tuple[UvIndex, ...]


class Client(NamedTuple):
    """Another client, of those that need keyring or our plugin in an environment of their own.

    ``is_used`` if its settings name an index of ours; ``gets_ours`` if the project has Poetry install our plugin.
    """

    name: str
    program: Program
    is_used: bool
    gets_ours: bool = False


class Machine(NamedTuple):
    """All clients that were found. ``keyrings`` are the commands of that name on PATH, the first one first.

    ``named`` are the indexes that the settings of any client name, also those of known platforms.
    """

    environ: Mapping[str, str]
    keyrings: tuple[Program, ...] = ()
    pips: tuple[Pip, ...] = ()
    uv: Uv | None = None
    others: tuple[Client, ...] = ()
    named: tuple[Index, ...] = ()


def look(
    indexes: Sequence[Index], environ: Mapping[str, str], folder: Path, *, own_python: str = sys.executable
) -> Machine:
    """Return what there is for a process with these variables that was started in ``folder``.

    ``own_python`` is one whose pip counts even if it is on nobody's PATH.
    """
    settings = {client: list(texts) for client, texts in _settings(environ, _find_project(folder)).items()}
    used = {client for client, found in settings.items() if any(_is_ours(url, indexes) for url in _urls(found))}
    commands = list(find_all("keyring", environ))
    own_pips = _pip_pythons(environ, own_python)
    others = {name: next(find_all(name, environ), None) for name in OTHERS}
    paths = [*commands, *(path for path in others.values() if path)]
    with ThreadPoolExecutor(max_workers=4) as pool:  # each is a Python that starts: more would wait for each other
        pythons = dict(zip(paths, pool.map(lambda path: find_python(path, environ), paths), strict=True))
        wanted = {_key(python): python for python in (*own_pips, *pythons.values()) if python}
        answers = pool.map(lambda python: ask_environment(python, environ), wanted.values())
        said = dict(zip(wanted, answers, strict=True))
        with_pip = [python for python in own_pips if (found := said[_key(python)]) and found.versions.get("pip")]
        pip_settings = list(pool.map(lambda python: ask_pip(python, environ), with_pip))
        uv_path = next(find_all("uv", environ), None)
        uv_version = ask_version(uv_path, environ) if uv_path else ""

    def program(path: str) -> Program:
        python = pythons[path]
        return Program(path, said[_key(python)] if python else None, is_shim(path))

    pips = []
    for number, (python, chosen) in enumerate(zip(with_pip, pip_settings, strict=True)):
        environment = said[_key(python)]
        if environment:
            is_used = any(_is_ours(url, indexes) for url in _urls(chosen))
            pips.append(Pip(own_pips[python], environment, chosen, is_used, is_first=number == 0))
    return Machine(
        environ,
        keyrings=tuple(program(path) for path in commands),
        pips=tuple(pips),
        uv=Uv(uv_path, uv_version, *_uv_settings(environ, settings["uv"], indexes)) if uv_path else None,
        others=tuple(
            Client(name, program(path), name in used, name == "poetry" and _requires_ours(settings[name]))
            for name, path in others.items()
            if path
        ),
        named=_named([*_urls([each.settings for each in pips]), *_urls([*settings.values()])], indexes),
    )


class _Settings(NamedTuple):
    """What one file says: parsed if it is TOML (of pyproject.toml the client's own table), else a text."""

    file: ClientFile
    said: object


def _settings(environ: Mapping[str, str], project: Path | None) -> dict[str, list[_Settings]]:
    found: dict[str, list[_Settings]] = {}
    for file in files(environ, project):
        found.setdefault(file.client, [])
        text = _read(file.path)
        said: object = text
        if file.form == "toml":
            try:
                said = tomllib.loads(text)
            except (tomllib.TOMLDecodeError, RecursionError):
                continue  # the client itself says so, and does nothing
            if file.path.name == "pyproject.toml":
                said = _table(_table(said, "tool"), file.client)
        if said:
            found[file.client].append(_Settings(file, said))
    return found


def _requires_ours(settings: Sequence[_Settings]) -> bool:
    return any("indexpass" in _table(each.said, "requires-plugins") for each in settings)


def _uv_settings(
    environ: Mapping[str, str], settings: Sequence[_Settings], indexes: Sequence[Index]
) -> tuple[str, tuple[UvIndex, ...]]:
    """Return uv's keyring-provider, and our indexes among its own."""
    providers = [each.said.get("keyring-provider") for each in settings if isinstance(each.said, dict)]
    provider = environ.get("UV_KEYRING_PROVIDER") or next((each for each in providers if each), "disabled")
    found = tuple(index for index in _uv_indexes(environ, settings) if _is_ours(index.url, indexes))
    return str(provider), found


def _uv_indexes(environ: Mapping[str, str], settings: Sequence[_Settings]) -> Iterator[UvIndex]:
    for variable in _UV_VARIABLES:
        for word in environ.get(variable, "").split():
            name, equals, url = word.partition("=")
            if "://" in name or not equals:
                name, url = "", word
            has_user = _has_user(url) or _has_user_variable(name, environ)
            yield UvIndex(url, variable, "", has_user, is_authenticated=False)
    for file, said in settings:
        place = str(file.path)
        tables = said.get("index") if isinstance(said, dict) else None
        for table in tables if isinstance(tables, list) else []:
            url = _text(table, "url")
            has_user = _has_user(url) or _has_user_variable(_text(table, "name"), environ)
            yield UvIndex(url, place, file.scope, has_user, _text(table, "authenticate") == "always")
        plain = [said.get(key) for key in _UV_URLS] if isinstance(said, dict) else []
        for url in _urls(plain):
            yield UvIndex(url, place, "", _has_user(url), is_authenticated=False)


def _has_user(url: str) -> bool:
    return "@" in url.partition("://")[2].partition("/")[0]


def _has_user_variable(name: str, environ: Mapping[str, str]) -> bool:
    """Is the user name for this index of uv's in a variable? uv writes each other character as an underscore."""
    variable = re.sub(r"[^A-Za-z0-9]", "_", name).upper()
    return bool(name) and bool(environ.get(f"UV_INDEX_{variable}_USERNAME"))


def _pip_pythons(environ: Mapping[str, str], ours: str) -> dict[str, str]:
    """Return the Pythons with which a pip is likely to run, and a name for each: by PATH, active, and ours."""
    found: dict[str, str] = {}
    for path in find_all("pip", environ):
        python = find_python(path, environ)
        if python:
            found[python] = path
            break
    own = "Scripts/python.exe" if sys.platform == "win32" else "bin/python"
    named = [Path(environ.get(name, "")) for name in ("VIRTUAL_ENV", "CONDA_PREFIX")]
    active = [str(folder / own) for folder in named if folder.is_absolute()]  # any other is the project's
    for python in (*active, ours):
        if python and Path(python).is_file() and _key(python) not in {_key(each) for each in found}:
            found[python] = f"{python} -m pip"
    return found


def _key(python: str) -> Path:
    """Return what is the same for two names of one environment's Python; the file itself is the same for many."""
    return Path(python).parent.resolve()


def _find_project(folder: Path) -> Path | None:
    return next((each for each in (folder, *folder.parents) if (each / "pyproject.toml").is_file()), None)


def _named(urls: Iterable[str], indexes: Sequence[Index]) -> tuple[Index, ...]:
    """Return the indexes that own these URLs, each once."""
    found = (owner[0] for url in urls if "://" in url and (owner := match(url, indexes)))
    return tuple({str(index.url): index for index in found}.values())


def _is_ours(url: str, indexes: Sequence[Index]) -> bool:
    return "://" in url and match(url, indexes) is not None


def _urls(said: object) -> Iterator[str]:
    """Yield every URL in a text, or in the texts of a parsed document."""
    waiting = [said]  # and no recursion: a hostile document may be nested deeper than Python goes
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield from _URL.findall(each)
        elif isinstance(each, Mapping):
            waiting += reversed([*each.values()])
        elif isinstance(each, _Settings):
            waiting.append(each.said)
        elif isinstance(each, list):
            waiting += reversed(each)


def _table(parent: object, key: str) -> Mapping[str, object]:
    found = parent.get(key) if isinstance(parent, dict) else None
    return found if isinstance(found, dict) else {}


def _text(table: object, key: str) -> str:
    found = table.get(key) if isinstance(table, dict) else None
    return found if isinstance(found, str) else ""


def _read(path: Path) -> str:
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            return file.read(MAX_SETTINGS_BYTES).decode(errors="replace")
    except OSError:
        return ""
