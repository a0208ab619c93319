"""A line to a server's socket on which everything stops when a test says so, as on a machine that stands still.

Connections stay open and new ones are taken, and nobody ever hears anything. Understands nothing of what passes.
"""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CHUNK_BYTES = 64 * 1024


class Line:
    """Passes on whatever comes to the socket at ``here``, and what comes back."""

    def __init__(self, here: Path, there: Path) -> None:
        self.folder = here.parent
        self._there = there
        self._flows = threading.Event()
        self._flows.set()
        self._ends: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(here))
        self._listener.listen(64)
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def stop_flow(self) -> None:
        """Pass nothing on any more."""
        self._flows.clear()

    def resume_flow(self) -> None:
        """Pass on what has waited, and all that comes."""
        self._flows.set()

    def close(self) -> None:
        """Cut all connections."""
        self._flows.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        for end in (self._listener, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _take(self) -> None:
        with suppress(OSError):
            while True:
                taken, _ = self._listener.accept()
                made = socket.socket(socket.AF_UNIX)
                self._ends += [taken, made]
                made.connect(str(self._there))
                for pair in ((taken, made), (made, taken)):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK_BYTES):
                self._flows.wait()
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@contextmanager
def line_to(there: Path, folder: Path) -> Iterator[Line]:
    """Make a line to the socket ``there``, whose own socket has the same name in ``folder``."""
    line = Line(folder / there.name, there)
    try:
        yield line
    finally:
        line.close()
