"""One line to the person at the terminal, also where the client has captured our stderr. Never on stdout.

pip 26.2 and later, uv and pdm run ``keyring`` with stderr captured, so a message that matters goes to the terminal
itself. Where there is none (CI), it goes to stderr. This module never asks a question and never waits.
"""

from __future__ import annotations

import os
import sys

_DEVICE = "CONOUT$" if sys.platform == "win32" else "/dev/tty"
_told: set[str] = set()


def tell(message: str, hint: str) -> None:
    """Show one line, at most once in this process; a terminal that does not take it is ignored."""
    line = f"indexpass: {message}" + (f" → {hint}" if hint else "")
    if line in _told:
        return
    _told.add(line)
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
