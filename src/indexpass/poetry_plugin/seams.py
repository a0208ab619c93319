"""Every name of Poetry that indexpass touches, and how the private ones are changed.

===============================================  =======================================  ========================
name                                             used for                                 seen in Poetry
===============================================  =======================================  ========================
poetry.plugins.application_plugin                the plugin's base class (public)         2.0.1, 2.2.1, 2.5.1
  .ApplicationPlugin
cleo.events.console_events.COMMAND               the listener (in Poetry's plugin guide)  2.0.1, 2.2.1, 2.5.1
Application.event_dispatcher.add_listener        likewise                                 2.0.1, 2.2.1, 2.5.1
Application.command_loader                       ``poetry indexpass`` (likewise)          2.0.1, 2.5.1
  .register_factory
ConsoleCommandEvent.command.name, .io            the listener                             2.0.1, 2.2.1, 2.5.1
IO.write_error_line                              the one line if a seam is missing        2.0.1, 2.2.1, 2.5.1
poetry.console.commands.command.Command          ``poetry indexpass`` (public)            2.0.1, 2.5.1
  .poetry, .handle, .argument, .option
cleo.helpers.argument, .option                   likewise (public)                        2.0.1, 2.5.1
Poetry.get_sources, .file, .config               ``poetry indexpass doctor`` (public)     2.0.1, 2.5.1
poetry.__version__.__version__                   likewise                                 2.0.1, 2.5.1
poetry.config.config.Config.create, .get         likewise                                 2.0.1, 2.5.1
poetry.locations.CONFIG_DIR                      likewise, and secrets in Poetry's files  2.0.1, 2.5.1
poetry.utils.authenticator                       sessions that read (private)             2.0.1, 2.2.1, 2.5.1
  .Authenticator.create_session
poetry.publishing.uploader.Uploader              the session that uploads (private)       2.0.1, 2.2.1, 2.5.1
  .make_session
poetry.utils.authenticator.Authenticator         says that git comes next (private)       2.0.1, 2.5.1
  .get_credentials_for_git_url
dulwich.client.Urllib3HttpGitClient              what git sends (private)                 2.0.1, 2.5.1
  ._http_request, ._username, .pool_manager
dulwich.client.HTTPUnauthorized                  a refusal of what git sent (public)      2.0.1, 2.5.1
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
    from collections.abc import Callable, Mapping
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

        @property
        def command_loader(self) -> CommandLoader:
            """Where commands are registered."""
            ...

    class CommandLoader(Protocol):
        """What we use of ``poetry.console.command_loader.CommandLoader``."""

        def register_factory(self, command_name: str, factory: Callable[[], object]) -> None:
            """Have ``factory`` called when the command is asked for; refuses a name that is taken."""
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
    """A method that is called through us; ``promised`` is what it says it returns, "" if that is not looked at."""

    module: str
    owner: str
    method: str
    promised: str = ""

    def __str__(self) -> str:
        """Write the method's full name."""
        return f"{self.module}.{self.owner}.{self.method}"


READING = Seam("poetry.utils.authenticator", "Authenticator", "create_session", "requests.Session")
UPLOADING = Seam("poetry.publishing.uploader", "Uploader", "make_session", "requests.Session")
ASKING_FOR_GIT = Seam(
    "poetry.utils.authenticator", "Authenticator", "get_credentials_for_git_url", "HTTPAuthCredential"
)
SENDING_GIT = Seam("dulwich.client", "Urllib3HttpGitClient", "_http_request")
SEAMS = (READING, UPLOADING, ASKING_FOR_GIT, SENDING_GIT)


def seams_for(command: str | None) -> tuple[Seam, ...]:
    """Return the seams that have to be in place before a command runs.

    Poetry's plugin manager itself imports the authenticator, so its seams cost no import for any command, not even
    ``poetry version``. The uploader is imported by publishing alone and takes 4 to 7 ms, so only commands that publish
    by name pay for it; a command that uploads under another name is served by keyring. SENDING_GIT is put in place
    when Poetry asks for a repository's credentials, because few projects need git.
    """
    always = (READING, ASKING_FOR_GIT)
    return (*always, UPLOADING) if "publish" in (command or "") else always


def install(seam: Seam, around: Callable[..., object]) -> str | None:
    """Have the seam called as ``around(original, *its_arguments)``; do nothing if that is so already.

    Returns None, or one line for the user if this Poetry does not have the seam in the shape that is expected. Poetry
    is then left as it was, and what its keyring lookup finds still serves.
    """
    original = _load(seam)
    if original is None:
        return _complaint(seam)
    if hasattr(original, _MARK):
        return None

    @functools.wraps(original)
    def through_us(*args: object, **kwargs: object) -> object:
        return around(original, *args, **kwargs)

    setattr(through_us, _MARK, True)
    setattr(getattr(sys.modules[seam.module], seam.owner), seam.method, through_us)
    return None


def add_commands(application: Application, commands: Mapping[str, Callable[[], object]]) -> str | None:
    """Have Poetry know these commands, by functions that load them when they are asked for.

    Returns None, or one line for the user if this Poetry takes none.
    """
    try:
        register = application.command_loader.register_factory
    except AttributeError:
        return "indexpass: this version of Poetry has no usable command_loader; run indexpass and not poetry indexpass"
    for name, load in commands.items():
        register(name, load)
    return None


def examine(seam: Seam) -> str | None:
    """Return None if the seam could be put in place, or the line that :func:`install` would return. Changes nothing."""
    return None if _load(seam) else _complaint(seam)


def is_active() -> bool:
    """Does this process run a Poetry whose requests are all signed here?

    True while every seam that Poetry has loaded is in place. The keyring backend, which may be asked in the same
    process, has nothing to add then; it must answer where a seam is missing.
    """
    loaded = [seam for seam in (READING, UPLOADING, ASKING_FOR_GIT) if seam.module in sys.modules]
    return bool(loaded) and all(hasattr(_find(seam), _MARK) for seam in loaded) and _may_send_git()


def _may_send_git() -> bool:
    # dulwich may be loaded long before git is asked for, so it is enough that the seam is there.
    return SENDING_GIT.module not in sys.modules or _find(SENDING_GIT) is not None


def _load(seam: Seam) -> FunctionType | None:
    """Import what the seam is in; return the method, or None if it is not there in the shape that is expected."""
    try:
        original = getattr(getattr(import_module(seam.module), seam.owner), seam.method)
    except (ImportError, AttributeError):
        return None
    return original if isinstance(original, FunctionType) and _keeps_promise(original, seam) else None


def _find(seam: Seam) -> object:
    return getattr(getattr(sys.modules[seam.module], seam.owner, None), seam.method, None)


def _keeps_promise(original: FunctionType, seam: Seam) -> bool:
    # Another plugin may have wrapped the method without keeping the annotation: only a different promise refuses it.
    return not seam.promised or original.__annotations__.get("return") in {None, seam.promised}


def _complaint(seam: Seam) -> str:
    return (
        f"indexpass: this version of Poetry has no usable {seam}, so requests are not signed by the plugin; "
        "update indexpass, and until then leave Poetry's keyring enabled"
    )
