"""Private files: read safely, written whole or not at all.

A private file has mode 0600, belongs to this user and stands in a folder of mode 0700; symbolic links are refused on
the way in. This module knows nothing of what the files contain.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from indexpass.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from pathlib import Path

MAX_FILE_BYTES = 64 * 1024  # a credential is about 2 KiB
DRAFT_SECONDS = 600.0  # no write takes that long: whoever began an older draft was killed
_IS_POSIX = os.name == "posix"
_NOFOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
_NONBLOCK: int = getattr(os, "O_NONBLOCK", 0)
_BINARY: int = getattr(os, "O_BINARY", 0)


def read_private(path: Path) -> bytes | None:
    """Return what the file holds, or None if there is no such file.

    Raises StoreError if the file is a symbolic link, belongs to someone else, can be read or written by others, or is
    larger than 64 KiB.
    """
    try:
        # Without O_NONBLOCK, a named pipe without a writer would hang the client for ever.
        descriptor = os.open(path, os.O_RDONLY | _NOFOLLOW | _NONBLOCK | _BINARY)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{path} cannot be opened: {error.strerror}", hint=f"remove it: rm -f {path}") from error
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise StoreError(f"{path} is not a regular file", hint=f"remove it: rm -rf {path}")
        _refuse_foreign(facts, path)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}", hint=f"remove it: rm -f {path}") from error
    finally:
        os.close(descriptor)
    if len(data) > MAX_FILE_BYTES:
        raise StoreError(f"{path} is larger than 64 KiB", hint=f"remove it: rm -f {path}")
    return data


def read_key_file(path: str) -> str:
    """Return what a file says that somebody else keeps for us, such as an orchestrator: at most 64 KiB of it.

    A link is followed, because orchestrators mount secrets as links. Raises ConfigError if the path is not absolute,
    or names no regular file, or one that others can read.
    """
    if not os.path.isabs(path):  # noqa: PTH117  # a text, from the configuration
        raise ConfigError(f"key-file {path} is not an absolute path", hint="write it from the root on, without ~")
    try:
        descriptor = os.open(path, os.O_RDONLY | _NONBLOCK | _BINARY)  # as above: a pipe must not hang us
        with os.fdopen(descriptor, "rb") as file:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise ConfigError(f"key-file {path} is not a regular file", hint="name the file that holds the key")
            if _IS_POSIX and facts.st_mode & 0o077:
                raise ConfigError(f"key-file {path} is open to others", hint=f"chmod 600 {path}")
            return file.read(MAX_FILE_BYTES).decode(errors="replace")
    except OSError as error:
        raise ConfigError(f"key-file {path} cannot be read: {error.strerror}", hint=f"ls -l {path}") from error


def write_private(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Put ``data`` in place of the file in one step, with mode 0600 from its first byte on.

    Raises StoreError if the folder is not ours alone, or the disk does not take it; the old file then stays.
    """
    ensure_private_folder(path.parent)
    write_whole(path, data, durable=durable)


def write_whole(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Put ``data`` in place of the file in one step, with mode 0600, in a folder that is there already.

    What need not be ``durable`` may be lost, or empty, if the machine stops within the next seconds. Raises StoreError
    if the disk does not take it; the old file then stays.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}-{os.urandom(4).hex()}.new")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _BINARY, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            written_at = draft.stat().st_mtime
            os.replace(draft, path)  # noqa: PTH105  # the atomic step, named as the system names it
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error.strerror}",
            hint="free some disk space, or point INDEXPASS_HOME to a folder of yours",
        ) from error
    _remove_old_drafts(path, written_at)


def ensure_private_folder(folder: Path) -> None:
    """Make the folder with mode 0700 where it is missing.

    Raises StoreError if it cannot be made, is a symbolic link, or others may write to it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = folder.lstat()
    except OSError as error:
        raise StoreError(
            f"{folder} cannot be made: {error.strerror}", hint="point INDEXPASS_HOME to a folder of yours"
        ) from error
    if not stat.S_ISDIR(facts.st_mode):
        raise StoreError(f"{folder} is not a folder", hint=f"remove it: rm -f {folder}")
    _refuse_foreign(facts, folder)


def _remove_old_drafts(path: Path, now: float) -> None:
    """Remove what processes left that were killed while they wrote this file; ``now`` is by the disk's own clock."""
    with suppress(OSError):
        for draft in path.parent.glob(f"{path.name}.*.new"):
            if draft.lstat().st_mtime < now - DRAFT_SECONDS:
                draft.unlink()


def _refuse_foreign(facts: os.stat_result, path: Path) -> None:
    if not _IS_POSIX:
        return  # Windows: the user's profile folder has its own access list
    if facts.st_uid != os.geteuid():
        raise StoreError(
            f"{path} belongs to someone else",
            hint=f"chown {os.geteuid()} {path}, or point INDEXPASS_HOME to a folder of yours",
        )
    if facts.st_mode & 0o077:
        mode = "700" if stat.S_ISDIR(facts.st_mode) else "600"
        raise StoreError(f"{path} is open to others", hint=f"make it yours alone: chmod {mode} {path}")
