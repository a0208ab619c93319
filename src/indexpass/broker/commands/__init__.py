"""The commands of whoever runs a broker. One module a command or a group of them, loaded when it is asked for.

No password, key or token is ever printed, or taken from the command line, but what a command exists to hand over once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import click

from indexpass.errors import IndexpassError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_COMMANDS = {
    "audit": "indexpass.broker.commands.audit:audit",
    "database": "indexpass.broker.commands.database:database",
    "init": "indexpass.broker.commands.running:init",
    "explain": "indexpass.broker.commands.explain:explain",
    "policy": "indexpass.broker.commands.policy:policy",
    "keys": "indexpass.broker.commands.keys:keys",
    "resource-server": "indexpass.broker.commands.resource_server:resource_server",
    "serve": "indexpass.broker.commands.running:serve_command",
    "snippet": "indexpass.broker.commands.snippet:snippet",
    "usage": "indexpass.broker.commands.usage:usage",
    "user": "indexpass.broker.commands.user:user",
}


class _Commands(click.Group):
    """The table above as a click group that imports a command only when it runs or shows its help."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # likewise
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name].partition(":")
        try:
            command = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("indexpass"):
                raise
            raise IndexpassError(
                f"'indexpass broker {cmd_name}' needs packages that are not installed",
                hint="pip install 'indexpass[broker]'",
            ) from error
        return command if isinstance(command, click.Command) else None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a command without loading any: click would load all of them for their help."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415  # for shells alone

        names = [CompletionItem(name) for name in self.list_commands(ctx) if name.startswith(incomplete)]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]


@click.group(cls=_Commands)
def broker() -> None:
    """Run a broker: it trades sign-ins and identity tokens for tokens of your indexes.

    FOLDER holds all that a broker has: settings, keys and database. It is $INDEXPASS_BROKER_HOME where that is set,
    and a folder of your user's data otherwise.

    \b
    Example:
      indexpass broker init ./broker --issuer http://127.0.0.1:8765 --index-name acme
      indexpass broker user add alice ./broker
      indexpass broker serve ./broker --packages ./packages
    """  # noqa: D301  # click wants the character itself
