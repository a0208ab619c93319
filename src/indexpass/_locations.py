"""Where configuration, credentials and sessions stand on this machine.

``INDEXPASS_HOME`` puts all of the user's files under one folder. Otherwise the folders are those that platformdirs
names; on Linux they are computed here, because importing platformdirs costs more than the whole first answer may
take (a test holds the two equal). This module never touches the disk.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from indexpass.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

_APP = "indexpass"
_NO_HOME = Path("/nonexistent")  # Debian's home for users without one: nothing is ever found or written there


class Locations(NamedTuple):
    """The files and folders of one user; ``site_file`` is the administrator's."""

    site_file: Path
    user_file: Path
    credentials: Path
    sessions: Path

    @property
    def state(self) -> Path:
        """The folder of what has to outlive the cache: sessions, and copies of files that were changed."""
        return self.sessions.parent


def locate(environ: Mapping[str, str]) -> Locations:
    """Return where things stand for a process with these environment variables.

    Raises ConfigError if INDEXPASS_HOME is not an absolute path.
    """
    home = environ.get("INDEXPASS_HOME")
    if home and not Path(home).is_absolute():
        raise ConfigError("INDEXPASS_HOME is not an absolute path", hint="write it from the root on, without ~")
    if sys.platform == "linux":
        config, cache, state, site = _linux(environ)
    else:
        config, cache, state, site = _elsewhere()
    if home:
        config = cache = state = Path(home)
    return Locations(
        site_file=site / "config.toml",
        user_file=config / "config.toml",
        credentials=cache / "credentials",
        sessions=state / "sessions",
    )


def _linux(environ: Mapping[str, str]) -> tuple[Path, Path, Path, Path]:
    """Follow the XDG Base Directory Specification as platformdirs does."""

    def folder(variable: str, default: str) -> Path:
        value = environ.get(variable, "")
        return (Path(value) if value.startswith("/") else _home() / default) / _APP

    sites = environ.get("XDG_CONFIG_DIRS", "").split(":")
    site = next((value for value in sites if value.startswith("/")), "/etc/xdg")
    return (
        folder("XDG_CONFIG_HOME", ".config"),
        folder("XDG_CACHE_HOME", ".cache"),
        folder("XDG_STATE_HOME", ".local/state"),
        Path(site) / _APP,
    )


def _home() -> Path:
    try:
        home = Path.home()
    except RuntimeError:  # a container may run as a user whom no file knows
        return _NO_HOME
    return home if home.is_absolute() else _NO_HOME


def _elsewhere() -> tuple[Path, Path, Path, Path]:
    import platformdirs  # noqa: PLC0415  # only here, where it knows more than three lines can

    return (
        platformdirs.user_config_path(_APP, appauthor=False),
        platformdirs.user_cache_path(_APP, appauthor=False),
        platformdirs.user_state_path(_APP, appauthor=False),
        platformdirs.site_config_path(_APP, appauthor=False),
    )
