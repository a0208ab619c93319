"""Which clients there are, and where each keeps its settings on Linux, macOS and Windows.

One function a client, after the client's own source or documentation. Variables, project and platform are passed in;
this module never touches the disk, so not every file that it names is there.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Form = Literal["ini", "toml", "netrc", "git", "text"]
Scope = Literal["user", "site", "environment", "project"]

CLIENTS = ("pip", "uv", "poetry", "pdm", "hatch", "twine", "git")


class ClientFile(NamedTuple):
    """One file that one client reads.

    ``client`` is one of CLIENTS, or "netrc" for the file that pip, Poetry, uv and git all read. ``scope`` says whose it
    is: the user's, the administrator's ("site"), the project's, or that of this process's environment: named by a
    variable, or in the active virtual environment.
    """

    client: str
    path: Path
    form: Form
    scope: Scope


class Machine(NamedTuple):
    """What a client goes by to find its files; ``platform`` is as in ``sys.platform``."""

    environ: Mapping[str, str]
    platform: str
    project: Path | None

    @property
    def home(self) -> Path:
        """The user's home folder, as ``os.path.expanduser`` finds it."""
        named = self.environ.get("USERPROFILE" if self.platform == "win32" else "HOME")
        if named:
            return Path(named)
        try:
            return Path.home()
        except RuntimeError:  # a container may run as a user whom no file knows
            return Path("/nonexistent")

    @property
    def is_windows(self) -> bool:
        """Is this Windows, where nearly every folder is another one?"""
        return self.platform == "win32"

    def config_folder(self, *, local: bool = False) -> Path:
        """Return the folder in which programs have theirs; on Windows the roaming one, unless ``local``."""
        if self.is_windows:
            name, default = ("LOCALAPPDATA", "AppData/Local") if local else ("APPDATA", "AppData/Roaming")
            return self._named(name) or self.home / default
        if self.platform == "darwin":
            return self._named("XDG_CONFIG_HOME") or self.home / "Library" / "Application Support"
        return self.xdg_folder

    @property
    def xdg_folder(self) -> Path:
        """The user's folder by the XDG Base Directory Specification, which some clients follow on macOS too."""
        return self._named("XDG_CONFIG_HOME") or self.home / ".config"

    @property
    def site_folders(self) -> tuple[Path, ...]:
        """The administrator's folders, the first to be read first."""
        if self.is_windows:
            return (self._named("PROGRAMDATA") or Path("C:/ProgramData"),)
        if self.platform == "darwin":
            return (Path("/Library/Application Support"),)
        named = (Path(each) for each in self.environ.get("XDG_CONFIG_DIRS", "").split(":") if each.startswith("/"))
        return tuple(named) or (Path("/etc/xdg"),)

    def named_file(self, variable: str) -> tuple[Path, ...]:
        """Return the file that a variable names, or nothing."""
        value = self.environ.get(variable)
        return (Path(value),) if value else ()

    def _named(self, variable: str) -> Path | None:
        value = self.environ.get(variable, "")
        is_whole = bool(value) and (self.is_windows or value.startswith("/"))
        return Path(value) if is_whole else None


def files(
    environ: Mapping[str, str], project: Path | None = None, *, platform: str = sys.platform
) -> tuple[ClientFile, ...]:
    """Return the files of all clients for a process with these variables, of each client the one that wins first."""
    machine = Machine(environ, platform, project)
    readers = (_pip, _uv, _poetry, _pdm, _hatch, _twine, _git, _netrc)
    return tuple(file for reader in readers for file in reader(machine))


def files_of(
    client: str, environ: Mapping[str, str], project: Path | None = None, *, platform: str = sys.platform
) -> tuple[ClientFile, ...]:
    """Return the files of one client, the one that wins first."""
    return tuple(file for file in files(environ, project, platform=platform) if file.client == client)


def _pip(machine: Machine) -> Iterator[ClientFile]:
    """Follow pip/_internal/configuration.py; whoever has PIP_CONFIG_FILE has it in place of the user's own."""
    name = "pip.ini" if machine.is_windows else "pip.conf"
    for path in machine.named_file("PIP_CONFIG_FILE"):
        yield ClientFile("pip", path, "ini", "environment")
    for folder in machine.named_file("VIRTUAL_ENV"):
        yield ClientFile("pip", folder / name, "ini", "environment")
    yield ClientFile("pip", machine.config_folder() / "pip" / name, "ini", "user")
    if machine.platform == "darwin":
        yield ClientFile("pip", machine.home / ".config" / "pip" / name, "ini", "user")
    yield ClientFile("pip", machine.home / ("pip" if machine.is_windows else ".pip") / name, "ini", "user")
    if machine.platform not in ("win32", "darwin"):
        yield ClientFile("pip", Path("/etc") / name, "ini", "site")
    for folder in reversed(machine.site_folders):
        yield ClientFile("pip", folder / "pip" / name, "ini", "site")


def _uv(machine: Machine) -> Iterator[ClientFile]:
    """Follow https://docs.astral.sh/uv/concepts/configuration-files/; UV_CONFIG_FILE is in place of all others."""
    for path in machine.named_file("UV_CONFIG_FILE"):
        yield ClientFile("uv", path, "toml", "environment")
    if machine.project:
        yield ClientFile("uv", machine.project / "uv.toml", "toml", "project")
        yield ClientFile("uv", machine.project / "pyproject.toml", "toml", "project")
    user = machine.config_folder() if machine.is_windows else machine.xdg_folder
    yield ClientFile("uv", user / "uv" / "uv.toml", "toml", "user")
    if machine.is_windows:
        yield ClientFile("uv", machine.site_folders[0] / "uv" / "uv.toml", "toml", "site")
        return
    for folder in machine.site_folders if machine.platform != "darwin" else ():
        yield ClientFile("uv", folder / "uv" / "uv.toml", "toml", "site")
    yield ClientFile("uv", Path("/etc/uv/uv.toml"), "toml", "site")


def _poetry(machine: Machine) -> Iterator[ClientFile]:
    """Follow poetry/locations.py."""
    if machine.project:
        yield ClientFile("poetry", machine.project / "poetry.toml", "toml", "project")
        yield ClientFile("poetry", machine.project / "pyproject.toml", "toml", "project")
    named = machine.named_file("POETRY_CONFIG_DIR")
    folder = named[0] if named else machine.config_folder() / "pypoetry"
    yield ClientFile("poetry", folder / "config.toml", "toml", "user")
    yield ClientFile("poetry", folder / "auth.toml", "toml", "user")


def _pdm(machine: Machine) -> Iterator[ClientFile]:
    """Follow pdm/project/core.py; PDM_CONFIG_FILE is in place of the user's own."""
    if machine.project:
        yield ClientFile("pdm", machine.project / "pdm.toml", "toml", "project")
        yield ClientFile("pdm", machine.project / "pyproject.toml", "toml", "project")
    for path in machine.named_file("PDM_CONFIG_FILE"):
        yield ClientFile("pdm", path, "toml", "environment")
    inner = Path("pdm", "pdm") if machine.is_windows else Path("pdm")  # platformdirs: author and name
    yield ClientFile("pdm", machine.config_folder(local=True) / inner / "config.toml", "toml", "user")
    yield ClientFile("pdm", machine.site_folders[0] / inner / "config.toml", "toml", "site")


def _hatch(machine: Machine) -> Iterator[ClientFile]:
    """Follow hatch/config/user.py; HATCH_CONFIG is in place of the user's own."""
    for path in machine.named_file("HATCH_CONFIG"):
        yield ClientFile("hatch", path, "toml", "environment")
    if machine.project:
        yield ClientFile("hatch", machine.project / "hatch.toml", "toml", "project")
        yield ClientFile("hatch", machine.project / "pyproject.toml", "toml", "project")
    yield ClientFile("hatch", machine.config_folder(local=True) / "hatch" / "config.toml", "toml", "user")


def _twine(machine: Machine) -> Iterator[ClientFile]:
    """Follow https://packaging.python.org/specifications/pypirc/; hatch and flit read the same file."""
    yield ClientFile("twine", machine.home / ".pypirc", "ini", "user")


def _git(machine: Machine) -> Iterator[ClientFile]:
    """Follow git-config(1), section FILES; GIT_CONFIG_GLOBAL is in place of the user's own two."""
    if machine.project:
        yield ClientFile("git", machine.project / ".git" / "config", "git", "project")
    for path in machine.named_file("GIT_CONFIG_GLOBAL"):
        yield ClientFile("git", path, "git", "environment")
    yield ClientFile("git", machine.home / ".gitconfig", "git", "user")
    yield ClientFile("git", machine.xdg_folder / "git" / "config", "git", "user")
    site = machine.named_file("GIT_CONFIG_SYSTEM")
    if not site:
        site = (Path("C:/Program Files/Git/etc/gitconfig" if machine.is_windows else "/etc/gitconfig"),)
    yield ClientFile("git", site[0], "git", "site")


def _netrc(machine: Machine) -> Iterator[ClientFile]:
    """Follow requests, which pip and Poetry are made of, and curl, which git is made of."""
    for path in machine.named_file("NETRC"):
        yield ClientFile("netrc", path, "netrc", "environment")
    yield ClientFile("netrc", machine.home / ".netrc", "netrc", "user")
    yield ClientFile("netrc", machine.home / "_netrc", "netrc", "user")
