"""In a new interpreter: what the plugin takes inside Poetry, from its entry point to a command that may begin.

Poetry's own part is done before: it has loaded its authenticator when it looks for plugins.
"""

from __future__ import annotations

import time

import poetry.utils.authenticator  # type: ignore[import-untyped]  # there where Poetry is
from cleo.events.console_command_event import ConsoleCommandEvent  # type: ignore[import-not-found]
from cleo.events.console_events import COMMAND  # type: ignore[import-not-found]
from cleo.events.event_dispatcher import EventDispatcher  # type: ignore[import-not-found]
from cleo.io.null_io import NullIO  # type: ignore[import-not-found]
from poetry.console.application import Application  # type: ignore[import-untyped]

assert poetry.utils.authenticator
application = Application()
application.set_event_dispatcher(EventDispatcher())  # without Poetry's own listeners
event = ConsoleCommandEvent(application.find("version"), NullIO())

began = time.perf_counter()
from indexpass.poetry_plugin import IndexpassPlugin  # noqa: E402  # this is what is measured

IndexpassPlugin().activate(application)
application.event_dispatcher.dispatch(event, COMMAND)
print(time.perf_counter() - began)
