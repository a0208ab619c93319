"""Poetry with and without the plugin, in commands that ask nobody: what the plugin adds to a run.

Two looks at the same: inside one interpreter, from the entry point to the command, and as the difference of whole runs
that take turns. Those are a hundred times as long, so on a busy machine they say little; of them the processor's time
is taken, which a neighbour changes less than the clock's.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, NamedTuple

from environments import INDEX_URL, environ
from measure import HERE, PROCESS_SECONDS, Case, Round, run_rounds
from rows import Row, difference_row, time_row

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from environments import Environments, PoetryPair

ALONE, OURS = "poetry", "poetry with indexpass"
COMMANDS = ("version", "check")
MAX_ADDED_MS = 5
_PYPROJECT = f"""\
[project]
name = "app"
version = "1.0"
description = "A project with a private source"
authors = [{{ name = "A Person" }}]
requires-python = ">=3.10"

[tool.poetry]
package-mode = false

[[tool.poetry.source]]
name = "acme"
url = "{INDEX_URL}"
"""


class PoetryCosts(NamedTuple):
    """What was measured: seconds inside of new interpreters, and the rounds of whole runs."""

    inside: list[float]
    rounds: list[Round]


def measure_poetry(  # noqa: PLR0913  # how much of each, by keyword
    folder: Path, environments: Environments, pair: PoetryPair, *, interpreters: int, rounds: int, seconds: float
) -> PoetryCosts:
    """Measure both in a project whose source is ours and is configured."""
    project = folder / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text(_PYPROJECT)
    seen = environ(environments.home)
    programs = {ALONE: pair.alone / "poetry", OURS: pair.ours / "poetry"}
    cases = [
        Case(who, command, [program, "--no-interaction", "--project", project, command], seen, status=0)
        for who, program in programs.items()
        for command in COMMANDS
    ]
    inside = [_ask_inside(pair, seen) for _ in range(1 + interpreters)][1:]  # the first one warms up
    return PoetryCosts(inside, run_rounds(cases, rounds=rounds, seconds=seconds))


def judge(costs: PoetryCosts) -> list[Row]:
    """Set what the plugin adds against its bound."""
    return [
        time_row("plugin in Poetry, to the command", MAX_ADDED_MS, costs.inside),
        *(
            difference_row(
                f"poetry {command}, what we add",
                MAX_ADDED_MS,
                [each[OURS, command].cpu - each[ALONE, command].cpu for each in costs.rounds],
            )
            for command in COMMANDS
        ),
    ]


def _ask_inside(pair: PoetryPair, seen: Mapping[str, str]) -> float:
    command = [pair.ours / "python", "-I", HERE / "poetry_fresh.py"]
    done = subprocess.run(command, env=seen, check=True, stdout=subprocess.PIPE, timeout=PROCESS_SECONDS)
    return float(done.stdout)
