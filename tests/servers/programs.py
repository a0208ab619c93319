"""Programs that pip does not install: where they are, and what a test does where they are missing.

``program("nginx")`` returns the executable. Where there is none the test is skipped, and says what installs it. With
``INDEXPASS_REQUIRE_ALL=1``, as the machine that decides about changes has it, it fails: there nothing may be skipped.
This module never starts a program.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

REQUIRE_ALL = "INDEXPASS_REQUIRE_ALL"


@dataclass(frozen=True, slots=True)
class ProgramEntry:
    """A program by the names that its executable may have, and the command that installs it on Debian.

    ``folders`` are patterns of folders that hold it although they are in nobody's PATH.
    """

    executables: tuple[str, ...]
    install: str
    folders: tuple[str, ...] = ()


PROGRAMS = {
    # The module is a package of its own, which brings the program with it.
    "apache2": ProgramEntry(("apache2",), "apt-get install -y libapache2-mod-auth-openidc", ("/usr/sbin",)),
    "bash": ProgramEntry(("bash",), "apt-get install -y bash"),
    "caddy": ProgramEntry(("caddy",), "apt-get install -y caddy"),
    "chromium": ProgramEntry(("chromium", "chromium-browser"), "apt-get install -y chromium"),
    "dbus-daemon": ProgramEntry(("dbus-daemon",), "apt-get install -y dbus"),
    "dbus-monitor": ProgramEntry(("dbus-monitor",), "apt-get install -y dbus"),
    "fish": ProgramEntry(("fish",), "apt-get install -y fish"),
    "gnome-keyring-daemon": ProgramEntry(("gnome-keyring-daemon",), "apt-get install -y gnome-keyring"),
    "nginx": ProgramEntry(("nginx",), "apt-get install -y nginx-light", ("/usr/sbin",)),  # root's PATH only
    "node": ProgramEntry(("node", "nodejs"), "apt-get install -y nodejs"),
    "npm": ProgramEntry(("npm",), "apt-get install -y npm"),
    "postgres": ProgramEntry(("postgres",), "apt-get install -y postgresql", ("/usr/lib/postgresql/*/bin",)),
    "systemd-analyze": ProgramEntry(("systemd-analyze",), "apt-get install -y systemd"),
    "zsh": ProgramEntry(("zsh",), "apt-get install -y zsh"),
}


class FindProgram(Protocol):
    """Returns the executable of a program in the table, or ends the test."""

    def __call__(self, name: str) -> Path: ...


@pytest.fixture(scope="session")
def program() -> FindProgram:
    """Find programs in the PATH of this run."""
    return lambda name: require(name, os.environ)


def require(name: str, environ: Mapping[str, str], programs: Mapping[str, ProgramEntry] = PROGRAMS) -> Path:
    """Return the executable of the program ``name``; where it is missing, skip or fail the test that asks."""
    entry = programs[name]
    found = _find(entry, environ.get("PATH", ""))
    if found:
        return found
    message = f"{name} is not installed: {entry.install}"
    if environ.get(REQUIRE_ALL) == "1":
        pytest.fail(f"{message} ({REQUIRE_ALL}=1 allows no skip)", pytrace=False)
    pytest.skip(message)


def _find(entry: ProgramEntry, path: str) -> Path | None:
    folders = [folder for folder in path.split(os.pathsep) if folder]  # an empty part would be the working directory
    for pattern in entry.folders:
        folders += sorted(glob(pattern), reverse=True)  # noqa: PTH207  # the pattern is absolute
    for executable in entry.executables:
        found = shutil.which(executable, path=os.pathsep.join(folders))
        if found:
            return Path(found)
    return None
