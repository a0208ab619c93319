"""One file of a person's: what is to become of it, and how it is read and written in one step.

A link stays a link, and is written through only to what is this user's own. What a file says is not known here.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from indexpass.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 16 * 1024 * 1024  # a lock file of a very large project has about 5 MiB
_NONBLOCK: int = getattr(os, "O_NONBLOCK", 0)
_BINARY: int = getattr(os, "O_BINARY", 0)
_NOFOLLOW: int = getattr(os, "O_NOFOLLOW", 0)


class Change(NamedTuple):
    """What is to become of one file; None is "there is no such file".

    The texts are whole, as :func:`read` returns them, line ends and byte order mark included. ``why`` is a few words
    for people. A new file is made for this user alone if it ``is_private``, else as the umask says; an old one keeps
    its mode. A program ``is_executable``.
    """

    path: Path
    before: str | None
    after: str | None
    why: str
    is_private: bool = False
    is_executable: bool = False

    @property
    def mode(self) -> int:
        """The mode of a new file, before the umask."""
        return 0o600 if self.is_private else 0o777 if self.is_executable else 0o666


def read(path: Path) -> str | None:
    """Return the whole text of a person's file, or None if there is none.

    What is not UTF-8 becomes surrogates, so that it is written back byte for byte. Raises ConfigError if the file
    cannot be read, is no regular file, or is larger than 16 MiB.
    """
    try:
        # Without O_NONBLOCK, a named pipe without a writer would hang us for ever.
        descriptor = os.open(path, os.O_RDONLY | _NONBLOCK | _BINARY)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint=f"check its owner: ls -l {path}") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ConfigError(f"{path} is not a regular file", hint=f"look at it: ls -ld {path}")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint=f"look at it: ls -ld {path}") from error
    finally:
        os.close(descriptor)
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path} is larger than 16 MiB", hint="is this the right file?")
    return data.decode(errors="surrogateescape")


def put(path: Path, text: str | None, *, mode: int) -> None:
    """Put the text in place of the file in one step, or remove it. Raises StoreError."""
    place = real(path)
    try:
        if text is None:
            place.unlink(missing_ok=True)
            return
        for folder in reversed(missing(place)):
            folder.mkdir(mode=0o700)  # as the XDG specification wants the folders of settings
        _write(place, text.encode(errors="surrogateescape"), mode=mode)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error.strerror}", hint=f"may you write there? ls -ld {place.parent}"
        ) from error


def _write(place: Path, data: bytes, *, mode: int) -> None:
    old = place.stat() if place.exists() else None
    draft = place.with_name(f"{place.name}.{os.getpid()}-{os.urandom(4).hex()}.new")
    # What the old file holds may be private, so the draft is until it has the old one's mode.
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _BINARY, 0o600 if old else mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            # By descriptor: in a folder of somebody else's, another file may stand under the draft's name by now.
            if old and os.name == "posix":
                if (old.st_uid, old.st_gid) != (os.geteuid(), os.fstat(file.fileno()).st_gid):
                    os.fchown(file.fileno(), old.st_uid, old.st_gid)
                os.fchmod(file.fileno(), stat.S_IMODE(old.st_mode))
            os.fsync(file.fileno())
        os.replace(draft, place)  # noqa: PTH105  # the atomic step, named as the system names it
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def remove_drafts(path: Path) -> None:
    """Remove what a process of ours has left beside the file that was killed while it wrote: it may hold secrets."""
    place = real(path)
    draft = re.compile(rf"{re.escape(place.name)}\.[0-9]+-[0-9a-f]{{8}}\.new")
    with suppress(OSError):  # the folder is gone, or not ours to clean
        for each in place.parent.iterdir():
            if draft.fullmatch(each.name):
                each.unlink()


def real(path: Path) -> Path:
    """Return where the file really stands: a link into somebody's dotfiles stays a link. Raises ConfigError."""
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, before Python 3.13
        raise ConfigError(f"{path} leads in a circle", hint=f"look at it: ls -l {path}") from error


def missing(path: Path) -> list[Path]:
    """Return the folders that have to be made for this file, the innermost first."""
    return [folder for folder in real(path).parents if not folder.exists()]


def refuse_changed(change: Change) -> None:
    if read(change.path) != change.before:
        raise ConfigError(f"{change.path} has just been changed by another program", hint="run the same command again")


def refuse_foreign_link(path: Path) -> None:
    """Write through a link only to a file of this user's own, or to a new one in a folder of theirs."""
    if os.name != "posix" or not path.is_symlink():
        return
    place = real(path)
    nearest = place if place.exists() else next(folder for folder in place.parents if folder.exists())
    if nearest.stat().st_uid != os.geteuid():
        raise ConfigError(
            f"{path} is a link to {place}, which is not yours", hint=f"edit {place} itself, or remove the link"
        )
