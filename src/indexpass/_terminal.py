"""One line to the person at the terminal, also where the client has captured our stderr. Never on stdout.

pip 26.2 and later, uv and pdm run ``keyring`` with stderr captured, so a message that matters goes to the terminal
itself. Where there is none (CI), it goes to stderr. They run it once a question, so what was told is marked for the
other processes of the same run, by the name of an empty file. This module never asks a question and never waits.
"""

from __future__ import annotations

import os
import sys
import time

from indexpass._files import ensure_private_folder
from indexpass._locations import locate
from indexpass.errors import IndexpassError

MARK_SECONDS = 600.0  # a run that goes on for longer may be reminded
_DEVICE = "CONOUT$" if sys.platform == "win32" else "/dev/tty"
_ALSO_IN_POETRY = ("indexpass add", "indexpass doctor", "indexpass login", "indexpass logout", "indexpass status")
_told: dict[str, object] = {}


def tell(message: str, hint: str) -> None:
    """Show one line, at most once in this run; a terminal that does not take it is ignored."""
    line = f"indexpass: {message}" + (f" → {as_typed_here(hint)}" if hint else "")
    mine = object()
    # One step, because Poetry asks from several threads.
    if _told.setdefault(line, mine) is not mine or _was_told_by_another(line):
        return
    data = f"{line}\n".encode(errors="replace")
    try:
        # O_NONBLOCK: a stopped terminal must not hold up an install.
        descriptor = os.open(_DEVICE, os.O_WRONLY | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        descriptor = None
    try:
        if descriptor is None:
            sys.stderr.buffer.write(data)
            sys.stderr.flush()
        else:
            with os.fdopen(descriptor, "wb", buffering=0) as terminal:
                terminal.write(data)
    except (OSError, AttributeError, ValueError):
        return


def is_reachable() -> bool:
    """Is there a terminal with a person at it, as far as can be told?"""
    try:
        os.close(os.open(_DEVICE, os.O_WRONLY | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_NONBLOCK", 0)))
    except OSError:
        return False
    return True


def as_typed_here(hint: str) -> str:
    """Return the hint as ``poetry indexpass …`` inside a Poetry beside which ``indexpass`` is on nobody's PATH."""
    if "indexpass.poetry_plugin.plugin" not in sys.modules or not hint.startswith(_ALSO_IN_POETRY):
        return hint
    from shutil import which  # noqa: PLC0415  # for Poetry alone

    return hint if which("indexpass") else f"poetry {hint}"


def _was_told_by_another(line: str) -> bool:
    """Has another ``keyring`` process of the same parent told this? If not, mark that this one does.

    A person who runs ``keyring`` at a terminal is told each time. Where no mark can be kept, the line is told again.
    """
    from indexpass._pip_run import is_keyring_command, name_run  # noqa: PLC0415  # most runs have nothing to tell

    is_own_run = not is_keyring_command(sys.modules) or os.name != "posix"  # each keyring of Windows has its own parent
    if is_own_run or (sys.stderr is not None and sys.stderr.isatty()):
        return False
    from hashlib import sha256  # noqa: PLC0415  # a process that is the whole run needs none of it

    try:
        folder = locate(os.environ).credentials
        ensure_private_folder(folder)
        for mark in folder.glob("*.told"):
            if not 0 <= time.time() - mark.stat().st_mtime < MARK_SECONDS:
                mark.unlink(missing_ok=True)
        digest = sha256(f"{name_run(os.getppid())} {line}".encode(errors="replace")).hexdigest()
        (folder / f"{digest[:40]}.told").touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        return True
    except (OSError, ValueError, IndexpassError):
        return False
    return False
