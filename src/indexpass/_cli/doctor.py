"""``indexpass doctor``: what keeps private installs on this machine from working, one line to mend each."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexpass._cli.selection import chosen, complete_index
from indexpass._table import terminal_width
from indexpass._waiting import waiting

if TYPE_CHECKING:
    from indexpass._doctor.findings import Finding


@click.command(
    epilog="Examples:\n\n\b\n  indexpass doctor\n  indexpass doctor https://packages.example.com/simple/\n"
    "  indexpass doctor --json"
)
@click.argument("index", required=False, metavar="[INDEX]", shell_complete=complete_index)
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects instead of a table.")
def doctor(index: str | None, *, as_json: bool) -> None:
    """Find out what keeps pip, uv, Poetry and the others on this machine from private packages.

    With INDEX (a name or URL), only what concerns it, and whether it takes the credential that is held. Nothing is
    changed, and no secret is shown. Ends with 1 if there is a fault, with 3 if only a sign-in is missing.
    """
    from indexpass._doctor.findings import exit_code, render

    with waiting("looking at clients and servers"):
        findings = _examine(index)
    if as_json:
        click.echo(json.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        for line in render(findings, terminal_width()):
            click.echo(line)
    sys.exit(exit_code(findings))


def _examine(wanted: str | None) -> list[Finding]:
    from indexpass._doctor.clients import judge_clients
    from indexpass._doctor.general import examine_all, examine_one, read_configuration
    from indexpass._doctor.programs import look

    if wanted is not None:
        index = chosen(wanted)
        return examine_one(index, os.environ) + list(judge_clients(look([index], os.environ, Path.cwd())))
    configuration = read_configuration(os.environ)
    machine = look(configuration.indexes, os.environ, Path.cwd())
    indexes = {str(index.url): index for index in (*configuration.indexes, *machine.named)}
    return examine_all(configuration, [*indexes.values()], os.environ) + list(judge_clients(machine))
