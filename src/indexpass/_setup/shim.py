"""The shim: a ``keyring`` of our own on PATH, before the real one, that starts at once (``_shim`` is what it calls).

It goes to ``~/.local/bin`` where that is enough, and else to a folder of ours, which a person has to put on PATH: no
program that somebody else has put there is ever replaced.
"""

from __future__ import annotations

import os
import site
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from indexpass._changes import Change, read
from indexpass._keyring_command import SHIM_LINE, is_shim
from indexpass._locations import locate
from indexpass._setup import programs
from indexpass._setup.plan import Plan
from indexpass.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from indexpass._setup.plan import Situation

_MAX_FIRST_LINE = 127  # what every kernel reads of it (execve(2))


def plan(situation: Situation) -> Plan:
    """Return the program to be written. Raises ConfigError on Windows, and where a stranger has its place."""
    if situation.platform == "win32":
        raise ConfigError(
            "the shim is a script, and no program on Windows", hint="uv tool install keyring --with indexpass"
        )
    path = _choose(situation)
    before = read(path)
    if before is not None and SHIM_LINE not in before:
        raise ConfigError(f"{path} is not the shim", hint=f"look at it, and move it away: ls -l {path}")
    after = _script(Path(sys.executable))
    if before != after:
        change = Change(path, before, after, "answers pip, uv and pdm without loading keyring", is_executable=True)
        return Plan((change,), _steps(path, situation))
    return Plan(steps=_steps(path, situation))


def _choose(situation: Situation) -> Path:
    """Return where the shim stands before the real keyring, or could."""
    own = locate(situation.environ).state / "bin" / "keyring"
    folders = _folders(situation)
    usual = Path(situation.environ.get("HOME", "/nonexistent")) / ".local" / "bin"
    if str(usual) not in folders:
        return own
    before = folders[: folders.index(str(usual))]
    place = usual / "keyring"
    is_free = not os.path.lexists(place) or is_shim(str(place))  # a link that leads nowhere is somebody's too
    is_first = programs.find("keyring", {"PATH": os.pathsep.join(before)}) is None
    return place if is_free and is_first else own


def _steps(path: Path, situation: Situation) -> tuple[str, ...]:
    folders = _folders(situation)
    found = programs.find("keyring", situation.environ)
    if str(path.parent) in folders and (found is None or _stands_before(path.parent, found.parent, folders)):
        return ()
    return (f'put it first on PATH, in your shell\'s own file: export PATH="{path.parent}:$PATH"',)


def _stands_before(one: Path, other: Path, folders: Sequence[str]) -> bool:
    return one == other or folders.index(str(one)) < folders.index(str(other))


def _folders(situation: Situation) -> list[str]:
    return situation.environ.get("PATH", "").split(os.pathsep)


def _script(python: Path) -> str:
    """Return the text of the program, which runs in the environment that indexpass is in, and reads no variables."""
    user_site = site.getusersitepackages() if site.ENABLE_USER_SITE else None
    # -I would leave out the user's own site folder.
    option = "-E" if user_site and Path(__file__).is_relative_to(user_site) else "-I"
    first = f"#!{python} {option}\n"
    if " " in str(python) or len(first) > _MAX_FIRST_LINE:
        first = f"#!/bin/sh\n'''exec' '{python}' {option} \"$0\" \"$@\"\n' '''\n"
    return f"{first}# Made by indexpass setup shim; taken back by indexpass setup shim --undo.\n{SHIM_LINE}\n\nmain()\n"
