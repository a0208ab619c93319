"""The commands on PATH by the name of ``keyring``, and which of them is our shim: ``_shim`` is what that one calls.

This module never runs one, and imports next to nothing: a shim that hands a question on must not pay for it.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

SHIM_LINE = "from indexpass._shim import main"  # stands near the beginning of each shim
_BEGINNING_BYTES = 1024


def find_real(folders: Iterable[str]) -> str | None:
    """Return the first ``keyring`` in the folders that is no shim, or None. What is no absolute path is left out."""
    for folder in folders:
        path = os.path.join(folder, "keyring")  # noqa: PTH118  # pathlib costs more than all of this
        is_command = os.path.isabs(folder) and os.path.isfile(path) and os.access(path, os.X_OK)  # noqa: PTH113, PTH117
        if is_command and not is_shim(path):
            return path
    return None


def is_shim(path: str) -> bool:
    """Is the file a shim, as far as can be told? What cannot be read is none."""
    try:
        # Without O_NONBLOCK, a named pipe without a writer would hang whoever looks.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError:
        return False
    try:
        return SHIM_LINE.encode() in os.read(descriptor, _BEGINNING_BYTES)
    except OSError:  # a folder; a pipe that has nothing to say
        return False
    finally:
        os.close(descriptor)
