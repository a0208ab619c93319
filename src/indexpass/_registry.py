"""Loads providers and identity sources, by name; the only place that does.

Providers are in the table of ``_platforms``, those of other people behind the entry point ``indexpass.providers``;
identity sources are in the table here. This module never asks any of them anything but who proves what.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

from indexpass._platforms import PLATFORMS
from indexpass.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from indexpass._model import IdentitySource, IdentityToken, Index, Provider

ENTRY_POINTS = "indexpass.providers"
IDENTITY_SOURCES = {
    "generic": "indexpass.identity.generic:GenericSource",
}


def provider_for(index: Index) -> Provider:
    """Return the provider that the index names.

    Raises ConfigError if there is none of that name, or if what it is made of is not installed.
    """
    platform = PLATFORMS.get(index.provider)
    if platform is None:
        return _provider_of_others(index)
    try:
        return cast("Provider", _load(platform.place))
    except ModuleNotFoundError as error:
        if not platform.extra:
            raise
        raise ConfigError(
            f"{error.name} is not installed, which credentials for {index.url} need",
            hint=f"pip install 'indexpass[{platform.extra}]'",
            code="extra-missing",
        ) from error


def _provider_of_others(index: Index) -> Provider:
    """Return the provider that an installed distribution offers under this name (an entry point)."""
    found = entry_points(group=ENTRY_POINTS, name=index.provider)
    if len(found) != 1:
        problem = "several distributions offer" if found else "an unknown provider:"
        raise ConfigError(
            f"the index {index.name!r} names {problem} {index.provider!r}",
            hint=f"known providers are {', '.join([*PLATFORMS, *sorted(entry_points(group=ENTRY_POINTS).names)])}",
        )
    (entry_point,) = found
    return cast("Provider", entry_point.load()())


def identify(audience: str, environ: Mapping[str, str]) -> IdentityToken | None:
    """Return a token from the first identity source that applies here, or None. Raises IdentityError."""
    for source in _sources():
        token = source.prove(audience, environ)
        if token:
            return token
    return None


def _sources() -> Iterator[IdentitySource]:
    for place in IDENTITY_SOURCES.values():
        yield cast("IdentitySource", _load(place))


def _load(place: str) -> object:
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)()
