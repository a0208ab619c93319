"""Short-lived credentials for private Python package indexes, handed to pip, Poetry, uv and their neighbours.

The public names are loaded on first use, because every keyring user on the machine imports this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from indexpass._model import Credential, Index
    from indexpass._resolve import get_credential
    from indexpass._secret import Secret
    from indexpass._url import IndexUrl
    from indexpass.errors import IndexpassError

__all__ = ["Credential", "Index", "IndexUrl", "IndexpassError", "Secret", "get_credential"]

_HOMES = {
    "Credential": "indexpass._model",
    "Index": "indexpass._model",
    "IndexUrl": "indexpass._url",
    "IndexpassError": "indexpass.errors",
    "Secret": "indexpass._secret",
    "get_credential": "indexpass._resolve",
}


def __getattr__(name: str) -> object:
    """Load a public name on first use (PEP 562)."""
    if name not in _HOMES:
        msg = f"module 'indexpass' has no attribute {name!r}"
        raise AttributeError(msg)
    from importlib import import_module  # noqa: PLC0415  # nothing is imported before it is needed

    return getattr(import_module(_HOMES[name]), name)
