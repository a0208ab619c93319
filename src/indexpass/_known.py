"""Platforms whose indexes are known by their URL alone, so that nobody has to configure them.

A platform is recognised by its full host name and the shape of its path, never by a part of either. That is safe
without a word from the user, because a credential for such an index goes to the platform that issues it, and to nobody
else. A new row has its mark in ``_match``, unless the platform needs settings. This module never does I/O.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from indexpass._credential import Index
from indexpass._url import IndexUrl

if TYPE_CHECKING:
    from collections.abc import Callable


_AZURE_ORGANIZATION = r"[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])?"


class Places(NamedTuple):
    """The paths of one index: that of its simple page, and that of its uploads, None if it takes none.

    ``upload_host`` is where the uploads go, if not to the index's own host.
    """

    simple: tuple[str, ...]
    upload: tuple[str, ...] | None
    upload_host: str = ""


def find(url: IndexUrl) -> Index | None:
    """Return the index of a known platform that ``url`` belongs to, or None. Its name is its URL."""
    if url.origin.scheme != "https" or not url.origin.has_default_port:
        return None
    for provider, find_places in _KNOWN.items():
        places = find_places(url.origin.host, url.segments)
        if places:
            index = IndexUrl(url.origin, places.simple)
            uploads_to = url.origin._replace(host=places.upload_host or url.origin.host)
            upload = IndexUrl(uploads_to, places.upload) if places.upload is not None else None
            return Index(name=str(index), url=index, upload_url=upload, provider=provider)
    return None


def is_all_at(index: Index, provider: str) -> bool:
    """Is each URL of the index one of this platform's, so that its credential goes to nobody else?"""
    places = [place for place in (index.url, index.upload_url, index.files_url) if place]
    found = [find(place) for place in places]
    return all(known is not None and known.provider == provider for known in found)


def _find_gitlab(host: str, segments: tuple[str, ...]) -> Places | None:
    """GitLab.com; a GitLab of your own is configured. An index of a whole group takes no uploads."""
    if host != "gitlab.com":
        return None
    match segments:
        case ("api", "v4", "projects", _, "packages", "pypi", *_):
            return Places((*segments[:6], "simple"), segments[:6])
        case ("api", "v4", "groups", _, "-", "packages", "pypi", *_):
            return Places((*segments[:7], "simple"), None)
    return None


def _find_artifact_registry(host: str, segments: tuple[str, ...]) -> Places | None:
    """Google Artifact Registry, as its documentation writes the URL of a Python repository."""
    if not re.fullmatch(r"[a-z]+(?:-[a-z]+[0-9]+)?-python\.pkg\.dev", host) or len(segments) < 2:  # noqa: PLR2004  # project and repository
        return None
    project, repository = segments[:2]
    if not re.fullmatch(r"(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]", project):
        return None
    if not re.fullmatch(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?", repository):
        return None
    return Places((project, repository, "simple"), (project, repository))


def _find_codeartifact(host: str, segments: tuple[str, ...]) -> Places | None:
    """AWS CodeArtifact, with an endpoint for IPv4 or one for both (GetRepositoryEndpoint, ``endpointType``)."""
    if find_codeartifact_domain(host) is None:
        return None
    match segments:
        case ("pypi", repository, *_) if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,99}", repository):
            return Places(("pypi", repository, "simple"), ("pypi", repository))
    return None


class CodeArtifactDomain(NamedTuple):
    """What the host name of a CodeArtifact repository says: the domain, the account that owns it, and the region."""

    domain: str
    account: str
    region: str
    is_dual_stack: bool


def find_codeartifact_domain(host: str) -> CodeArtifactDomain | None:
    """Return what a CodeArtifact repository's host name says, or None if it is none."""
    found = re.fullmatch(
        r"([a-z][a-z0-9-]{0,48}[a-z0-9])-([0-9]{12})"
        r"(?:\.d\.codeartifact\.([a-z]+(?:-[a-z]+)+-[0-9]+)\.amazonaws\.com"
        r"|(?:\.d)?\.codeartifact\.([a-z]+(?:-[a-z]+)+-[0-9]+)\.on\.aws)",
        host,
    )
    if not found:
        return None
    domain, account, region, region_of_both = found.groups()
    return CodeArtifactDomain(domain, account, region or region_of_both, region is None)


def _find_azure_artifacts(host: str, segments: tuple[str, ...]) -> Places | None:
    """Azure Artifacts, in Azure DevOps Services: a feed of an organization, or of a project in it."""
    inside = segments
    if host == "pkgs.dev.azure.com":
        if not segments or not re.fullmatch(_AZURE_ORGANIZATION, segments[0], re.IGNORECASE):
            return None
        inside = segments[1:]
    elif not re.fullmatch(rf"{_AZURE_ORGANIZATION}\.pkgs\.visualstudio\.com", host):
        return None
    match inside:
        case ("_packaging", _, "pypi", *rest) | (_, "_packaging", _, "pypi", *rest):
            feed = segments[: len(segments) - len(rest)]
            return Places((*feed, "simple"), (*feed, "upload"))
    return None


def find_azure_organization(url: IndexUrl) -> str:
    """Return the organization that a feed's URL names, in lower case."""
    return (url.segments[0] if url.origin.host == "pkgs.dev.azure.com" else url.origin.host.partition(".")[0]).lower()


def _find_cloudsmith(host: str, segments: tuple[str, ...]) -> Places | None:
    """Cloudsmith, by the URL for credentials: another one is public, or has an entitlement token in it."""
    if host != "dl.cloudsmith.io":
        return None
    match segments:
        case ("basic", owner, repository, "python", *_):
            return Places((*segments[:4], "simple"), (owner, repository), upload_host="python.cloudsmith.io")
    return None


def _find_jfrog(host: str, segments: tuple[str, ...]) -> Places | None:
    """JFrog's own cloud; an Artifactory of your own is configured."""
    if not re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.jfrog\.io", host):
        return None
    match segments:
        case ("artifactory", "api", "pypi", _, *_):
            return Places((*segments[:4], "simple"), segments[:4])
    return None


_KNOWN: dict[str, Callable[[str, tuple[str, ...]], Places | None]] = {
    "aws": _find_codeartifact,
    "azure": _find_azure_artifacts,
    "cloudsmith": _find_cloudsmith,
    "gitlab": _find_gitlab,
    "google": _find_artifact_registry,
    "jfrog": _find_jfrog,
}
