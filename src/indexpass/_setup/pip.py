"""pip: ``keyring-provider`` in the user's own pip.conf, because ``auto`` asks nobody with ``--no-input``.

``subprocess`` serves every environment at once, by the ``keyring`` on PATH, but asks for a URL without a user name from
pip 26.2 on only; ``import`` serves the environments that indexpass is installed in.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from indexpass._setup import ini, programs
from indexpass._setup.plan import Plan, plan_edit
from indexpass.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass._setup.plan import Situation

FIRST_BY_COMMAND = (26, 2)  # the first that runs keyring without a user name in the URL
_KEYRING = "uv tool install keyring --with indexpass"


def plan(situation: Situation) -> Plan:
    """Return the line for the user's own file. Raises ConfigError if pip is told to read no such file."""
    provider, steps = _choose(situation.environ)
    path = _own_file(situation)
    named = situation.environ.get("PIP_KEYRING_PROVIDER")
    if named and named != provider:
        steps = (*steps, f"PIP_KEYRING_PROVIDER is set to {named}, which wins: unset PIP_KEYRING_PROVIDER")
    changes = plan_edit(
        path,
        lambda text: ini.put(text, "global", "keyring-provider", provider, normalize=ini.name_of_pip),
        why="lets pip ask keyring, with --no-input too",
    )
    return Plan(changes, steps)


def _choose(environ: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """Return the provider to set, and what a person has to do for it."""
    pip = next((found for name in ("pip", "pip3") if (found := programs.find(name, environ))), None)
    version = programs.find_version(pip, environ) if pip else FIRST_BY_COMMAND
    keyring = programs.find("keyring", environ)
    is_beside_pip = bool(pip and keyring and pip.parent == keyring.parent)  # pip skips that one
    if version and version < FIRST_BY_COMMAND:
        said = ".".join(str(part) for part in version)
        return "import", (
            f"pip {said} cannot ask the keyring command: pip install indexpass, in each environment that has pip",
        )
    if keyring and not is_beside_pip:
        return "subprocess", ()
    if is_beside_pip:
        return "import", ()
    return "subprocess", (f"there is no keyring on PATH yet: {_KEYRING}",)


def _own_file(situation: Situation) -> Path:
    """Return the file that pip reads; on macOS it goes by which folder is there, as pip does."""
    named = situation.environ.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        raise ConfigError(
            f"PIP_CONFIG_FILE is {os.devnull}, so pip reads no settings of yours", hint="unset PIP_CONFIG_FILE"
        )
    if named and Path(named).exists():
        return Path(named)
    own = [file.path for file in situation.files("pip") if file.scope == "user"]
    if situation.platform == "darwin":
        return own[0] if own[0].parent.is_dir() else own[1]
    return own[0]
