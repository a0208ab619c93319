"""Programs in a real pseudo-terminal of a given size: what a person sees of them. POSIX only.

Everything that the program writes, stdout and stderr alike, comes back as one text, with its control characters.
"""

from __future__ import annotations

import os
import select
import struct
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

SECONDS = 30.0  # what a test waits for at most


class Shown(NamedTuple):
    """What a program has shown, and its exit code."""

    text: str
    status: int


def run_in_terminal(
    words: Sequence[str],
    environ: Mapping[str, str],
    *,
    columns: int = 80,
    until: Callable[[str], bool] | None = None,
    then: Callable[[subprocess.Popen[bytes]], None] = subprocess.Popen.terminate,
) -> Shown:
    """Run ``words`` until they end. Once ``until`` is true of what is shown, call ``then`` with the process."""
    if sys.platform == "win32":
        raise NotImplementedError("there are no pseudo-terminals")
    import fcntl  # noqa: PLC0415  # of POSIX
    import pty  # noqa: PLC0415
    import termios  # noqa: PLC0415

    screen, device = pty.openpty()
    try:
        fcntl.ioctl(device, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen(words, stdin=device, stdout=device, stderr=device, env=dict(environ))
        os.close(device)
        try:
            text = _watch(screen, process, until, then)
            return Shown(text, process.wait(SECONDS))
        finally:
            process.kill()
            process.wait(SECONDS)
    finally:
        os.close(screen)


def _watch(
    screen: int,
    process: subprocess.Popen[bytes],
    until: Callable[[str], bool] | None,
    then: Callable[[subprocess.Popen[bytes]], None],
) -> str:
    """Return all that is shown until the program has closed the terminal."""
    data = b""
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends:
        if not select.select([screen], [], [], 1.0)[0]:
            continue
        try:
            piece = os.read(screen, 65_536)
        except OSError:  # Linux says so at the end
            piece = b""
        if not piece:
            return data.decode()
        data += piece
        if until and until(data.decode(errors="replace")):
            until = None
            then(process)
    raise AssertionError(f"the program went on for {SECONDS:.0f} s: {data!r}")
