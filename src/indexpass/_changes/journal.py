"""The journal of changes: copies of what stood in files before and after, kept so that a change can be taken back.

One private folder for each time that something was changed, numbered, below one for each name. It changes no file but
its own.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexpass._changes.file import Change, read
from indexpass._files import ensure_private_folder, write_private
from indexpass.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_JOURNAL = "journal.json"
_VERSION = 1


def new_folder(parent: Path) -> Path:
    """Make the folder for one more change. Raises StoreError if it cannot be made, or is not this user's alone."""
    ensure_private_folder(parent.parent)
    ensure_private_folder(parent)
    taken = find_folders(parent)
    folder = parent / f"{int(taken[-1].name) + 1 if taken else 1:04}"
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise StoreError(
            f"{folder} cannot be made: {error.strerror}", hint="is another indexpass at work? run the command again"
        ) from error
    return folder


def find_folders(parent: Path) -> list[Path]:
    """Return the folders of this name, the oldest first."""
    if not parent.is_dir():
        return []
    return sorted((each for each in parent.iterdir() if each.name.isdecimal()), key=lambda each: int(each.name))


def keep(kept: Path, changes: Sequence[Change]) -> None:
    """Write the copies, before the journal: a folder without a journal is of a change that never began."""
    for number, change in enumerate(changes):
        for kind, text in (("before", change.before), ("after", change.after)):
            if text is not None:
                write_private(kept / f"{number}.{kind}", text.encode(errors="surrogateescape"))


def write_journal(kept: Path, changes: Mapping[int, Change], folders: Iterable[Path]) -> None:
    """Write which files are changed, by the numbers of their copies, and which folders were made for them."""
    entries = [
        {
            "number": number,
            "path": str(change.path.absolute()),
            "why": change.why,
            "is_private": change.is_private,
            "was_there": change.before is not None,
            "is_there": change.after is not None,
        }
        for number, change in changes.items()
    ]
    journal = {"version": _VERSION, "changes": entries, "folders": [str(folder) for folder in folders]}
    write_private(kept / _JOURNAL, json.dumps(journal, indent=2).encode())


def remove(kept: Path) -> None:
    """Remove the copies, after the journal: who is killed meanwhile leaves the folder of a change that never began.

    Raises StoreError.
    """
    try:
        (kept / _JOURNAL).unlink(missing_ok=True)
        shutil.rmtree(kept)
    except OSError as error:
        raise StoreError(f"{kept} cannot be removed: {error.strerror}", hint=f"remove it: rm -rf {kept}") from error


def read_journal(kept: Path) -> tuple[dict[int, Change], list[Path]]:
    """Return what was changed, by number, and which folders were made. Raises StoreError."""
    ensure_private_folder(kept)
    text = read(kept / _JOURNAL)
    if text is None:
        return {}, []
    try:
        return _parse_journal(json.loads(text), kept)
    except (ValueError, LookupError, TypeError) as error:
        raise StoreError(
            f"{kept / _JOURNAL} is broken", hint=f"put the files back by hand from the copies in {kept}"
        ) from error


def _parse_journal(journal: dict[str, Any], kept: Path) -> tuple[dict[int, Change], list[Path]]:
    if journal["version"] != _VERSION:
        raise ValueError
    changes = {
        int(entry["number"]): Change(
            Path(entry["path"]),
            read(kept / f"{int(entry['number'])}.before") if entry["was_there"] else None,
            read(kept / f"{int(entry['number'])}.after") if entry["is_there"] else None,
            str(entry["why"]),
            bool(entry["is_private"]),
        )
        for entry in journal["changes"]
    }
    return changes, [Path(folder) for folder in journal["folders"]]
