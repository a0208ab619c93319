"""Changes to people's own files: shown first, made whole or not at all, and taken back.

Before anything is written, a copy of what stood there and a journal are kept in a private folder below the state
folder. A file that somebody else has changed since is never overwritten: their lines stay, ours are taken out, and
where both touched the same lines, the file is left as it is and named. What a change is about is not known here.
"""

from __future__ import annotations

import difflib
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, NamedTuple

from indexpass._changes import journal
from indexpass._changes.file import Change, missing, put, read, real, refuse_changed, refuse_foreign_link, remove_drafts
from indexpass._changes.merge import merge_lines
from indexpass.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

__all__ = ("Change", "Undone", "has_kept", "make", "merge_lines", "read", "show", "undo")

_FOLDER = "changes"


class Undone(NamedTuple):
    """What became of one file when its change was taken back.

    ``restored``: it is as before, byte for byte. ``merged``: somebody has changed other lines since, which stay.
    ``left``: somebody has changed the same lines since, so nothing was done; ``copy`` is what stood there before our
    change, or None if there was no such file.
    """

    path: Path
    result: Literal["restored", "merged", "left"]
    copy: Path | None = None


def show(changes: Iterable[Change], *, redact: Callable[[str], str]) -> Iterator[str]:
    """Yield the lines of a unified diff, each without its end, passed through ``redact``, and safe for a terminal."""
    for change in changes:
        if change.before == change.after:
            continue
        place = str(real(change.path))
        old, new = (text.splitlines() if text is not None else [] for text in (change.before, change.after))
        names = (
            place if change.before is not None else "/dev/null",
            place if change.after is not None else "/dev/null",
        )
        for line in difflib.unified_diff(old, new, *names, lineterm=""):
            yield _printable(redact(line))


def make(changes: Sequence[Change], *, name: str, state: Path) -> Path:
    """Make all changes or none; return the private folder that holds the copies of what stood there.

    ``name`` is what :func:`undo` will be asked for, such as "setup-pip". Raises ConfigError if a file is not what
    ``before`` says, or is a link to somebody else's; StoreError if the disk takes the copies or the files not.
    """
    changes = [change for change in changes if change.before != change.after]
    for change in changes:
        refuse_changed(change)
        refuse_foreign_link(change.path)
    kept = journal.new_folder(state / _FOLDER / name)
    made: list[Change] = []
    folders = [folder for change in changes for folder in missing(change.path)]
    try:
        journal.keep(kept, changes)
        journal.write_journal(kept, dict(enumerate(changes)), folders)
        for change in changes:
            refuse_changed(change)
            put(change.path, change.after, mode=change.mode)
            made.append(change)
    except BaseException:
        if _put_back(made):
            _remove_empty(folders)
            with suppress(StoreError):  # the first error is the one to tell
                journal.remove(kept)
        raise
    return kept


def _put_back(made: Sequence[Change]) -> bool:
    """Put back what stood there, as far as that can be; was that all? What was not, the journal still knows."""
    is_all = True
    for change in reversed(made):
        try:
            put(change.path, change.before, mode=change.mode)
        except StoreError:  # noqa: PERF203  # the others are put back all the same
            is_all = False
    return is_all


def has_kept(name: str, *, state: Path) -> bool:
    """Is there anything that :func:`undo` could take back?"""
    return bool(journal.find_folders(state / _FOLDER / name))


def undo(
    name: str, *, state: Path, only_last: bool = False, merge: Callable[[Change, str], str | None] | None = None
) -> tuple[Undone, ...]:
    """Take back what was made under this name, the latest first; all of it, unless ``only_last``.

    ``merge`` is given a change and what the file says now, if that is neither what we wrote nor what was there before;
    it returns the file without our part, or None if that cannot be told. By default, see :func:`merge_lines`.

    The copies of what was taken back are removed. What was left stays in the journal, to be tried again. Raises
    ConfigError if a file cannot be read, StoreError if the disk does not take it or the journal is not ours.
    """
    undone: list[Undone] = []
    folders = journal.find_folders(state / _FOLDER / name)
    for kept in folders[-1:] if only_last else reversed(folders):
        undone += _take_back(kept, merge or merge_lines)
    _remove_empty((state / _FOLDER / name, state / _FOLDER))
    return tuple(undone)


def _take_back(kept: Path, merge: Callable[[Change, str], str | None]) -> list[Undone]:
    changes, folders = journal.read_journal(kept)
    undone: list[Undone] = []
    for number, change in sorted(changes.items(), reverse=True):
        remove_drafts(change.path)
        current = read(change.path)
        wanted = change.before
        if current not in (change.before, change.after):
            merged = merge(change, current) if current is not None else None
            if merged is None:
                copy = kept / f"{number}.before" if change.before is not None else None
                undone.append(Undone(change.path, "left", copy))
                continue
            wanted = merged if merged.strip() or change.before is not None else None
        if current != wanted:
            refuse_foreign_link(change.path)
            put(change.path, wanted, mode=0o600 if change.after is None else change.mode)
        undone.append(Undone(change.path, "restored" if wanted == change.before else "merged"))
        del changes[number]
    if changes:
        journal.write_journal(kept, changes, folders)
        return undone
    _remove_empty(folders)
    journal.remove(kept)
    return undone


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in sorted(folders, reverse=True):  # the innermost first
        with suppress(OSError):  # somebody else has put something there
            folder.rmdir()


def _printable(line: str) -> str:
    """Return the line with whatever could move a terminal's cursor written out."""
    return "".join(sign if sign.isprintable() or sign == "\t" else ascii(sign)[1:-1] for sign in line)
