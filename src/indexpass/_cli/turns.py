"""One sign-in at a time: who comes second waits for the first, and is served by it.

Ten commands that a script starts at once must not open ten pages. This module never signs anybody in.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from indexpass._files import ensure_private_folder
from indexpass._locations import locate
from indexpass._waiting import waiting
from indexpass.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

TURN_SECONDS = 16 * 60.0  # longer than a sign-in: five minutes in the browser, or then ten with a code
_POLL_SECONDS = 0.25


@contextmanager
def own_turn(broker: str, *, seconds: float = TURN_SECONDS) -> Iterator[bool]:
    """Keep other sign-ins at this broker away meanwhile; yields whether there was one to wait for.

    Raises StoreError after ``seconds`` of waiting, or if the folder cannot hold a lock.
    """
    import filelock

    folder = locate(os.environ).sessions
    ensure_private_folder(folder)
    lock = filelock.FileLock(folder / f"{hashlib.sha256(broker.encode()).hexdigest()[:40]}.turn", mode=0o600)
    has_waited = False
    try:
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            has_waited = True
            click.echo(
                f"Another indexpass login at {broker} waits for you. Waiting for it (Ctrl-C gives up) …", err=True
            )
            with waiting("waiting"):
                lock.acquire(timeout=seconds, poll_interval=_POLL_SECONDS)
    except filelock.Timeout as error:
        raise StoreError(
            f"another indexpass login at {broker} has not ended", hint="end it with Ctrl-C, then run the command again"
        ) from error
    except OSError as error:
        raise StoreError(
            f"{folder} cannot hold a lock: {error.strerror}",
            hint="free some disk space, or point INDEXPASS_HOME to a folder of yours",
        ) from error
    try:
        yield has_waited
    finally:
        lock.release()
