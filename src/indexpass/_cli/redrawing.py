"""Lines that are drawn anew in the same place, until Ctrl-C. This module never decides what they say."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable

_END_OF_LINE = "\x1b[K"
_END_OF_SCREEN = "\x1b[J"


def redraw(lines: Callable[[], list[str]], *, every_seconds: float) -> None:
    """Draw what ``lines`` returns, again and again in the same place. Ctrl-C ends it, and leaves the last one there."""
    height = 0
    try:
        while True:
            drawn = lines()[: shutil.get_terminal_size().lines - 1]  # what has scrolled away cannot be drawn over
            _write(f"\x1b[{height}A\r" if height else "")
            for line in drawn:
                click.echo(line, nl=False)
                _write(f"{_END_OF_LINE}\n")
            _write(_END_OF_SCREEN)
            height = len(drawn)
            time.sleep(every_seconds)
    except KeyboardInterrupt:
        click.echo()


def _write(control: str) -> None:
    # Not through click, which takes these out together with colours.
    sys.stdout.write(control)
    sys.stdout.flush()
