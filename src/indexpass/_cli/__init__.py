"""Front door 3: the ``indexpass`` command. One module a command, loaded when it is asked for.

Results go to stdout, words for people to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a sign-in is needed.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from indexpass.errors import IndexpassError, SessionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from click.shell_completion import CompletionItem


class _Row(NamedTuple):
    """Where a command is, and its line in the list of all, which has to fit on one of 80 columns."""

    place: str
    summary: str


_COMMANDS = {
    "add": _Row("indexpass._cli.add:add", "Configure an index, after a look at who its broker is."),
    "broker": _Row("indexpass.broker.commands:broker", "Run a broker: it trades identity for tokens of your indexes."),
    "completion": _Row("indexpass._cli.completion:completion", "Print what completes indexpass in bash, zsh and fish."),
    "demo": _Row("indexpass._cli.demo:demo", "See a broker, pip, uv and Poetry work together, once."),
    "doctor": _Row("indexpass._cli.doctor:doctor", "Find what keeps pip, uv, Poetry and others from your packages."),
    "exec": _Row("indexpass._cli.exec:exec_", "Run a command with credentials, where keyring cannot reach."),
    "explain": _Row("indexpass._cli.explain:explain", "Say step by step what clients get for a URL, and why."),
    "helper": _Row("indexpass._cli.helper:helper", "Answer git, Bazel and Docker in their own protocols."),
    "login": _Row("indexpass._cli.login:login", "Sign in at the broker of an index."),
    "logout": _Row("indexpass._cli.login:logout", "Sign out at the broker of an index."),
    "scan": _Row("indexpass._cli.scan:scan", "Find secrets of package indexes in files, and remove them."),
    "setup": _Row("indexpass._cli.setup:setup", "Let pip, uv, Poetry and others ask keyring."),
    "status": _Row("indexpass._cli.status:status", "Show your indexes, who you are there, and what is held."),
    "token": _Row("indexpass._cli.token:token", "Print one credential, for scripts that no helper reaches."),
}
_EXTRAS = {"demo": "demo"}  # those of the broker say so themselves
EXIT_FAILED = 1
EXIT_SIGN_IN_NEEDED = 3


class _Commands(click.Group):
    """The table above as a click group that imports a command only when it runs or shows its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name].place.partition(":")
        try:
            command = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            if cmd_name not in _EXTRAS or (error.name or "").startswith("indexpass"):
                raise
            return _missing_extra(cmd_name, ctx)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without loading any: click would load all of them, and cut their sentences."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name].summary) for name in self.list_commands(ctx)])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a command without loading any: click would load all of them for their help."""
        from click.shell_completion import CompletionItem  # for shells alone

        names = [
            CompletionItem(name, help=_COMMANDS[name].summary)
            for name in self.list_commands(ctx)
            if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def main(self, *args: Any, **extra: Any) -> Any:  # noqa: ANN401  # click's signature
        try:
            return super().main(*args, **extra)
        except IndexpassError:  # a shell completes a command whose packages are missing; whoever runs it is told
            sys.exit(EXIT_FAILED)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:  # noqa: ANN401  # click's signature
        return super().make_context(*args, **{"color": _chosen_colour(os.environ), **extra})

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except IndexpassError as error:
            click.secho(f"error: {error.message}", fg="red", err=True)
            if error.hint:
                click.echo(f"hint:  {error.hint}", err=True)
            sys.exit(EXIT_SIGN_IN_NEEDED if error.code == SessionError.code else EXIT_FAILED)


def _chosen_colour(environ: Mapping[str, str]) -> bool | None:
    """Say whether every command may colour what it writes; None leaves it to whether that is a terminal.

    NO_COLOR (no-color.org) goes before FORCE_COLOR (force-color.org); each counts only if it is not empty.
    """
    if environ.get("NO_COLOR") or (environ.get("TERM") == "dumb" and not environ.get("FORCE_COLOR")):
        return False
    return True if environ.get("FORCE_COLOR") else None


def _missing_extra(name: str, ctx: click.Context) -> click.Command:
    extra = _EXTRAS[name]

    @click.command(
        name,
        context_settings={"ignore_unknown_options": True, "help_option_names": []},
    )
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def explain(arguments: tuple[str, ...]) -> None:  # noqa: ARG001  # whatever was asked, the answer is the same
        raise IndexpassError(
            f"'{ctx.info_name} {name}' needs packages that are not installed",
            hint=f"pip install 'indexpass[{extra}]'",
        )

    return explain


@click.group(
    "indexpass",
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: indexpass add https://packages.example.com/simple/",
)
@click.version_option(package_name="indexpass", message="indexpass %(version)s")
def main() -> None:
    """Short-lived credentials for private Python package indexes, for pip, Poetry, uv and their neighbours."""
