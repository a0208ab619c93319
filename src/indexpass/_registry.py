"""The tables of providers and identity sources, by name; the only place that imports by name.

Adding a platform is one file and one row here. This module never asks any of them anything.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from indexpass.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from indexpass._model import IdentitySource, IdentityToken, Index, Provider

PROVIDERS = {
    "broker": "indexpass.providers.broker:BrokerProvider",
}
IDENTITY_SOURCES = {
    "generic": "indexpass.identity.generic:GenericSource",
}


def provider_for(index: Index) -> Provider:
    """Return the provider that the index names. Raises ConfigError if there is none of that name."""
    if index.provider not in PROVIDERS:
        raise ConfigError(
            f"the index {index.name!r} names an unknown provider: {index.provider!r}",
            hint=f"known providers are {', '.join(PROVIDERS)}",
        )
    return cast("Provider", _load(PROVIDERS[index.provider]))


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
