"""The programs of the demonstration: virtual environments made by uv from the user's usual package index.

This is the set-up: the only part that needs the network, and the only part that takes the user's own settings for
uv, so that it works behind a mirror.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

from indexpass._demo.stage import StageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from indexpass._demo.stage import Stage

BIN = "Scripts" if sys.platform == "win32" else "bin"


class Programs(NamedTuple):
    """Folders of executables, one environment each, and the wheel that was built for them."""

    ours: Path
    pip_with_keyring: Path
    pip_alone: Path
    poetry: Path
    requirement: str  # what ``poetry self add`` is given: the wheel, or a name and version
    usual_index: str  # where pip on this machine finds public packages; "" if that URL holds a password


def prepare(stage: Stage) -> Programs:
    """Build the wheel and make the environments. Raises StageError with what uv said."""
    requirement = find_requirement(stage)
    environments = stage.folder / "environments"
    stage.say("  building environments for indexpass, pip and Poetry …")
    pip_alone = make_environment(environments / "pip-alone", ["pip"])
    return Programs(
        ours=make_environment(environments / "indexpass", [with_extra(requirement, "[broker]")]),
        pip_with_keyring=make_environment(
            environments / "pip-with-keyring", ["pip", "poetry-core>=2.0", with_extra(requirement, "")]
        ),
        pip_alone=pip_alone,
        poetry=make_environment(environments / "poetry", ["poetry>=2.0"]),
        requirement=requirement,
        usual_index=find_usual_index(pip_alone),
    )


def find_uv() -> str:
    """Return the path of the uv that the extra ``demo`` installs."""
    from uv import find_uv_bin  # noqa: PLC0415  # only the demonstration needs it

    return find_uv_bin()


def run_uv(*words: str | Path) -> None:
    """Run uv with the user's own environment. Raises StageError with what it said."""
    done = subprocess.run(  # noqa: S603  # the demonstration's own command
        [find_uv(), *(str(word) for word in words)],
        env={name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise StageError(
            f"uv {words[0]} failed:\n{done.stderr}",
            hint="check that a package index is reachable: uv pip install --dry-run poetry",
        )


def make_environment(folder: Path, requirements: Sequence[str]) -> Path:
    """Make a virtual environment with this Python, and return the folder of its executables. Raises StageError."""
    run_uv("venv", "--quiet", "--python", sys.executable, folder)
    # Compiled as pip does it, so that no first start is slower than it would be for a user.
    run_uv("pip", "install", "--quiet", "--compile-bytecode", "--python", folder, *requirements)
    return folder / BIN


def find_usual_index(pip: Path) -> str:
    """Return the index that pip uses on this machine: its help shows the default after files and variables.

    Poetry by itself asks the public index through an interface that mirrors do not have. Returns "" if the URL holds
    a password, which pip does not show.
    """
    words = [str(pip / "python"), "-m", "pip", "download", "--help"]
    help_text = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout  # noqa: S603
    found = re.search(r"--index-url <url>.*?\(default\s+(\S+)\)", help_text, re.DOTALL)
    return found[1] if found and "@" not in found[1] else ""


def find_requirement(stage: Stage) -> str:
    """Return a wheel of this very source tree where we run from one, else what was installed, by version."""
    source = _source_tree()
    if source is None:
        return f"indexpass=={importlib.metadata.version('indexpass')}"
    stage.say("  building the wheel …")
    run_uv("build", "--quiet", "--wheel", "--out-dir", stage.folder / "wheel", source)
    return str(next((stage.folder / "wheel").glob("*.whl")))


def _source_tree() -> Path | None:
    """Return the folder that an editable install points to (PEP 610), or None."""
    text = importlib.metadata.distribution("indexpass").read_text("direct_url.json")
    url = json.loads(text)["url"] if text else ""
    path = Path(url2pathname(urlsplit(url).path)) if url.startswith("file:") else None
    return path if path and (path / "pyproject.toml").is_file() else None


def with_extra(requirement: str, extra: str) -> str:
    """Return what pip is given for the requirement of :func:`find_requirement` with ``extra``, such as ``[broker]``."""
    if requirement.endswith(".whl"):
        return f"indexpass{extra} @ {Path(requirement).as_uri()}"
    return requirement.replace("indexpass", f"indexpass{extra}", 1)
