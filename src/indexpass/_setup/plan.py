"""What a client's module goes by, and what it answers. Reads the files that would be changed, and writes none."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, cast

from indexpass._changes import Change, read
from indexpass._clients import files_of
from indexpass.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from indexpass._clients import ClientFile
    from indexpass._credential import Index

CLIENTS = ("git", "hatch", "pdm", "pip", "poetry", "twine", "uv")
PLANNED = (*CLIENTS, "shim")


class Situation(NamedTuple):
    """The machine that is set up: its variables, its indexes, and a project if one was named."""

    environ: Mapping[str, str]
    indexes: tuple[Index, ...]
    project: Path | None = None
    platform: str = sys.platform

    def own_file(self, client: str, *, name: str = "") -> Path:
        """Return the user's own file of a client: the one that a variable names, if any does."""
        own = [file for file in self.files(client) if file.scope in ("environment", "user")]
        return next(file.path for file in own if not name or file.path.name == name)

    def files(self, client: str) -> tuple[ClientFile, ...]:
        """Return where the client keeps its settings, what wins first."""
        return files_of(client, self.environ, self.project, platform=self.platform)

    @property
    def uploads(self) -> tuple[tuple[str, str], ...]:
        """Name and upload URL of each index that packages may be uploaded to."""
        return tuple((index.name, str(index.upload_url)) for index in self.indexes if index.upload_url)


class Plan(NamedTuple):
    """What would be changed, and in words what a person has to do besides: a command, or why something is so."""

    changes: tuple[Change, ...] = ()
    steps: tuple[str, ...] = ()


NO_UPLOADS = Plan(steps=("none of your indexes has an upload URL, so there is nothing to set up",))


def plan(client: str, situation: Situation) -> Plan:
    """Return what setting up this client takes. Raises ConfigError if a file cannot be read, or is broken."""
    module = import_module(f"indexpass._setup.{client}")
    return cast("Plan", module.plan(situation))


def plan_edit(path: Path, edit: Callable[[str], str], *, why: str, is_private: bool = False) -> tuple[Change, ...]:
    """Return the change that ``edit`` makes to the text of a file; none if it makes none.

    Raises ConfigError if the file cannot be read, is not UTF-8, or what ``edit`` raises ValueError for.
    """
    before = read(path)
    try:
        (before or "").encode()
        after = edit(before or "")
    except ValueError as error:
        reason = "this is not UTF-8" if isinstance(error, UnicodeEncodeError) else str(error)
        raise ConfigError(f"{path}: {reason}", hint=f"correct it in an editor: {path}") from None
    if after == (before or ""):
        return ()
    return (Change(path, before, after, why, is_private),)
