"""Which index a person means by a name, a URL, or nothing at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from indexpass import _config
from indexpass._locations import locate
from indexpass._match import match
from indexpass._url import redacted
from indexpass.errors import ConfigError, IndexpassError

if TYPE_CHECKING:
    import click

    from indexpass._model import Index

_ADD = "indexpass add https://packages.example.com/simple/"


def complete_index(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001  # click's signature
    """Return the names of configured indexes that begin so, for the shell. A broken file has none."""
    try:
        indexes = _config.load(locate(os.environ), os.environ)
    except IndexpassError:
        return []
    return [index.name for index in indexes if index.name.startswith(incomplete)]


def configured() -> tuple[Index, ...]:
    """Return all configured indexes. Raises ConfigError if there are none."""
    indexes = _config.load(locate(os.environ), os.environ)
    if not indexes:
        raise ConfigError("no index is configured on this machine", hint=_ADD)
    return indexes


def chosen(wanted: str | None) -> Index:
    """Return the index with this name or URL; with None, the only one. Raises ConfigError if that is not one index.

    A URL of a known platform names an index that nobody has configured.
    """
    known = match(wanted, _config.load(locate(os.environ), os.environ)) if wanted and "://" in wanted else None
    if known:
        return known[0]
    indexes = configured()
    if wanted is None:
        if len(indexes) > 1:
            raise ConfigError("there are several indexes", hint=f"name one of: {_names(indexes)}")
        return indexes[0]
    for index in indexes:
        if index.name == wanted:
            return index
    found = match(wanted, indexes)  # a bare host
    if found is None:
        shown = redacted(wanted)
        hint = f"known: {_names(indexes)}"
        if "://" in shown and "****" not in shown:
            hint += f"; to have it known: indexpass add {shown}"
        raise ConfigError(f"no configured index is named or owns {shown}", hint=hint)
    return found[0]


def _names(indexes: tuple[Index, ...]) -> str:
    return ", ".join(index.name for index in indexes)
