"""Finds credentials that stand in URLs in a project's and in Poetry's own files, and says how to remove them.

Such a credential is sent by Poetry itself, outlives everything that indexpass issues, and is in the repository's
history. This module never shows one, never changes a file, and reads no more than 4 MiB of each.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from indexpass._files import ensure_private_folder
from indexpass._leaks.leak import find_allowed
from indexpass._leaks.urls import find_urls
from indexpass._locations import locate
from indexpass._terminal import tell
from indexpass._url import IndexUrl
from indexpass.errors import IndexpassError, UrlError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from indexpass.poetry_plugin.seams import Command

MAX_BYTES = 4 * 1024 * 1024  # the poetry.lock of a large application is about 1 MiB
WARN_SECONDS = 24 * 60 * 60.0
PROJECT_FILES = ("pyproject.toml", "poetry.toml", "poetry.lock")
POETRY_FILES = ("config.toml", "auth.toml")
_REST_OF_URL = re.compile(r"""[^\s"']*""")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PRIORITIES = ("primary", "supplemental", "explicit")


class Leak(NamedTuple):
    """A URL that carries a credential: where it stands, and what removes it."""

    file: Path
    line: int
    hint: str

    def __str__(self) -> str:
        """Say where it is."""
        where = f"{self.file.name} carries a credential in the URL in line {self.line}"
        return f"{where}: remove it, and revoke it where it was issued"


def has_secret(url: str) -> bool:
    """Does the URL carry a password, or a token in the place of a user name?"""
    return any(found.start == 0 for found in find_urls(url))


def find_leaks(project: Path | None, poetry_folder: Path) -> tuple[Leak, ...]:
    """Return what the files of the project, if there is one, and of Poetry's own folder carry."""
    files = [project / name for name in PROJECT_FILES] if project else []
    return tuple(
        leak for file in (*files, *(poetry_folder / name for name in POETRY_FILES)) for leak in _leaks_in(file)
    )


def warn_of_project(command: Command) -> None:
    """Say once a day and project, in one line, that a file carries a credential. Never raises into Poetry."""
    try:
        from poetry.locations import CONFIG_DIR  # type: ignore[import-untyped]  # there where Poetry is

        warn(_find_project(command), Path(CONFIG_DIR), locate(os.environ).credentials, time.time())
    except (ImportError, OSError, ValueError, IndexpassError):
        return


def warn(project: Path | None, poetry_folder: Path, marks: Path, now: float) -> None:
    """Tell of the first credential, unless that was done in the last 24 hours; ``marks`` is where that is remembered.

    Raises OSError or StoreError if it cannot be remembered: then nobody is told, as it would be each time.
    """
    leaks = find_leaks(project, poetry_folder)
    if not leaks or not _is_due(marks, f"{project} {[(str(leak.file), leak.hint) for leak in leaks]}", now):
        return
    more = f" ({len(leaks) - 1} more: poetry indexpass doctor)" if len(leaks) > 1 else ""
    tell(f"{leaks[0]}{more}", leaks[0].hint)


def _is_due(marks: Path, what: str, now: float) -> bool:
    ensure_private_folder(marks)
    for mark in marks.glob("*.warned"):
        if not 0 <= now - mark.stat().st_mtime < WARN_SECONDS:
            mark.unlink(missing_ok=True)
    try:
        (marks / f"{sha256(what.encode(errors='replace')).hexdigest()[:40]}.warned").touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        return False
    return True


def _find_project(command: Command) -> Path | None:
    """Return the folder of the project that the command is about: ``--project`` may name one somewhere else."""
    try:
        return Path(command.poetry.file.path).parent
    except (AttributeError, RuntimeError):  # no command of Poetry's own, or no project here
        return None


def _leaks_in(file: Path) -> Iterator[Leak]:
    text = _read(file)
    commands: Mapping[str, str] | None = None
    allowed = find_allowed(text)
    number, place = 1, 0
    for found in find_urls(text):
        number, place = number + text.count("\n", place, found.start), found.start
        if number in allowed:
            continue
        if commands is None:
            commands = dict(_commands(file.name, text))
        end = _REST_OF_URL.match(text, found.userinfo[1])
        url = text[found.start : end.end() if end else found.userinfo[1]]
        yield Leak(file, number, commands.get(url) or _advise(file.name, number))


def _read(file: Path) -> str:
    """Return the file's text, or nothing if it is not a plain file that can be read."""
    try:
        # Without O_NONBLOCK, a named pipe without a writer would hang Poetry for ever.
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as stream:
            is_plain = stat.S_ISREG(os.fstat(descriptor).st_mode)
            return stream.read(MAX_BYTES).decode(errors="replace") if is_plain else ""
    except OSError:
        return ""


def _advise(name: str, line: int) -> str:
    if name == "poetry.lock":
        return "once pyproject.toml is clean: poetry lock"
    return f"remove user name and password from line {line} of {name}"


def _commands(name: str, text: str) -> Iterator[tuple[str, str]]:
    """Yield each URL of a source or repository as it is written, and the command that writes it anew without secret."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return
    for key, url, start in _places(name, document):
        try:
            clean = shlex.quote(str(IndexUrl.parse(url)))
        except UrlError:
            continue
        if _NAME.fullmatch(key):
            yield url, f"{start} {clean}"


def _places(name: str, document: Mapping[str, object]) -> Iterator[tuple[str, str, str]]:
    """Yield name, URL and the beginning of the command for each source or repository that the file configures."""
    if name == "pyproject.toml":
        for source in _list(_table(_table(document, "tool"), "poetry").get("source")):
            key, url, priority = (source.get(part) for part in ("name", "url", "priority"))
            option = f" --priority={priority}" if priority in _PRIORITIES else ""
            if isinstance(key, str) and isinstance(url, str):
                yield key, url, f"poetry source add{option} {key}"
        return
    repositories = _table(document, "repositories")
    for key in repositories:
        url = _table(repositories, key).get("url")
        if isinstance(url, str):
            yield key, url, f"poetry config{' --local' if name == 'poetry.toml' else ''} repositories.{key}"


def _table(parent: Mapping[str, object], key: str) -> Mapping[str, object]:
    found = parent.get(key)
    return found if isinstance(found, dict) else {}


def _list(found: object) -> list[Mapping[str, object]]:
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
