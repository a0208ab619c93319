"""Which project does a URL of an index name, and which one does a file belong to?

Only what every server behind us reads in the same way names a project. A name that could be split in two ways, or that
one server would shorten and another one not, belongs to no project: a token that is bound to projects is refused there.
This module knows URLs and file names; it never looks into a file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from packaging.utils import (
    InvalidName,
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    is_normalized_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

if TYPE_CHECKING:
    from indexpass._model import Operation
    from indexpass._url import IndexUrl
    from indexpass.broker.settings import GuardedIndex

# By which projects an upload has to stay, separated by spaces: the guard says so to the built-in index. An empty list
# allows none; without the header the token is good for all.
PROJECTS_HEADER = "x-indexpass-projects"
MAX_FILE_NAME_LENGTH = 255  # what file systems take
# Escapes, ";" and the like mean something to some servers: "b-1.0.tar.gz;a-1.0.tar.gz" is b's file to many in Java.
_PLAIN = re.compile(r"[A-Za-z0-9._+!~-]+")
_COMPANIONS = (".metadata", ".asc", ".provenance")  # PEP 658, PEP 527, PEP 740: files beside a file
# "a-1-b-2.zip" is version 2 of a-1-b to one reader and version 1-b-2 of a to another, "a-py3.1-b-2.zip" likewise.
_TWO_READINGS = re.compile(r"-[0-9]|-.*\.|\..*-")


class Release(NamedTuple):
    """A project and one of its versions, both in their normal form."""

    project: str
    version: str


class Target(NamedTuple):
    """What a URL names. ``version`` is empty unless it is one distribution: not for pages and companion files."""

    project: str | None
    version: str = ""


NO_TARGET = Target(None)


def parse_project(name: str) -> str | None:
    """Return the project's name in its normal form (PEP 503), or None if it is not a name."""
    try:
        return canonicalize_name(name, validate=True) if _PLAIN.fullmatch(name) else None
    except InvalidName:
        return None


def parse_file(name: str) -> Release | None:
    """Return what the wheel or source distribution of this file name is, or None if that is not beyond doubt."""
    if len(name) > MAX_FILE_NAME_LENGTH or not _PLAIN.fullmatch(name):
        return None
    try:
        if name.endswith(".whl"):
            project, version = parse_wheel_filename(name)[:2]
            written = name.partition("-")[2]
        else:
            project, version = parse_sdist_filename(name)
            before, _, written = name.rpartition("-")
            if _TWO_READINGS.search(before):
                return None
    except (InvalidWheelFilename, InvalidSdistFilename):
        return None
    # A version such as v1.0 is part of the name to readers who look for a digit.
    if not written[0].isdigit() or not is_normalized_name(project):
        return None
    return Release(project, str(version))


def find_target(index: GuardedIndex, url: IndexUrl, operation: Operation) -> Target:
    """Return what ``url`` names in ``index``: the page of a project, or a file of one.

    For an upload only a distribution's own URL names one: what is sent to a project's page may be of any.
    """
    target = _find_named(index, url)
    return target if operation == "read" or target.version else NO_TARGET


def _find_named(index: GuardedIndex, url: IndexUrl) -> Target:
    places = (index.url, index.files_url, index.url.root)
    covering = [place for place in places if place and place.covers(url)]
    if not covering:
        return NO_TARGET
    place = max(covering, key=lambda place: len(place.segments))
    parts = url.segments[len(place.segments) :]
    if not parts or not all(_PLAIN.fullmatch(part) for part in parts):
        return NO_TARGET
    if place == index.url:
        page = parse_project(parts[0])
        return Target(page) if len(parts) == 1 else _find_file(parts[1:], {page})
    return _find_file(parts, set())


def _find_file(parts: tuple[str, ...], projects: set[str | None]) -> Target:
    """Return the file that the last of ``parts`` names, if nothing before it names another project."""
    file = parts[-1]
    name = next((file.removesuffix(end) for end in _COMPANIONS if file.endswith(end)), file)
    release = parse_file(name)
    if release is None:
        return NO_TARGET
    above = {found.project for part in parts[:-1] if (found := parse_file(part))}
    if (projects | above) - {release.project}:
        return NO_TARGET
    return Target(release.project, release.version if name == file else "")
