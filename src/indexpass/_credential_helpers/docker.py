"""Docker's credential helper protocol (docker-credential-helpers): a registry's host in, one JSON object out.

A registry is answered where an index is configured on the very same host and port, and what its provider issues may
open a registry. Most platforms keep their containers on another host, or want another token for them: for these there
is nothing to find, and Docker goes on without.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from indexpass._url import IndexUrl, parse_netloc
from indexpass.errors import UrlError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from indexpass._credential import Credential, Index

NOT_FOUND = "credentials not found in native keychain"  # Docker knows these very words, and goes on without
READ_ONLY = "indexpass issues credentials and stores none: pull and push without docker login"
# What these issue is for a package index alone: by its audience, its scope, or because the containers are elsewhere.
_WITHOUT_REGISTRY = frozenset(
    {"aws", "azure", "broker", "cloudsmith", "devpi", "github", "gitlab", "google", "trusted-publishing"}
)


def find(text: str, indexes: Sequence[Index]) -> Index | None:
    """Return the one index whose credential opens the registry that Docker names, or None.

    Docker names a registry by ``host[:port]`` or by a URL. Two indexes on one host are a tie, which nobody wins.
    """
    found = [index for index in _with_registry(indexes) if _names(text.strip(), index)]
    return found[0] if len(found) == 1 else None


def write(text: str, credential: Credential) -> str:
    """Return the answer to ``get``, for the registry as Docker names it. This reveals the secret."""
    return json.dumps(
        {"ServerURL": text.strip(), "Username": credential.username, "Secret": credential.secret.reveal()}
    )


def write_list(indexes: Sequence[Index]) -> str:
    """Return the registries that would be answered; who one is there, only ``get`` finds out."""
    hosts = (index.url.origin.netloc for index in _with_registry(indexes))
    return json.dumps({host: "" for host in hosts if find(host, indexes)})


def _with_registry(indexes: Iterable[Index]) -> Iterable[Index]:
    return (index for index in indexes if index.provider not in _WITHOUT_REGISTRY)


def _names(text: str, index: Index) -> bool:
    origin = index.url.origin
    try:
        return (IndexUrl.parse(text).origin if "://" in text else parse_netloc(text, origin.scheme)) == origin
    except UrlError:
        return False
