"""``broker policy``: look at the settings before a broker does.

Nothing is opened but ``broker.toml``: no database, no keys, no network.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from indexpass.broker.commands.folder import folder_argument
from indexpass.broker.review import find_doubts
from indexpass.broker.settings import Settings
from indexpass.broker.settings import file as settings_file
from indexpass.broker.settings.table import Table

if TYPE_CHECKING:
    from pathlib import Path

    from indexpass.errors import ConfigError

_FAILED = 1


@click.group()
def policy() -> None:
    """Look at who may do what.

    \b
    Example:
      indexpass broker policy check ./broker
    """  # noqa: D301  # click wants the character itself


@policy.command()
@folder_argument
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--strict", is_flag=True, help="Fail on warnings too.")
def check(folder: Path, *, as_json: bool, strict: bool) -> None:
    """Check the broker.toml in FOLDER, and nothing else.

    Errors name file, line and key; a broker would not start with them. Warnings are about policies that never decide,
    issuers that no policy needs, patterns that match everything, and groups that nobody is in.

    \b
    Example:
      indexpass broker policy check ./broker --strict
    """  # noqa: D301  # click wants the character itself
    file = folder.absolute() / settings_file.FILE_NAME
    text = settings_file.read_text(file.parent)
    outcome = settings_file.examine(text, file=file)
    errors, warnings = ([], _warnings(outcome, file, text)) if isinstance(outcome, Settings) else (outcome, [])
    if as_json:
        click.echo(json.dumps({"file": str(file), "errors": _items(errors), "warnings": _items(warnings)}, indent=2))
    else:
        for level, found in (("error", errors), ("warning", warnings)):
            for each in found:
                click.echo(f"{level}: {each.message}\n  hint: {each.hint}")
        if isinstance(outcome, Settings) and not warnings:
            click.echo(_summary(outcome, file))
    if errors or (strict and warnings):
        sys.exit(_FAILED)


def _warnings(settings: Settings, file: Path, text: str) -> list[ConfigError]:
    return [
        Table(file, doubt.where, {}, (), text=text).wrong(doubt.key, doubt.problem, hint=doubt.hint)
        for doubt in find_doubts(settings)
    ]


def _items(found: list[ConfigError]) -> list[dict[str, str]]:
    return [{"message": each.message, "hint": each.hint} for each in found]


def _summary(settings: Settings, file: Path) -> str:
    counts = ", ".join(
        f"{len(found)} {name if len(found) == 1 else plural}"
        for found, name, plural in (
            (settings.indexes, "index", "indexes"),
            (settings.trusted_issuers, "trusted issuer", "trusted issuers"),
            (settings.policies, "policy", "policies"),
        )
    )
    return f"{file} is right: {counts}."
