"""Which index, and which operation on it, a URL stands for.

This is the rule that keeps a credential from a wrong host: same scheme, host and port, whole path segments, the most
specific index wins, a tie refuses. What nobody has configured may be an index of a known platform. It never does I/O
and never guesses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexpass._platforms import PLATFORMS
from indexpass._url import IndexUrl, parse_netloc
from indexpass.errors import UrlError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from indexpass._model import Index, Operation

# One of these stands in each URL that ``_known`` knows of a platform without needed settings; no other is looked at.
_KNOWN_MARKS: tuple[str, ...] = ("/_packaging/", "/packages/pypi", ".codeartifact.", "-python.pkg.dev")


def match(service: str, indexes: Sequence[Index]) -> tuple[Index, Operation] | None:
    """Return the one index that ``service`` stands for, and the operation, or None.

    ``service`` is what a client asks keyring for: a URL, a bare ``host[:port]``, or a name of somebody else's. A URL
    that equals an index's upload URL means ``upload``; a URL in an index's own folder means ``read``; a bare host
    means ``read`` if exactly one index lives there. A name never matches: a project could claim it (poetry#6075).

    A URL of a known platform that no configured index owns stands for the index that its own text describes, if the
    platform needs no settings.
    """
    if "://" not in service:
        return _match_host(service, indexes)
    may_be_known = any(mark in service for mark in _KNOWN_MARKS)
    if not indexes and not may_be_known:
        return None
    try:
        url = IndexUrl.parse(service)
    except UrlError:
        return None
    owners = _owners(url, indexes)
    if not owners and may_be_known:
        from indexpass._known import find  # noqa: PLC0415  # strangers' look-ups do without it

        known = find(url)
        owners = [known] if known and not PLATFORMS[known.provider].needs else []
    if len({index.name for index in owners}) != 1:
        return None
    return owners[0], "upload" if owners[0].upload_url == url else "read"


def _owners(url: IndexUrl, indexes: Sequence[Index]) -> list[Index]:
    """Return the indexes whose upload URL it is, or else those that it is most specifically in."""
    uploads = [index for index in indexes if index.upload_url == url]
    if uploads:
        return uploads
    best: list[Index] = []
    depth = -1
    for index in indexes:
        for place in _places(index):
            if place.covers(url) and len(place.segments) >= depth:
                best = [index] if len(place.segments) > depth else [*best, index]
                depth = len(place.segments)
    return best


def _match_host(service: str, indexes: Sequence[Index]) -> tuple[Index, Operation] | None:
    found = [index for index in indexes if any(_names(service, place) for place in _places(index))]
    return (found[0], "read") if len(found) == 1 else None


def _names(service: str, place: IndexUrl) -> bool:
    try:
        return parse_netloc(service, place.origin.scheme) == place.origin
    except UrlError:
        return False


def _places(index: Index) -> Iterator[IndexUrl]:
    """Yield the folders whose content belongs to the index."""
    yield index.url
    if index.files_url:
        yield index.files_url
    else:
        yield index.url.root
