"""Two fresh environments as a user has them: a built wheel of indexpass, and keyring alone. Nothing is editable.

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


class Environments(NamedTuple):
    """The two environments' folders of programs, the user's home, and the version of keyring in both."""

    ours: Path
    plain: Path
    home: Path
    keyring_version: str


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
    return Environments(ours, plain, home, keyring.removeprefix("keyring=="))


def configure(home: Path, *, broker: str) -> None:
    """Write the user's configuration: two indexes at one broker."""
    (home / "config.toml").write_text(_CONFIG.format(index=INDEX_URL, broker=broker))


def environ(home: Path, **more: str) -> dict[str, str]:
    """Return what a client's process sees: this process's variables without those that would change the outcome."""
    foreign = ("PYTHON", "INDEXPASS_", "XDG_", "DBUS_", "COVERAGE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
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
        sys.exit(f"uv {arguments[0]} failed:\n{done.stderr}")
    return done.stdout
