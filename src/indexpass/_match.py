"""Which index, and which operation on it, a URL stands for.

This is the rule that keeps a credential from a wrong host: same scheme, host and port, whole path segments, the most
specific index wins, a tie refuses. It never does I/O and never guesses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexpass._url import IndexUrl, parse_netloc
from indexpass.errors import UrlError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from indexpass._model import Index, Operation


def match(service: str, indexes: Sequence[Index]) -> tuple[Index, Operation] | None:
    """Return the one index that ``service`` stands for, and the operation, or None.

    ``service`` is what a client asks keyring for: a URL, a bare ``host[:port]``, or a name of somebody else's. A URL
    that equals an index's upload URL means ``upload``; a URL in an index's own folder means ``read``; a bare host
    means ``read`` if exactly one index lives there. A name never matches: a project could claim it (poetry#6075).
    """
    if not indexes:
        return None
    if "://" not in service:
        return _match_host(service, indexes)
    try:
        url = IndexUrl.parse(service)
    except UrlError:
        return None
    uploads = [index for index in indexes if index.upload_url == url]
    if uploads:
        return (uploads[0], "upload") if len(uploads) == 1 else None
    return _match_url(url, indexes)


def _match_url(url: IndexUrl, indexes: Sequence[Index]) -> tuple[Index, Operation] | None:
    best: list[Index] = []
    depth = -1
    for index in indexes:
        for place in _places(index):
            if place.covers(url) and len(place.segments) >= depth:
                best = [index] if len(place.segments) > depth else [*best, index]
                depth = len(place.segments)
    owners = {index.name for index in best}
    return (best[0], "read") if len(owners) == 1 else None


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
