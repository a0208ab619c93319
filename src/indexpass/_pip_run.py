"""Which run of pip asks, so that a credential that it asks for twice comes into doubt; and how a run is named.

keyring has no word for "it was refused", but pip asks again after each 401: by import from within its own process, by
the ``keyring`` command from a new process for each question, whose parent pip is (pip 26.2 and later, in words of its
own). Nobody else is a run of pip: uv, twine, pdm, hatch and Poetry ask twice although nothing was refused. This module
never touches the network, and reads nothing but what the system says of one process.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

_IMPORT_MODE = "pip._internal.network.auth"  # the module of pip that asks keyring
_SUBPROCESS_MODE = ["--mode=creds", "--output=json", "get"]
KEYRING_COMMANDS = ("keyring.cli", "indexpass._shim")  # the modules of the command, and of what stands in for it


def find_run(modules: Container[str], argv: Sequence[str]) -> str | None:
    """Return the name of the run of pip that asks, or None if it is not pip, or cannot be told.

    ``modules`` are the modules that this process has loaded, ``argv`` its command line.
    """
    if _IMPORT_MODE in modules:
        return name_run(os.getpid())
    if is_keyring_command(modules) and list(argv[1:4]) == _SUBPROCESS_MODE and os.name == "posix":
        return name_run(os.getppid())  # on Windows the parent is a launcher, and a new one for each question
    return None


def is_keyring_command(modules: Container[str]) -> bool:
    """Is the process with these modules one that a client runs for each question?"""
    return any(module in modules for module in KEYRING_COMMANDS)


def name_run(process: int) -> str:
    """Return the process number and when it began, in ticks of the system; without /proc, the number alone.

    A number alone can come back in another run, which costs that run one question to the index and nothing else.
    """
    try:
        with open(f"/proc/{process}/stat", "rb") as file:  # noqa: PTH123  # pathlib would be loaded for this alone
            facts = file.read()
    except OSError:
        return str(process)
    # The program's name, in brackets, may hold spaces and brackets itself; the start is field 22: proc_pid_stat(5).
    return f"{process}-{facts.rpartition(b')')[2].split()[19].decode()}"
