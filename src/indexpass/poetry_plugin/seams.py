"""Every name of Poetry that indexpass touches, and how the two private ones are changed.

===============================================  =======================================  ========================
name                                             used for                                 seen in Poetry
===============================================  =======================================  ========================
poetry.plugins.application_plugin                the plugin's base class (public)         2.0.1, 2.2.1, 2.5.1
  .ApplicationPlugin
cleo.events.console_events.COMMAND               the listener (in Poetry's plugin guide)  2.0.1, 2.2.1, 2.5.1
Application.event_dispatcher.add_listener        likewise                                 2.0.1, 2.2.1, 2.5.1
ConsoleCommandEvent.command.name, .io            likewise                                 2.0.1, 2.2.1, 2.5.1
IO.write_error_line                              the one line if a seam is missing        2.0.1, 2.2.1, 2.5.1
poetry.utils.authenticator                       sessions that read (private)             2.0.1, 2.2.1, 2.5.1
  .Authenticator.create_session
poetry.publishing.uploader.Uploader              the session that uploads (private)       2.0.1, 2.2.1, 2.5.1
  .make_session
===============================================  =======================================  ========================

This module imports nothing but the standard library, never signs anything itself, and never raises into Poetry.
"""

from __future__ import annotations

import functools
import sys
from importlib import import_module
from types import FunctionType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    # The protocols stand here because creating them would take half of the plugin's time in each run of Poetry.
    from collections.abc import Callable
    from typing import Protocol

    class EventDispatcher(Protocol):
        """What we use of ``cleo.events.event_dispatcher.EventDispatcher``."""

        def add_listener(self, event_name: str, listener: Callable[[CommandEvent, str, object], None]) -> None:
            """Call ``listener`` whenever the event is dispatched."""
            ...

    class Application(Protocol):
        """What we use of ``poetry.console.application.Application``."""

        @property
        def event_dispatcher(self) -> EventDispatcher:
            """Where listeners are registered."""
            ...

    class Command(Protocol):
        """What we use of ``cleo.commands.command.Command``."""

        name: str | None

    class Output(Protocol):
        """What we use of ``cleo.io.io.IO``."""

        def write_error_line(self, messages: str) -> None:
            """Write one line where Poetry writes its errors."""
            ...

    class CommandEvent(Protocol):
        """What we use of ``cleo.events.console_command_event.ConsoleCommandEvent``."""

        @property
        def command(self) -> Command:
            """The command that is about to run."""
            ...

        @property
        def io(self) -> Output:
            """Where the command writes."""
            ...


_MARK = "_indexpass_signs"


class Seam(NamedTuple):
    """A method of Poetry that creates a ``requests.Session``."""

    module: str
    owner: str
    method: str

    def __str__(self) -> str:
        """Write the method's full name."""
        return f"{self.module}.{self.owner}.{self.method}"


READING = Seam("poetry.utils.authenticator", "Authenticator", "create_session")
UPLOADING = Seam("poetry.publishing.uploader", "Uploader", "make_session")


def seams_for(command: str | None) -> tuple[Seam, ...]:
    """Return the seams that a command needs.

    Poetry's plugin manager itself imports the authenticator, so putting READING in place costs no import for any
    command, not even ``poetry version``. The uploader is imported by publishing alone and takes 4 to 7 ms, so only
    commands that publish by name pay for it; a command that uploads under another name is served by keyring.
    """
    return (READING, UPLOADING) if "publish" in (command or "") else (READING,)


def install(seam: Seam, sign: Callable[[object], None]) -> str | None:
    """Have every session that the seam creates go through ``sign``; do nothing if that is so already.

    Returns None, or one line for the user if this Poetry does not have the seam in the shape that is expected. Poetry
    is then left as it was, and what its keyring lookup finds still serves.
    """
    try:
        owner = getattr(import_module(seam.module), seam.owner)
        create = getattr(owner, seam.method)
    except (ImportError, AttributeError):
        return _complaint(seam)
    if hasattr(create, _MARK):
        return None
    if not _creates_session(create):
        return _complaint(seam)

    @functools.wraps(create)
    def create_signed(*args: object, **kwargs: object) -> object:
        session = create(*args, **kwargs)
        sign(session)
        return session

    setattr(create_signed, _MARK, True)
    setattr(owner, seam.method, create_signed)
    return None


def is_active() -> bool:
    """Does this process run a Poetry whose sessions are all signed here?

    True while every seam that Poetry has loaded is in place. The keyring backend, which may be asked in the same
    process, has nothing to add then; it must answer where a seam is missing.
    """
    loaded = [seam for seam in (READING, UPLOADING) if seam.module in sys.modules]
    return bool(loaded) and all(_is_installed(seam) for seam in loaded)


def _is_installed(seam: Seam) -> bool:
    owner = getattr(sys.modules[seam.module], seam.owner, None)
    return hasattr(getattr(owner, seam.method, None), _MARK)


def _creates_session(create: object) -> bool:
    # Another plugin may have wrapped the method without keeping the annotation: only a different promise refuses it.
    promised = create.__annotations__.get("return") if isinstance(create, FunctionType) else "nothing"
    return promised in {None, "requests.Session"}


def _complaint(seam: Seam) -> str:
    return (
        f"indexpass: this version of Poetry has no usable {seam}, so requests are not signed by the plugin; "
        "update indexpass, and until then leave Poetry's keyring enabled"
    )
