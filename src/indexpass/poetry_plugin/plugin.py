"""What Poetry loads: one listener that puts the seams in place before a command runs.

Activation registers the listener and does nothing else. No file is read, nothing is asked, and neither the signing
nor the rest of indexpass is imported before Poetry creates its first session. This module never reads a URL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cleo.events.console_events import COMMAND  # type: ignore[import-not-found]  # there where Poetry is
from poetry.plugins.application_plugin import ApplicationPlugin  # type: ignore[import-untyped]  # poetry-core has the rest

from indexpass.poetry_plugin import seams

if TYPE_CHECKING:
    from indexpass.poetry_plugin.seams import Application, CommandEvent


class IndexpassPlugin(ApplicationPlugin):  # type: ignore[misc]  # untyped where there is no Poetry
    """Signs Poetry's requests to private indexes, for reading and for ``poetry publish``."""

    def __init__(self) -> None:
        """Start with nothing said to the user."""
        self._said: set[str] = set()

    def activate(self, application: Application) -> None:
        """Ask Poetry to be told before each command."""
        application.event_dispatcher.add_listener(COMMAND, self._prepare_command)

    def _prepare_command(self, event: CommandEvent, _name: str, _dispatcher: object) -> None:
        """Put in place the seams that the command needs; say once what cannot be put in place."""
        for seam in seams.seams_for(event.command.name):
            complaint = seams.install(seam, _sign_session)
            # One command may call another, and each is announced.
            if complaint and complaint not in self._said:
                self._said.add(complaint)
                event.io.write_error_line(complaint)


def _sign_session(session: object) -> None:
    from indexpass.poetry_plugin.signing import sign_session

    sign_session(session)
