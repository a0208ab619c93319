"""Short-lived credentials for private Python package indexes, handed to pip, Poetry, uv and their neighbours.

The public names are loaded on first use, because every keyring user on the machine imports this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from indexpass._answer import read_seconds, read_success, read_text
    from indexpass._model import (
        Answer,
        Context,
        Credential,
        IdentityToken,
        Index,
        Invitation,
        Operation,
        Provider,
        Session,
        SignIn,
        SignInByTyping,
        WithOutlook,
        WithOwnProof,
    )
    from indexpass._resolve import get_credential
    from indexpass._secret import Secret
    from indexpass._url import IndexUrl
    from indexpass.errors import IndexpassError

__all__ = [
    "Answer",
    "Context",
    "Credential",
    "IdentityToken",
    "Index",
    "IndexUrl",
    "IndexpassError",
    "Invitation",
    "Operation",
    "Provider",
    "Secret",
    "Session",
    "SignIn",
    "SignInByTyping",
    "WithOutlook",
    "WithOwnProof",
    "get_credential",
    "read_seconds",
    "read_success",
    "read_text",
]

_HOMES = {
    "Answer": "indexpass._model",
    "Context": "indexpass._model",
    "Credential": "indexpass._model",
    "IdentityToken": "indexpass._model",
    "Index": "indexpass._model",
    "IndexUrl": "indexpass._url",
    "IndexpassError": "indexpass.errors",
    "Invitation": "indexpass._model",
    "Operation": "indexpass._model",
    "Provider": "indexpass._model",
    "Secret": "indexpass._secret",
    "Session": "indexpass._model",
    "SignIn": "indexpass._model",
    "SignInByTyping": "indexpass._model",
    "WithOutlook": "indexpass._model",
    "WithOwnProof": "indexpass._model",
    "get_credential": "indexpass._resolve",
    "read_seconds": "indexpass._answer",
    "read_success": "indexpass._answer",
    "read_text": "indexpass._answer",
}


def __getattr__(name: str) -> object:
    """Load a public name on first use (PEP 562)."""
    if name not in _HOMES:
        msg = f"module 'indexpass' has no attribute {name!r}"
        raise AttributeError(msg)
    from importlib import import_module  # noqa: PLC0415  # nothing is imported before it is needed

    return getattr(import_module(_HOMES[name]), name)
