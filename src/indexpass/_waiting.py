"""What a command waits for, in one line on the terminal's stderr that is gone when the wait is over.

Nothing is shown of what takes less than a second, and nothing at all where stderr is not a terminal. This module never
waits itself, and never shows anything but what it is given.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

QUIET_SECONDS = 1.0  # less is no wait
_TICK_SECONDS = 1.0
_CLEAR_LINE = "\r\x1b[K"


def is_redrawable(stream: TextIO) -> bool:
    """Is this a terminal on which a line can be written over?"""
    may_write_over = os.name == "posix" or "WT_SESSION" in os.environ  # of Windows' consoles, only the new one can
    return stream.isatty() and os.environ.get("TERM") != "dumb" and may_write_over


class Waiting:
    """One wait. ``pause`` takes the line away while somebody else writes or asks; ``go_on`` brings it back."""

    def __init__(self, words: str, stream: TextIO | None) -> None:
        """Show ``words`` on ``stream`` once the wait is one; with None, show nothing."""
        self._words = words
        self._stream = stream
        self._began = time.monotonic()
        self._turn = threading.Lock()
        self._is_shown = False
        self._is_paused = False

    def pause(self) -> None:
        """Take the line away, and show nothing until :meth:`go_on`."""
        with self._turn:
            self._is_paused = True
            self._clear()

    def go_on(self, words: str = "") -> None:
        """Show the line again from the next second on, with other words if there are some."""
        with self._turn:
            self._words = words or self._words
            self._is_paused = False

    def show(self) -> None:
        """Write the line with the seconds that have gone by."""
        with self._turn:
            if self._stream is None or self._is_paused:
                return
            line = f"{self._words} ({time.monotonic() - self._began:.0f} s)"
            width = shutil.get_terminal_size().columns - 1  # one more would begin a new line
            self._stream.write(f"{_CLEAR_LINE}{line[:width]}")
            self._stream.flush()
            self._is_shown = True

    def _clear(self) -> None:
        if self._is_shown and self._stream is not None:
            self._stream.write(_CLEAR_LINE)
            self._stream.flush()
        self._is_shown = False


@contextmanager
def waiting(words: str) -> Iterator[Waiting]:
    """Say on the terminal what is waited for while the block runs, and for how long already."""
    stream = sys.stderr if is_redrawable(sys.stderr) else None
    wait = Waiting(words, stream)
    is_over = threading.Event()

    def tick() -> None:
        pause = QUIET_SECONDS
        while not is_over.wait(pause):
            wait.show()
            pause = _TICK_SECONDS

    ticking = threading.Thread(target=tick, daemon=True)
    if stream is not None:
        ticking.start()
    try:
        yield wait
    finally:
        is_over.set()
        if stream is not None:
            ticking.join()
        wait.pause()
