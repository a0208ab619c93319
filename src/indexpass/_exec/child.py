"""A command as a child process that gets the signals meant for it, and whose end becomes ours.

We have to outlive the command, to remove what it was handed; so it cannot simply take our place. This module knows
nothing of credentials.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import FrameType, TracebackType

_FORWARDED = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGBREAK")
_FROM_KEYS = ("SIGINT", "SIGQUIT", "SIGBREAK")  # Ctrl-C and its kin
_QUIET = ("SIGHUP", "SIGINT", "SIGKILL", "SIGPIPE", "SIGTERM", "SIGUSR1", "SIGUSR2")  # the others write a core file


class Child:
    """One command. Signals that come while this is entered end nothing here: they are the command's."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self._before: dict[int, object] = {}

    def __enter__(self) -> Child:  # noqa: PYI034  # Self is in typing from Python 3.11 on
        """Take the signals."""
        for name in _FORWARDED:
            number = getattr(signal, name, None)
            # What is ignored, as under nohup, the command ignores by itself.
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._pass_on)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what getsignal returned

    def run(self, argv: Sequence[str], environ: Mapping[str, str]) -> int:
        """Run the command to its end, and return its exit code: negative for the signal that ended it.

        Raises OSError if it cannot be started.
        """
        if self._early:
            return -self._early[0]
        self._process = subprocess.Popen(argv, env=environ)  # noqa: S603  # to run it is what we are for
        for number in self._early:  # they came while the process was made
            self._process.send_signal(number)
        return self._process.wait()

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._process is None:
            self._early.append(number)
        elif not _is_from_keys(number):
            self._process.send_signal(number)


def _is_from_keys(number: int) -> bool:
    """Was the signal typed at the terminal, which sends it to the command as well, as far as can be told?

    A command that gets Ctrl-C twice often leaves without cleaning up.
    """
    if signal.Signals(number).name not in _FROM_KEYS:
        return False
    if sys.platform == "win32":
        return True  # the console tells every program in it, and there is no other way
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def end_like(code: int) -> NoReturn:
    """End this process as the command has ended: by its exit code, or by the same signal."""
    if code >= 0:
        sys.exit(code)
    if signal.Signals(-code).name in _QUIET:
        sys.stdout.flush()
        sys.stderr.flush()
        if -code != getattr(signal, "SIGKILL", None):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(128 - code)  # as a shell says it
