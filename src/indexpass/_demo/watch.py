"""Watches the demonstration from outside: every process that it starts, and every secret that comes into being.

Command lines and environments are read from ``/proc`` many times a second; on systems without it, only what the
stage itself ran is known. Secrets are read where indexpass keeps them, as any program of the same user could.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

from indexpass._secret import Secret

_PAUSE_SECONDS = 0.04
_PROC = Path("/proc")
_SECRET_KEYS = ("secret", "refresh_token")


class Watch:
    """A thread that looks around from :meth:`start` until :meth:`stop`."""

    def __init__(self, kept: Path) -> None:
        """Look for secrets in the private files below ``kept``."""
        self._kept = kept
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name="indexpass-watch", daemon=True)
        self.command_lines: set[str] = set()
        self.environments: set[str] = set()
        self.secrets: list[Secret] = []

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look once more, and stop."""
        self._stop.set()
        self._thread.join()

    def know(self, secret: Secret) -> None:
        """Add a secret that stands in no file."""
        if secret and secret not in self.secrets:
            self.secrets.append(secret)

    def _look(self) -> None:
        while not self._stop.wait(_PAUSE_SECONDS):
            self._look_at_processes()
            self.look_at_files()
        self.look_at_files()

    def look_at_files(self) -> None:
        """Look for secrets now, such as before something removes them."""
        for path in self._list_kept():
            try:
                entry = json.loads(path.read_bytes())
            except (OSError, ValueError):
                continue  # a lock, or replaced at this moment: the next look finds it
            for key in _SECRET_KEYS:
                if isinstance(entry, dict) and isinstance(entry.get(key), str):
                    self.know(Secret(entry[key]))

    def _list_kept(self) -> list[Path]:
        try:
            return list(self._kept.glob("*/*"))
        except OSError:  # a folder is removed at this moment
            return []

    def _look_at_processes(self) -> None:
        for number in _descendants():
            try:
                command_line = (_PROC / number / "cmdline").read_bytes()
                environment = (_PROC / number / "environ").read_bytes()
            except OSError:
                continue  # it has ended meanwhile
            self.command_lines.add(command_line.replace(b"\0", b" ").decode(errors="replace"))
            self.environments.add(environment.replace(b"\0", b"\n").decode(errors="replace"))


def _descendants() -> list[str]:
    """Return the numbers of all processes that this one started, directly or not."""
    children: dict[str, list[str]] = {}
    try:
        numbers = [name for name in os.listdir(_PROC) if name.isdigit()]  # noqa: PTH208  # many times a second
    except OSError:
        return []
    for number in numbers:
        try:
            # "pid (name) state parent …", and the name may hold spaces and brackets: proc(5)
            parent = (_PROC / number / "stat").read_text().rpartition(")")[2].split()[1]
        except (OSError, IndexError, UnicodeDecodeError):
            continue
        children.setdefault(parent, []).append(number)
    found: list[str] = []
    waiting = [str(os.getpid())]
    while waiting:
        born = children.get(waiting.pop(), [])
        found += born
        waiting += born
    return found
