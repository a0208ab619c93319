"""The examples in every command's help: each is a command line that the command itself takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from indexpass._cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator

POETRY_COMMANDS = Path(__file__).parents[2] / "src/indexpass/poetry_plugin/commands.py"
SHELL = re.compile(r"^\s*(?:[A-Z_]+=\S+ )*(indexpass(?: .*?)?)(?:\s+#.*)?$")  # variables before, a comment behind


def walk(command: click.Command = main, path: tuple[str, ...] = ("indexpass",)) -> Iterator[tuple[str, click.Command]]:
    yield " ".join(path), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from walk(child, (*path, name))


HELP = {path: command.get_help(click.Context(command, info_name=path)) for path, command in walk()}


def examples(text: str) -> Iterator[str]:
    """Yield the command lines in a help text: a line that ends with a backslash goes on in the next one."""
    _, _, below = text.partition("xample")
    for line in below.replace("\\\n", " ").splitlines():
        found = SHELL.match(line)
        if found:
            yield re.split(r"\s[|>&;]+\s?", found[1])[0].strip()


EXAMPLES = sorted({line for text in HELP.values() for line in examples(text)})
IN_POETRY = re.findall(r"<info>poetry (indexpass .*?)</info>", POETRY_COMMANDS.read_text(encoding="utf-8"))


def parse(line: str) -> list[str]:
    """Let click read the line as if it were typed, without running anything; return the names of the commands."""
    words = shlex.split(line)[1:]
    context, command, names = click.Context(main, info_name="indexpass"), main, list[str]()
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, found, words = command.resolve_command(context, words)
        assert name is not None
        assert found is not None
        names.append(name)
        context, command = click.Context(found, parent=context, info_name=name), found  # type: ignore[assignment]
    try:
        command.parse_args(context, words)
    except click.BadParameter as error:
        is_of_a_file = isinstance(error.param.type if error.param else None, click.Path | click.File)
        if isinstance(error, click.MissingParameter) or not is_of_a_file:  # the files of an example need not exist
            raise
    return names


@pytest.mark.parametrize("path", HELP)
def test_the_help_of_every_command_has_an_example(path: str) -> None:
    assert re.search("(?m)^ *Examples?:", HELP[path]) or "Start with:" in HELP[path]


@pytest.mark.parametrize("line", [*EXAMPLES, *(line for line in IN_POETRY if "doctor" not in line)])
def test_every_example_is_a_command_line_that_its_command_takes(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse(line)


@pytest.mark.parametrize("line", ["indexpass frobnicate", "indexpass status --frobnicate", "indexpass login one two"])
def test_an_example_that_is_wrong_would_be_found(line: str) -> None:
    with pytest.raises(click.UsageError):
        parse(line)
