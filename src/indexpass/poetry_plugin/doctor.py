"""What works and what does not where indexpass meets this Poetry: one finding for each part.

It judges facts that are passed in, so it imports nothing of Poetry's. What is the same for all clients is passed in as
findings of ``indexpass._doctor``. It shows no secret and changes nothing.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Literal, NamedTuple

from indexpass._doctor.findings import Finding
from indexpass._match import match
from indexpass._url import redacted
from indexpass.poetry_plugin.secrets_in_files import has_secret

if TYPE_CHECKING:
    from collections.abc import Sequence

    from indexpass._credential import Index
    from indexpass.poetry_plugin.secrets_in_files import Leak


class Place(NamedTuple):
    """A source of the project, or a repository to publish to; ``is_ours_to_sign`` unless Poetry has credentials."""

    kind: Literal["source", "repository"]
    name: str
    url: str
    has_own_credentials: bool = False


class Facts(NamedTuple):
    """What Poetry says of itself, and what indexpass knows.

    ``signs`` unless a seam of ``complaints`` is one that signing needs. ``would_open_keyring`` if the desktop keyring
    is locked and Poetry would ask it in this project. ``general`` is what is to be said of the configuration, the
    servers and the indexes, whatever the client.
    """

    versions: str
    complaints: Sequence[str]
    signs: bool
    is_keyring_enabled: bool
    would_open_keyring: bool
    places: Sequence[Place]
    leaks: Sequence[Leak]
    indexes: Sequence[Index]
    general: Sequence[Finding]


def examine(facts: Facts) -> list[Finding]:
    """Return the findings, the general ones first."""
    findings = [Finding("plugin", "ok", f"{facts.versions}; the plugin is active")]
    findings += [_judge_complaint(complaint) for complaint in facts.complaints]
    findings.append(_judge_keyring(facts))
    findings += facts.general
    findings += [_judge_place(place, facts) for place in facts.places]
    if not facts.places:
        findings.append(Finding("sources", "note", "no project with a source of its own here"))
    findings += [Finding("secrets", "fault", str(leak), leak.hint) for leak in facts.leaks]
    return findings


def _judge_complaint(complaint: str) -> Finding:
    message, _, hint = complaint.removeprefix("indexpass: ").partition("; ")
    return Finding("seams", "fault", message, hint)


def _judge_keyring(facts: Facts) -> Finding:
    if facts.would_open_keyring:
        message = "on, and the desktop keyring is locked: Poetry may ask you to open it, for what is not ours"
        return Finding("keyring", "note", message, "poetry config keyring.enabled false" if facts.signs else "")
    if facts.is_keyring_enabled:
        return Finding("keyring", "ok", "on, and asked for what the plugin does not sign")
    if facts.signs:
        return Finding("keyring", "ok", "off, which makes no difference: the plugin signs without it")
    return Finding("keyring", "fault", "off", "poetry config keyring.enabled true")


def _judge_place(place: Place, facts: Facts) -> Finding:
    part, url = f"{place.kind} {place.name}", redacted(place.url)
    found = match(place.url, facts.indexes)
    if found is None:
        message = f"{url} belongs to no configured index, as it should if it is public"
        return Finding(part, "note", message, f"poetry indexpass add {shlex.quote(url)}")
    index, operation = found
    if has_secret(place.url):
        return Finding(part, "fault", f"the credential in its URL is used, and not that of {index.name}", "see secrets")
    if place.has_own_credentials:
        hint = f"poetry config --unset http-basic.{place.name}"
        return Finding(part, "note", f"Poetry's own credentials are used, and not those of {index.name}", hint)
    if place.kind == "repository" and operation == "read":
        hint = f"poetry config repositories.{place.name} {index.upload_url}" if index.upload_url else ""
        return Finding(part, "fault", f"{url} is not where {index.name} takes uploads", hint)
    return Finding(part, "ok", f"belongs to {index.name}")
