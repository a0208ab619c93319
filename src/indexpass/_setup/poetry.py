"""Poetry: needs its plugin, and nothing in any file. Poetry's own command installs it: a person runs that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexpass._setup import programs
from indexpass._setup.plan import Plan
from indexpass.errors import ConfigError

if TYPE_CHECKING:
    from indexpass._setup.plan import Situation

OLDEST = (1, 8, 5)  # what the plugin is tested with


def plan(situation: Situation) -> Plan:
    """Return the command that installs the plugin, unless it is there. Raises ConfigError if Poetry is too old."""
    program = programs.find("poetry", situation.environ)
    if program is None:
        return Plan(steps=("there is no poetry on PATH; once there is: poetry self add indexpass",))
    version = programs.find_version(program, situation.environ)
    if version and version < OLDEST:
        raise ConfigError(
            f"Poetry {'.'.join(str(part) for part in version)} is older than the plugin knows",
            hint="poetry self update",
        )
    installed = programs.ask(program, "self", "show", "plugins", "--no-ansi", environ=situation.environ) or ""
    if any("indexpass" in line.split() for line in installed.splitlines()):
        return Plan()
    return Plan(steps=("install the plugin into Poetry's environment: poetry self add indexpass",))
