"""A private folder that lives as long as one command, and is found and removed by the next one if we are killed.

A run holds a lock while it lives, which the system takes back from a process however that ends. So a folder whose lock
can be had is nobody's. This module knows nothing of what stands in the folder.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from indexpass._files import ensure_private_folder
from indexpass.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SWEEP_SECONDS = 10.0  # to remove a few small files takes no time


@contextmanager
def run_folder(parent: Path) -> Iterator[Path]:
    """Yield a new folder of mode 0700 in ``parent``, and remove it afterwards, with those of runs that were killed.

    Raises StoreError if the disk does not take it, or if it cannot be removed.
    """
    import filelock  # noqa: PLC0415  # loaded by the commands that need it

    ensure_private_folder(parent)
    folder = parent / os.urandom(8).hex()
    # One run begins or ends at a time, so that nobody takes a folder for dead before its lock is held.
    turn = filelock.FileLock(parent / "turn.lock", mode=0o600)
    alive = filelock.FileLock(folder.with_suffix(".alive"), mode=0o600)
    try:
        with turn.acquire(timeout=SWEEP_SECONDS):
            _sweep(parent)
            alive.acquire(timeout=0)
            folder.mkdir(mode=0o700)
    except (OSError, filelock.Timeout) as error:
        alive.release()
        raise StoreError(
            f"{parent} cannot hold a private file: {type(error).__name__}",
            hint="free some disk space, or point INDEXPASS_HOME to a folder of yours",
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        alive.release()
        if not folder.exists():
            folder.with_suffix(".alive").unlink(missing_ok=True)
    if folder.exists():
        raise StoreError(f"{folder} cannot be removed, and holds a credential", hint=f"remove it: rm -rf {folder}")


def _sweep(parent: Path) -> None:
    """Remove the folders of runs that live no more."""
    import filelock  # noqa: PLC0415

    for mark in parent.glob("*.alive"):
        lock = filelock.FileLock(mark, mode=0o600)
        try:
            lock.acquire(timeout=0)
        except (OSError, filelock.Timeout):
            continue  # it lives
        shutil.rmtree(mark.with_suffix(""), ignore_errors=True)
        lock.release()
        if not mark.with_suffix("").exists():
            mark.unlink(missing_ok=True)
