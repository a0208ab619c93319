"""Keeps Poetry from asking a locked desktop keyring in a run that needs nothing from it.

With ``keyring.enabled``, Poetry asks before each command that installs, and again for each host. A locked desktop
answers with a window, or not at all. What the plugin signs needs no answer. A run that may need one for something else
is left as it is, and so is a keyring that is open: there, credentials that the user gave to Poetry are found, and win.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass.poetry_plugin.seams import Command

_log = logging.getLogger("indexpass.poetry")


def may_ask(command: Command) -> bool:
    """May Poetry ask keyring during this command? No only if nothing depends on it and the person would be asked."""
    try:
        return needs_keyring(command, os.environ) or not _would_ask_the_person()
    except Exception as error:  # noqa: BLE001  # whatever goes wrong in us, Poetry does what it does without us
        _log.debug("Poetry asks keyring after an unexpected %s", type(error).__name__)
        return True


def would_open(command: Command, environ: Mapping[str, str]) -> bool:
    """Would the person be asked to open the keyring, if the command asked for packages? Raises as below."""
    return needs_keyring(command, environ) and _would_ask_the_person()


def needs_keyring(command: Command, environ: Mapping[str, str]) -> bool:
    """May there be a credential in keyring that the command cannot do without?

    Everywhere but at our indexes there may: another vendor's backend may have it. And if Poetry's settings name a user
    without the password, the password is there. ``poetry config`` keeps passwords there, and would put them into a
    file instead. Raises ConfigError, and whatever Poetry raises.
    """
    if command.name == "config":
        return True
    urls = _list_urls(command)
    if not urls or _names_a_user(command.poetry.config, environ):
        return True
    from indexpass import _config
    from indexpass._locations import locate
    from indexpass._match import match

    indexes = _config.load(locate(environ), environ)
    return not all(match(url, indexes) for url in urls)


def _list_urls(command: Command) -> list[str]:
    """Return where the command's packages come from, the public index aside, or the one place that it uploads to."""
    if "publish" not in (command.name or ""):
        return [source.url for source in command.poetry.get_sources() if source.url]
    repository = (command.poetry.config.get("repositories") or {}).get(command.option("repository"))
    return [repository["url"]] if repository else []


def _names_a_user(settings: Any, environ: Mapping[str, str]) -> bool:  # noqa: ANN401  # untyped where there is no Poetry
    start, end = "POETRY_HTTP_BASIC_", "_USERNAME"
    names = [name.removesuffix(end) for name in environ if name.startswith(start) and name.endswith(end)]
    users = (settings.get("http-basic") or {}).values()
    return any(f"{name}_PASSWORD" not in environ for name in names) or any(
        user.get("username") and not user.get("password") for user in users
    )


def _would_ask_the_person() -> bool:
    from indexpass._desktop_keyring import desktop_keyring

    return desktop_keyring().would_ask_the_person()
