"""What a Python environment says of itself: which keyring it would use, and what of ours is in it.

It is asked by running its own Python for at most 10 seconds. That loads keyring and lets it choose, as every client
does; no question is put to any keyring, so none is opened. This module judges nothing.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from indexpass._token_program import find_program, run_program
from indexpass.errors import IdentityError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ASK_SECONDS = 10.0  # a cold start of Python and keyring takes one on a slow disk
OURS = "indexpass.keyring_backend.IndexpassKeyring"
_MAX_SCRIPT_BYTES = 1024 * 1024  # a launcher of Windows is a program of 100 KiB, with the script behind it

# Runs in a Python that may be as old as 3.8. ``-c`` puts the working directory first, where the launchers of keyring
# and pip do not look. Only the last line counts, because a backend may print when it is loaded.
_PROBE = """
import sys
sys.path[:] = [each for each in sys.path if each]
import json, os, sysconfig
from importlib import metadata

def find_version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""

def name(backend):
    kind = backend if isinstance(backend, type) else type(backend)
    return kind.__module__ + "." + kind.__qualname__

names = ("indexpass", "keyring", "pip", "poetry", "twine", "pdm", "hatch")
said = {
    "python": sys.executable,
    "scripts": sysconfig.get_path("scripts"),
    "versions": {each: find_version(each) for each in names},
}
try:
    import keyring, keyring.backend
    chosen = keyring.get_keyring()
    said["chosen"] = name(chosen)
    said["chain"] = [[name(each), float(each.priority)] for each in getattr(chosen, "backends", [chosen])]
except ImportError as error:
    said["error"] = "" if error.name == "keyring" else "ImportError: " + str(error.name)
except Exception as error:
    said["error"] = type(error).__name__
try:
    import configparser
    from keyring.util import platform_
    file = os.path.join(str(platform_.config_root()), "keyringrc.cfg")
    config = configparser.RawConfigParser()
    if config.read(file, encoding="utf-8"):
        said["file"] = file
        said["default"] = config.get("backend", "default-keyring", fallback="")
except Exception:
    pass
print("\\n" + json.dumps(said))
"""


class Environment(NamedTuple):
    """A Python, what is installed beside it, and what keyring chooses there.

    ``versions`` are by distribution, "" for one that is missing. ``chosen`` is keyring's choice, "" if there is no
    keyring or ``error`` says what it raised; ``chain`` are the backends that it asks, in order, with their priorities.
    ``file`` is the keyringrc.cfg, "" if there is none, and ``default`` the backend that it names.
    """

    python: str
    scripts: str
    versions: Mapping[str, str]
    chosen: str = ""
    chain: tuple[tuple[str, float], ...] = ()
    error: str = ""
    file: str = ""
    default: str = ""

    @property
    def has_ours(self) -> bool:
        """Is indexpass installed there?"""
        return bool(self.versions.get("indexpass"))

    @property
    def has_keyring(self) -> bool:
        """Is keyring installed there?"""
        return bool(self.versions.get("keyring"))


class Program(NamedTuple):
    """A command on PATH; ``environment`` is None if nobody can tell which Python runs it, or if that does not answer.

    ``is_shim`` if it is the keyring command of ours, which needs no keyring to answer for our indexes.
    """

    path: str
    environment: Environment | None = None
    is_shim: bool = False


def find_all(name: str, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield every command of this name on PATH, the first one first, each file once."""
    seen: set[Path] = set()
    for folder in environ.get("PATH", "").split(";" if sys.platform == "win32" else ":"):
        found = shutil.which(name, path=folder) if folder and Path(folder).is_absolute() else None
        if found and Path(found).resolve() not in seen:
            seen.add(Path(found).resolve())
            yield found


def find_python(program: str, environ: Mapping[str, str]) -> str | None:
    """Return the Python that runs a launcher as pip, uv and pipx write it, or None if it is something else."""
    path = Path(program)
    if path.parent.name == "shims":  # pyenv's, a shell script
        real = _ask([find_program("pyenv", environ) or "", "which", path.name], environ, path.parent).strip()
        return find_python(real, environ) if real and Path(real).parent.name != "shims" else None
    head, mark, rest = _read(path).rpartition(b"#!") if path.suffix == ".exe" else _read(path).partition(b"#!")
    if not mark or (head and path.suffix != ".exe"):
        return None
    lines = rest[:4096].decode(errors="replace").splitlines()
    python = _interpreter(lines, environ) if lines else ""
    return python if Path(python).is_absolute() and "python" in Path(python).name.lower() else None


def _interpreter(lines: list[str], environ: Mapping[str, str]) -> str:
    """Return what the first line of a script names; ``lines`` begin behind the mark ``#!``."""
    first = lines[0].strip()
    if first.startswith('"'):  # a launcher of Windows whose path has a space
        return first[1:].partition('"')[0]
    words = first.split()
    if words[:1] == ["/bin/sh"] and len(lines) > 1:  # a path too long for the kernel: ''''exec' '/path' "$0" "$@"
        return lines[1].removeprefix("'''exec'").strip().partition(' "$0"')[0].strip("'\" ")
    if words[:1] == ["/usr/bin/env"] and len(words) > 1:
        return find_program(words[1], environ) or ""
    return words[0] if words else ""


def ask_environment(python: str, environ: Mapping[str, str]) -> Environment | None:
    """Return what the environment of this Python says of itself, or None if it says nothing that makes sense."""
    # In a folder of its own, because Python looks for modules in the working directory, which may be anybody's.
    return parse_environment(_ask([python, "-c", _PROBE], environ, Path(python).parent))


def parse_environment(text: str) -> Environment | None:
    """Return what the last line says, or None if that makes no sense."""
    try:
        said = json.loads(text.strip().splitlines()[-1])
        return Environment(
            python=str(said["python"]),
            scripts=str(said["scripts"]),
            versions={str(name): str(version) for name, version in said["versions"].items()},
            chosen=str(said.get("chosen", "")),
            chain=tuple((str(name), float(priority)) for name, priority in said.get("chain", ())),
            error=str(said.get("error", "")),
            file=str(said.get("file", "")),
            default=str(said.get("default", "")),
        )
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def ask_pip(python: str, environ: Mapping[str, str]) -> Mapping[str, str] | None:
    """Return pip's own settings from files and variables, by name without section; None if it cannot read them.

    What counts for ``pip install`` wins over what counts for all commands, and a variable over both, as in pip.
    """
    text = _ask([python, "-m", "pip", "config", "list"], environ, Path(python).parent, if_failed="!")
    if text == "!":
        return None
    settings: dict[str, str] = {}
    for section in ("global", "install", ":env:"):
        for line in text.splitlines():
            key, _, value = line.partition("=")
            if key.startswith(f"{section}."):
                settings[key.removeprefix(f"{section}.")] = value.strip("'\"")
    return settings


def ask_version(program: str, environ: Mapping[str, str]) -> str:
    """Return the version in what ``PROGRAM --version`` prints, or ""."""
    words = _ask([program, "--version"], environ, Path(program).parent).split()
    return next((word for word in words if word[0].isdigit()), "")


def _ask(words: list[str], environ: Mapping[str, str], folder: Path, *, if_failed: str = "") -> str:
    try:
        return run_program(words, environ, hint="", total_seconds=ASK_SECONDS, folder=folder)
    except (IdentityError, ValueError):
        return if_failed


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():  # a pipe would be read for ever
            return b""
        with path.open("rb") as file:
            return file.read(_MAX_SCRIPT_BYTES)
    except OSError:
        return b""
