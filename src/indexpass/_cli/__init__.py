"""Front door 3: the ``indexpass`` command. One module a command, loaded when it is asked for.

Results go to stdout, words for people to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a sign-in is needed.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from indexpass.errors import IndexpassError, SessionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from click.shell_completion import CompletionItem

_COMMANDS = {
    "add": "indexpass._cli.add:add",
    "broker": "indexpass.broker.commands:broker",
    "completion": "indexpass._cli.completion:completion",
    "demo": "indexpass._cli.demo:demo",
    "doctor": "indexpass._cli.doctor:doctor",
    "exec": "indexpass._cli.exec:exec_",
    "explain": "indexpass._cli.explain:explain",
    "helper": "indexpass._cli.helper:helper",
    "login": "indexpass._cli.login:login",
    "logout": "indexpass._cli.login:logout",
    "scan": "indexpass._cli.scan:scan",
    "setup": "indexpass._cli.setup:setup",
    "status": "indexpass._cli.status:status",
    "token": "indexpass._cli.token:token",
}
_EXTRAS = {"demo": "demo"}  # those of the broker say so themselves
EXIT_FAILED = 1
EXIT_SIGN_IN_NEEDED = 3


class _Commands(click.Group):
    """The table above as a click group that imports a command only when it runs or shows its help."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name].partition(":")
        try:
            command = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            if cmd_name not in _EXTRAS or (error.name or "").startswith("indexpass"):
                raise
            return _missing_extra(cmd_name, ctx)
        return command if isinstance(command, click.Command) else None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a command without loading any: click would load all of them for their help."""
        from click.shell_completion import CompletionItem  # for shells alone

        names = [CompletionItem(name) for name in self.list_commands(ctx) if name.startswith(incomplete)]
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
        short_help=f"Needs pip install 'indexpass[{extra}]'.",
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
