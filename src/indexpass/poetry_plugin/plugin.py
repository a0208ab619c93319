"""What Poetry loads: a listener that puts the seams in place before a command runs, and the names of our commands.

Activation registers both and does nothing else. No file is read, nothing is asked, and neither the signing nor the
rest of indexpass is imported before Poetry creates its first session. This module never reads a URL.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any

from cleo.events.console_events import COMMAND  # type: ignore[import-not-found]  # there where Poetry is
from poetry.plugins.application_plugin import ApplicationPlugin  # type: ignore[import-untyped]  # poetry-core has the rest

from indexpass.poetry_plugin import seams

if TYPE_CHECKING:
    from collections.abc import Callable

    from indexpass.poetry_plugin.seams import Application, Command, CommandEvent, Output, Seam

_COMMANDS = ("add", "doctor", "login", "logout", "status")


class IndexpassPlugin(ApplicationPlugin):  # type: ignore[misc]  # untyped where there is no Poetry
    """Signs Poetry's requests to private indexes: for reading, for git, and for ``poetry publish``."""

    def __init__(self) -> None:
        """Start with nothing said to the user."""
        self._complaint: str | None = None
        self._said: set[str] = set()

    def activate(self, application: Application) -> None:
        """Ask Poetry to be told before each command, and name our own commands."""
        application.event_dispatcher.add_listener(COMMAND, self._prepare_command)
        self._complaint = seams.add_commands(
            application, {f"indexpass {name}": partial(_load_command, name) for name in _COMMANDS}
        )

    def _prepare_command(self, event: CommandEvent, _name: str, _dispatcher: object) -> None:
        """Put in place the seams that the command needs."""
        self._say(self._complaint, event.io)
        command = event.command
        create_signed = partial(_create_signed, cache(partial(_warn, command)))
        around: dict[Seam, Callable[..., object]] = {
            seams.ASKING_FOR_GIT: partial(self._prepare_git, event.io),
            seams.ASKING_KEYRING: partial(_ask_keyring, cache(partial(_may_ask_keyring, command))),
        }
        for seam in seams.seams_for(command.name):
            self._install(seam, around.get(seam, create_signed), event.io)

    def _prepare_git(self, output: Output, find: Callable[..., object], *args: object, **kwargs: object) -> object:
        """Have what git sends signed from now on. What Poetry finds for the repository is used as before, and wins."""
        self._install(seams.SENDING_GIT, _send_git, output)
        return find(*args, **kwargs)

    def _install(self, seam: Seam, around: Callable[..., object], output: Output) -> None:
        """Put a seam in place, or say that this cannot be done."""
        self._say(seams.install(seam, around), output)

    def _say(self, complaint: str | None, output: Output) -> None:
        """Write a complaint once, if there is one."""
        # One command may call another, and each is announced.
        if complaint and complaint not in self._said:
            self._said.add(complaint)
            output.write_error_line(complaint)


def _create_signed(warn: Callable[[], None], create: Callable[..., object], *args: object, **kwargs: object) -> object:
    from indexpass.poetry_plugin.signing import sign_session

    session = create(*args, **kwargs)
    sign_session(session, warn=warn)
    return session


def _warn(command: Command) -> None:
    from indexpass.poetry_plugin.secrets_in_files import warn_of_project

    warn_of_project(command)


def _ask_keyring(may_ask: Callable[[], bool], is_available: Callable[[], bool]) -> bool:
    return may_ask() and is_available()


def _may_ask_keyring(command: Command) -> bool:
    from indexpass.poetry_plugin.locked_keyring import may_ask

    # Where a seam is missing, it is our own keyring backend that Poetry would not ask.
    return not seams.is_active() or may_ask(command)


def _send_git(send: Callable[..., object], *args: Any, **kwargs: Any) -> object:  # noqa: ANN401  # passed on
    from indexpass.poetry_plugin.git_signing import send_signed

    return send_signed(send, *args, **kwargs)


def _load_command(name: str) -> object:
    from indexpass.poetry_plugin.commands import load_command

    return load_command(name)
