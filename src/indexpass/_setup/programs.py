"""Finds the clients on PATH, and asks them for their version. Each waits for 20 seconds at most.

They run in the folder that they are in: Poetry loads plugins from the working directory, which may be anybody's.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from indexpass._token_program import find_program

if TYPE_CHECKING:
    from collections.abc import Mapping

WAIT_SECONDS = 20.0  # a cold Poetry on a slow disk takes about 5
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


def find(name: str, environ: Mapping[str, str]) -> Path | None:
    """Return where the program stands, or None if it is not on PATH, or only in a relative folder."""
    found = find_program(name, environ)
    return Path(found) if found else None


def find_version(program: Path, environ: Mapping[str, str]) -> tuple[int, ...] | None:
    """Return the version that the program says it has; None if it says none."""
    found = _VERSION.search(ask(program, "--version", environ=environ) or "")
    return tuple(int(part) for part in found.groups() if part) if found else None


def ask(program: Path, *words: str, environ: Mapping[str, str], text: bytes = b"") -> str | None:
    """Return what a program that is given ``text`` on stdin prints on stdout.

    None if it fails, does not start or does not end in time.
    """
    try:
        done = subprocess.run(  # noqa: S603  # a client on the user's own PATH
            [program, *words],
            env=dict(environ),
            cwd=program.parent,
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=WAIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None
