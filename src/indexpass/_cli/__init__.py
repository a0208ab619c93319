"""Front door 3: the ``indexpass`` command. One module a command, loaded when it is asked for.

Results go to stdout, words for people to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a sign-in is needed.
"""

from __future__ import annotations

import sys
from importlib import import_module

import click

from indexpass.errors import IndexpassError, SessionError

_COMMANDS = {
    "add": "indexpass._cli.add:add",
    "broker": "indexpass.broker.commands:broker",
    "demo": "indexpass._cli.demo:demo",
    "login": "indexpass._cli.login:login",
    "logout": "indexpass._cli.login:logout",
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

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except IndexpassError as error:
            click.secho(f"error: {error.message}", fg="red", err=True)
            if error.hint:
                click.echo(f"hint:  {error.hint}", err=True)
            sys.exit(EXIT_SIGN_IN_NEEDED if error.code == SessionError.code else EXIT_FAILED)


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
