"""Reads what a person named: files, what they include, and the files in folders that some tool reads secrets from.

All of it is bounded: 16 MiB of a file, 200,000 names in a folder, 500 included files. No link inside a folder is
followed, a pipe is never waited for, and what could not be read is said, never passed over.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from indexpass._leaks.forms import name_form
from indexpass._leaks.search import find_leaks

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from indexpass._leaks.forms import Form
    from indexpass._leaks.leak import Leak

MAX_BYTES = 16 * 1024 * 1024  # a lock file of a very large project has about 5 MiB
MAX_NAMES = 200_000
MAX_INCLUDED = 500
_BINARY_SIGN = b"\0"
_SIGN_WITHIN_BYTES = 8192  # where git looks for it
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
# Caches, and what others have written: nobody mends a secret there.
_PASSED_OVER = frozenset(
    {
        ".git",
        ".hg",
        ".svn",
        "node_modules",
        ".tox",
        ".nox",
        "__pycache__",
        ".cache",
        ".eggs",
        "__pypackages__",
        "site-packages",
    }
)
_CACHE_SIGN = "CACHEDIR.TAG"  # https://bford.info/cachedir/, which pytest, mypy, ruff and uv leave
_ENVIRONMENT_SIGN = "pyvenv.cfg"
_INCLUDE = re.compile(r"^[ \t]*(?:-[rc]|--(?:requirement|constraint)(?=[ \t=]))([^\r\n#]+)", re.MULTILINE)


class Looked(NamedTuple):
    """What one file holds; ``text`` is as ``_changes.read`` returns it.

    ``is_named`` unless it was included from outside of what the person named. It ``may_be_mended`` if it is named,
    is UTF-8, and was read whole.
    """

    path: Path
    form: Form
    leaks: tuple[Leak, ...]
    text: str
    is_named: bool
    may_be_mended: bool


class Unread(NamedTuple):
    """What could not be read, or not wholly, and why."""

    path: Path
    reason: str


class Search:
    """One search through files: each file is read once, however it is reached."""

    def __init__(
        self, hosts: Collection[str], progress: Callable[[int], None] | None = None, *, max_names: int = MAX_NAMES
    ) -> None:
        """Keep the hosts of configured indexes; ``progress`` is told how many files have been read.

        A folder with more than ``max_names`` names in it is not searched to its end.
        """
        self._max_names = max_names
        self.unread: list[Unread] = []
        self._hosts = hosts
        self._progress = progress
        self._seen: set[Path] = set()

    def look(self, named: Sequence[tuple[Path, Form | None]]) -> Iterator[Looked]:
        """Yield each file that was named, or is in a folder that was, and then what those include.

        Where a form is given, the file is read as that whatever its name; a named file of no known form is searched
        for URLs, variables and tokens. What is not there is passed over.
        """
        folders = [path.resolve() for path, _ in named if path.is_dir()]
        included: list[tuple[Path, Form]] = []
        for path, form in named:
            for file, its_form in (
                self._walk(path) if path.is_dir() else [(path, form or name_form(path.absolute()) or "text")]
            ):
                if looked := self._read(file, its_form):
                    included += _includes_of(looked)
                    yield looked
        count = 0
        while included:
            file, its_form = included.pop()
            if count == MAX_INCLUDED:
                self.unread.append(Unread(file, f"more than {MAX_INCLUDED} files are included"))
                return
            if looked := self._read(file, its_form, within=folders):
                count += 1
                included += _includes_of(looked)
                yield looked

    def _walk(self, root: Path) -> Iterator[tuple[Path, Form]]:
        names = 0
        for place, folders, files in os.walk(root, onerror=self._note):
            folder = Path(place)
            if folder != root and (_CACHE_SIGN in files or _ENVIRONMENT_SIGN in files):
                folders.clear()
                continue
            names += len(folders) + len(files)
            if names > self._max_names:
                self.unread.append(
                    Unread(folder, f"{root} has more than {self._max_names} files: name the folders that matter")
                )
                return
            found = [folder / name for name in files]
            if ".git" in folders:
                git = folder / ".git"
                found += [git / "config", *git.glob("modules/*/config"), *git.glob("modules/*/*/config")]
            folders[:] = sorted(name for name in folders if name not in _PASSED_OVER)
            for file in sorted(found):
                form = name_form(file.relative_to(root))
                if form and not file.is_symlink():
                    yield file, form

    def _read(self, path: Path, form: Form, *, within: Sequence[Path] | None = None) -> Looked | None:
        """Return what the file holds, once; it counts as named if it is ``within`` one of these folders."""
        try:
            place = path.resolve()
            if place in self._seen:
                return None
            self._seen.add(place)
            data, is_whole = _read_bytes(place)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: links in a circle; ValueError: a NUL in it
            self.unread.append(Unread(path, _name_reason(error)))
            return None
        if self._progress:
            self._progress(len(self._seen))
        text, is_utf8 = _decode(data)
        if text is None:
            self.unread.append(Unread(path, "it is binary"))
            return None
        if not is_whole:
            self.unread.append(Unread(path, f"only the first {MAX_BYTES // 1024 // 1024} MiB were searched"))
        leaks = find_leaks(text, form, name=path.name, hosts=self._hosts)
        is_named = within is None or any(folder in place.parents for folder in within)
        return Looked(path, form, leaks, text, is_named=is_named, may_be_mended=is_named and is_whole and is_utf8)

    def _note(self, error: OSError) -> None:
        self.unread.append(Unread(Path(str(error.filename)), (error.strerror or "unreadable").lower()))


def _name_reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return (error.strerror or "it is unreadable").lower()
    return "its name is none" if isinstance(error, ValueError) else "it leads in a circle"


def _read_bytes(path: Path) -> tuple[bytes, bool]:
    """Return what a regular file holds, and whether that is all of it. Raises OSError."""
    # Without O_NONBLOCK, a named pipe without a writer would hang us for ever.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "it is no regular file")
        data = stream.read(MAX_BYTES + 1)
    return data[:MAX_BYTES], len(data) <= MAX_BYTES


def _decode(data: bytes) -> tuple[str | None, bool]:
    """Return the text, or None for a binary file; and whether it may be written back as UTF-8."""
    if data.startswith(_UTF16):  # what PowerShell makes of ">"
        return data.decode("utf-16", errors="replace"), False
    if _BINARY_SIGN in data[:_SIGN_WITHIN_BYTES]:
        return None, False
    return data.decode(errors="surrogateescape"), True


def _includes_of(looked: Looked) -> Iterator[tuple[Path, Form]]:
    if looked.form != "requirements":
        return
    for found in _INCLUDE.finditer(looked.text):
        name = found[1].lstrip("= \t").rstrip().strip("\"'")
        if name and "://" not in name and "$" not in name:
            yield looked.path.parent / name, "requirements"
