"""Fresh environments as a user has them: a built wheel of indexpass, keyring alone, and each peer. Nothing is editable.

Bytecode is compiled on installation, as pip does: a checkout without it would measure Python's compiler.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
INDEX_URL = "https://packages.acme.example/simple/"
FOREIGN_URL = "https://index.elsewhere.example/simple/"
INSTALL_SECONDS = 120
_CHANGES_THE_OUTCOME = (
    *("PYTHON", "INDEXPASS_", "XDG_", "DBUS_", "COVERAGE_", "KEYRING_", "HTTP_", "HTTPS_", "ALL_PROXY", "NO_PROXY"),
    "POETRY_",
    *("ARTIFACTS_", "AWS_", "AZURE_", "CLOUDSDK_", "CLOUDSMITH_", "GCE_", "GOOGLE_", "PACKAGEMANAGER_", "VSS_"),
)
_CONFIG = """\
[[index]]
name = "acme"
url = "{index}"
broker = "{broker}"

[[index]]
name = "second"
url = "https://packages.second.example/simple/"
broker = "{broker}"
"""


class CannotInstall(SystemExit):
    """Ends the run with what uv said, unless somebody can go on without."""


class Environments(NamedTuple):
    """The two environments' folders of programs, the user's home, our version, and that of keyring in both.

    ``constraints`` is the file of all versions in ours, by which every further environment is installed.
    """

    ours: Path
    plain: Path
    home: Path
    version: str
    keyring_version: str
    constraints: Path


class PoetryPair(NamedTuple):
    """The folders of programs of a Poetry with indexpass, and of the same without."""

    ours: Path
    alone: Path


class Installed(NamedTuple):
    """A peer's folder of programs, and its version."""

    programs: Path
    version: str


def install(folder: Path) -> Environments:
    """Build the wheel and install it; install the same keyring alone beside it. Needs a package index."""
    wheels = folder / "wheels"
    python = sys.executable
    _uv("build", "--wheel", "--no-build-isolation", "--python", python, "--out-dir", str(wheels), str(ROOT))
    (wheel,) = wheels.glob("*.whl")
    ours = _environment(folder / "ours", str(wheel))
    frozen = _uv("pip", "freeze", "--python", str(ours / "python")).splitlines()
    (keyring,) = (line for line in frozen if line.startswith("keyring=="))
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join(line for line in frozen if not line.startswith("indexpass ")))
    plain = _environment(folder / "plain", keyring, "--constraints", str(constraints))
    home = folder / "home"
    home.mkdir()
    version = wheel.name.split("-")[1]
    return Environments(ours, plain, home, version, keyring.removeprefix("keyring=="), constraints)


def install_shim(environments: Environments) -> Path:
    """Let ``indexpass setup`` put the shim before keyring, and return the folder that it stands in."""
    programs = environments.home / ".local/bin"
    path = os.pathsep.join([str(programs), str(environments.ours), os.environ["PATH"]])
    command = [environments.ours / "indexpass", "setup", "shim", "--yes"]
    subprocess.run(
        command, env=environ(environments.home, PATH=path), check=True, capture_output=True, timeout=INSTALL_SECONDS
    )
    return programs


def install_poetry(folder: Path) -> PoetryPair:
    """Install Poetry beside the wheel that :func:`install` has built, and alone with the same of everything else."""
    (wheel,) = (folder / "wheels").glob("*.whl")
    ours = _environment(folder / "poetry-ours", str(wheel), "poetry>=2.0")
    frozen = _uv("pip", "freeze", "--python", str(ours / "python")).splitlines()
    constraints = folder / "poetry-constraints.txt"
    constraints.write_text("\n".join(line for line in frozen if not line.startswith("indexpass ")))
    return PoetryPair(ours, _environment(folder / "poetry", "poetry", "--constraints", str(constraints)))


def install_broker(folder: Path) -> Path:
    """Install the wheel that :func:`install` has built with all that a broker needs, and what reads password files."""
    (wheel,) = (folder / "wheels").glob("*.whl")
    return _environment(folder / "broker", f"{wheel}[broker]", "passlib>=1.7")


def install_peer(folder: Path, name: str, environments: Environments) -> Installed | None:
    """Install another backend beside the same keyring. Returns None if that fails: then it cannot be compared."""
    try:
        programs = _environment(folder, name, "--constraints", str(environments.constraints))
        shown = _uv("pip", "show", "--python", str(programs / "python"), name)
    except CannotInstall:
        return None
    return Installed(programs, shown.partition("\nVersion: ")[2].partition("\n")[0])


def configure(home: Path, *, broker: str) -> None:
    """Write the user's configuration: two indexes at one broker."""
    (home / "config.toml").write_text(_CONFIG.format(index=INDEX_URL, broker=broker))


def environ(home: Path, **more: str) -> dict[str, str]:
    """Return what a client's process sees: this process's variables without those that would change the outcome."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(_CHANGES_THE_OUTCOME)}
    return {**kept, "HOME": str(home), "INDEXPASS_HOME": str(home), **more}


def _environment(folder: Path, *requirements: str) -> Path:
    programs = folder / "bin"
    _uv("venv", "--quiet", "--python", sys.executable, str(folder))
    _uv("pip", "install", "--quiet", "--compile-bytecode", "--python", str(programs / "python"), *requirements)
    return programs


def _uv(*arguments: str) -> str:
    uv = Path(sys.executable).parent / "uv"
    done = subprocess.run([uv, *arguments], check=False, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    if done.returncode != 0:
        raise CannotInstall(f"uv {arguments[0]} failed:\n{done.stderr}")
    return done.stdout
