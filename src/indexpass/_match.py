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
    from collections.abc import Callable, Iterator, Sequence

    from indexpass._model import Index, Operation

    Report = Callable[[Index, str, IndexUrl, bool], None]

# One of these stands in each URL that ``_known`` knows of a platform without needed settings; no other is looked at.
_KNOWN_MARKS: tuple[str, ...] = ("/_packaging/", "/packages/pypi", ".codeartifact.", "-python.pkg.dev")


def match(service: str, indexes: Sequence[Index], *, report: Report | None = None) -> tuple[Index, Operation] | None:
    """Return the one index that ``service`` stands for, and the operation, or None.

    ``service`` is what a client asks keyring for: a URL, a bare ``host[:port]``, or a name of somebody else's. A URL
    that equals an index's upload URL means ``upload``; a URL in an index's own folder means ``read``; a bare host
    means ``read`` if exactly one index lives there. A name never matches: a project could claim it (poetry#6075).

    A URL of a known platform that no configured index owns stands for the index that its own text describes, if the
    platform needs no settings.

    ``report`` is told of each rule that is tried: the index, the setting that names the place, the place, and whether
    ``service`` is there.
    """
    if "://" not in service:
        return _match_host(service, indexes, report)
    may_be_known = any(mark in service for mark in _KNOWN_MARKS)
    if not indexes and not may_be_known:
        return None
    try:
        url = IndexUrl.parse(service)
    except UrlError:
        return None
    owners = _owners(url, indexes, report)
    if not owners and may_be_known:
        from indexpass._known import find  # noqa: PLC0415  # strangers' look-ups do without it

        known = find(url)
        owners = [known] if known and not PLATFORMS[known.provider].needs else []
    if len({index.name for index in owners}) != 1:
        return None
    return owners[0], "upload" if owners[0].upload_url == url else "read"


def _owners(url: IndexUrl, indexes: Sequence[Index], report: Report | None) -> list[Index]:
    """Return the indexes whose upload URL it is, or else those that it is most specifically in."""
    uploads = []
    for index in indexes:
        if index.upload_url is not None:
            is_there = index.upload_url == url
            if is_there:
                uploads.append(index)
            if report:
                report(index, "upload-url", index.upload_url, is_there)
    if uploads:
        return uploads
    best: list[Index] = []
    depth = -1
    for index in indexes:
        for setting, place in _places(index):
            is_there = place.covers(url)
            if report:
                report(index, setting, place, is_there)
            if is_there and len(place.segments) >= depth:
                best = [index] if len(place.segments) > depth else [*best, index]
                depth = len(place.segments)
    return best


def _match_host(service: str, indexes: Sequence[Index], report: Report | None) -> tuple[Index, Operation] | None:
    found = []
    for index in indexes:
        for setting, place in _places(index):
            is_there = _names(service, place)
            if report:
                report(index, setting, place, is_there)
            if is_there:
                found.append(index)
                break
    return (found[0], "read") if len(found) == 1 else None


def _names(service: str, place: IndexUrl) -> bool:
    try:
        return parse_netloc(service, place.origin.scheme) == place.origin
    except UrlError:
        return False


def _places(index: Index) -> Iterator[tuple[str, IndexUrl]]:
    """Yield the folders whose content belongs to the index, each with the setting that names it."""
    yield "url", index.url
    if index.files_url:
        yield "files-url", index.files_url
    else:
        yield "folder of url", index.url.root
