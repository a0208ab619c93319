"""Platforms whose indexes are known by their URL alone, so that nobody has to configure them.

A platform is recognised by its full host name and the shape of its path, never by a part of either. That is safe
without a word from the user, because a credential for such an index goes to the platform that issues it, and to nobody
else. A new row has its mark in ``_match``. This module never does I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from indexpass._credential import Index
from indexpass._url import IndexUrl

if TYPE_CHECKING:
    from collections.abc import Callable


class Places(NamedTuple):
    """The paths of one index: that of its simple page, and that of its uploads, None if it takes none."""

    simple: tuple[str, ...]
    upload: tuple[str, ...] | None


def find(url: IndexUrl) -> Index | None:
    """Return the index of a known platform that ``url`` belongs to, or None. Its name is its URL."""
    if url.origin.scheme != "https" or not url.origin.has_default_port:
        return None
    for provider, find_places in _KNOWN.items():
        places = find_places(url.origin.host, url.segments)
        if places:
            index = IndexUrl(url.origin, places.simple)
            upload = IndexUrl(url.origin, places.upload) if places.upload is not None else None
            return Index(name=str(index), url=index, upload_url=upload, provider=provider)
    return None


_KNOWN: dict[str, Callable[[str, tuple[str, ...]], Places | None]] = {}
