"""Runs the program of a CI system that prints an identity token: bounded in time and output, without a shell.

Only a program of an absolute place on the PATH is run, never one in the working directory, and what it says on stderr
is not shown: nobody knows what is in there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from indexpass._identity_token import MAX_TOKEN_BYTES
from indexpass.errors import IdentityError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TOTAL_SECONDS = 20.0  # as long as an exchange with a server may take
_END_SECONDS = 2.0  # for a program that has closed its output to end


def find_program(name: str, environ: Mapping[str, str]) -> str | None:
    """Return where the program is, or None if it is in no absolute folder of the PATH."""
    folders = environ.get("PATH", "").split(os.pathsep)
    found = shutil.which(name, path=os.pathsep.join(folder for folder in folders if Path(folder).is_absolute()))
    # On Windows, the working directory comes before the PATH, and belongs to the project.
    return found if found and Path(found).is_absolute() else None


def run_program(
    words: Sequence[str],
    environ: Mapping[str, str],
    *,
    hint: str,
    total_seconds: float = TOTAL_SECONDS,
    folder: Path | None = None,
) -> str:
    """Return what the program prints, cut off after the length of any token. Raises IdentityError if it fails.

    It runs in ``folder``, or, without one, in the working directory.
    """
    name = Path(words[0]).name
    said: list[bytes] = []
    try:
        process = subprocess.Popen(  # noqa: S603  # by its whole path, and no shell reads the words
            list(words),
            env=dict(environ),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        raise IdentityError(f"{name} cannot be run: {error.strerror}", hint=hint) from error
    # On a thread, because what the program has started may hold the pipe open after the program was ended.
    reader = threading.Thread(target=_listen, args=(process, said), name="indexpass-program", daemon=True)
    reader.start()
    reader.join(total_seconds)
    if reader.is_alive():
        process.kill()
        process.wait()
        raise IdentityError(f"{name} did not print an identity token within {total_seconds:.0f} seconds", hint=hint)
    try:
        status = process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        status = process.wait()
    if status != 0:
        raise IdentityError(f"{name} failed to give an identity token (exit status {status})", hint=hint)
    return said[0].decode("ascii", errors="replace") if said else ""


def _listen(process: subprocess.Popen[bytes], said: list[bytes]) -> None:
    if process.stdout:
        with process.stdout as output:
            said.append(output.read(MAX_TOKEN_BYTES + 1))
