"""Every name of Poetry that indexpass touches, and how the private ones are changed.

=============================================  ==============================================================
name                                           used for
=============================================  ==============================================================
poetry.plugins.application_plugin              the plugin's base class (public)
  .ApplicationPlugin
cleo.events.console_events.COMMAND             the listener (in Poetry's plugin guide)
poetry.console.application.Application         the listener, and ``poetry indexpass`` (likewise)
  .event_dispatcher, .command_loader
cleo.events.event_dispatcher.EventDispatcher   the listener (likewise)
  .add_listener
poetry.console.command_loader.CommandLoader    ``poetry indexpass`` (likewise)
  .register_factory
cleo.events.console_command_event              the listener (likewise)
  .ConsoleCommandEvent.command, .io
cleo.io.io.IO.write_error_line                 the one line if a seam is missing (public)
poetry.console.commands.command.Command        ``poetry indexpass``, and which command runs (public);
  .name, .poetry, .handle, .argument, .option  ``--repository`` of ``publish``
cleo.helpers.argument, .option                 ``poetry indexpass`` (public)
poetry.poetry.Poetry                           ``poetry indexpass doctor``, secrets in files, whether keyring
  .get_sources, .file, .config                 is asked (public)
poetry.__version__.__version__                 ``poetry indexpass doctor`` (public)
poetry.config.config.Config.create, .get       likewise; ``http-basic`` and ``repositories`` also for whether
                                               keyring is asked
poetry.locations.CONFIG_DIR                    likewise, and secrets in Poetry's files
poetry.utils.authenticator.Authenticator       sessions that read (private)
  .create_session
poetry.publishing.uploader.Uploader            the session that uploads (private)
  .make_session
poetry.utils.authenticator.Authenticator       says that git comes next (private)
  .get_credentials_for_git_url
poetry.utils.password_manager.PoetryKeyring    whether keyring is asked (private)
  .is_available
dulwich.client.Urllib3HttpGitClient            what git sends (private)
  ._http_request, ._username, .pool_manager
dulwich.client.HTTPUnauthorized                a refusal of what git sent (public)
  .www_authenticate
dulwich.client.GitProtocolError                likewise, by the status in its text
=============================================  ==============================================================

Every Poetry from 2.0 to 2.5 has all of them: ``nox -s poetry`` looks for each name of this table.

This module imports nothing but the standard library, never signs anything itself, and never raises into Poetry.
"""

from __future__ import annotations

import functools
import sys
from importlib import import_module
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    # The protocols stand here because creating them would take half of the plugin's time in each run of Poetry.
    from collections.abc import Callable, Mapping
    from typing import Any, Protocol

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
        """What we use of ``poetry.console.commands.command.Command``; plugins bring others, which have but a name."""

        name: str | None

        @property
        def poetry(self) -> Any:  # noqa: ANN401  # untyped where there is no Poetry
            """The project, or RuntimeError if there is none."""
            ...

        def option(self, name: str) -> object:
            """Return what was given for an option that the command has."""
            ...

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
_UNSIGNED = "so requests are not signed by the plugin; update indexpass, and until then leave Poetry's keyring enabled"
_ASKED = (
    "so a locked desktop keyring may ask to be opened; "
    "update indexpass, and until then: poetry config keyring.enabled false"
)


class Seam(NamedTuple):
    """A method that is called through us; ``promised`` is what it says it returns, "" if that is not looked at.

    ``otherwise`` is what the user is told where it is missing.
    """

    module: str
    owner: str
    method: str
    promised: str = ""
    otherwise: str = _UNSIGNED

    def __str__(self) -> str:
        """Write the method's full name."""
        return f"{self.module}.{self.owner}.{self.method}"


READING = Seam("poetry.utils.authenticator", "Authenticator", "create_session", "requests.Session")
UPLOADING = Seam("poetry.publishing.uploader", "Uploader", "make_session", "requests.Session")
ASKING_FOR_GIT = Seam(
    "poetry.utils.authenticator", "Authenticator", "get_credentials_for_git_url", "HTTPAuthCredential"
)
SENDING_GIT = Seam("dulwich.client", "Urllib3HttpGitClient", "_http_request")
ASKING_KEYRING = Seam("poetry.utils.password_manager", "PoetryKeyring", "is_available", otherwise=_ASKED)
SIGNING = (READING, UPLOADING, ASKING_FOR_GIT, SENDING_GIT)
SEAMS = (*SIGNING, ASKING_KEYRING)


def seams_for(command: str | None) -> tuple[Seam, ...]:
    """Return the seams that have to be in place before a command runs.

    Poetry's plugin manager itself imports the authenticator, so these seams cost no import for any command, not even
    ``poetry version``. The uploader is imported by publishing alone and takes 4 to 7 ms, so only commands that publish
    by name pay for it; a command that uploads under another name is served by keyring. SENDING_GIT is put in place
    when Poetry asks for a repository's credentials, because few projects need git.
    """
    always = (READING, ASKING_FOR_GIT, ASKING_KEYRING)
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
    is_bound = isinstance(original, MethodType)  # a class method, which has its class already
    owner = getattr(sys.modules[seam.module], seam.owner)
    setattr(owner, seam.method, staticmethod(through_us) if is_bound else through_us)
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
    return SENDING_GIT.module not in sys.modules or _load(SENDING_GIT) is not None


def _load(seam: Seam) -> FunctionType | MethodType | None:
    """Import what the seam is in; return the method, or None if it is not there in the shape that is expected."""
    try:
        original = getattr(getattr(import_module(seam.module), seam.owner), seam.method)
    except (ImportError, AttributeError):
        return None
    return original if isinstance(original, (FunctionType, MethodType)) and _keeps_promise(original, seam) else None


def _find(seam: Seam) -> object:
    return getattr(getattr(sys.modules[seam.module], seam.owner, None), seam.method, None)


def _keeps_promise(original: FunctionType | MethodType, seam: Seam) -> bool:
    # Another plugin may have wrapped the method without keeping the annotation: only a different promise refuses it.
    return not seam.promised or original.__annotations__.get("return") in {None, seam.promised}


def _complaint(seam: Seam) -> str:
    return f"indexpass: this version of Poetry has no usable {seam}, {seam.otherwise}"
