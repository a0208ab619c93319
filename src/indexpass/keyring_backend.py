"""Front door 1: a keyring backend that answers pip, uv, twine, hatch, pdm and Poetry for configured indexes.

Every keyring user on the machine imports this module, so it imports nothing that keyring has not imported already.
It never raises on reads, never stores anything, and never prints on stdout.
"""

from __future__ import annotations

import sys

from keyring.backend import KeyringBackend
from keyring.credentials import SimpleCredential

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from keyring.credentials import Credential

_READ_ONLY = "indexpass issues credentials and stores none; keep other passwords in another keyring backend"


class IndexpassKeyring(KeyringBackend):
    """Hands out credentials for configured indexes, and None for everything else."""

    # Before every desktop keyring (5 and below), so that none is unlocked for our URLs; below keyring's chainer (10),
    # which a higher number would displace.
    priority = 9

    def get_credential(self, service: str, username: str | None) -> Credential | None:  # noqa: ARG002  # any will do
        """Return user name and secret for a URL or bare host of ours, else None. The user name asked for is ignored."""
        seams = sys.modules.get("indexpass.poetry_plugin.seams")
        if seams is not None and seams.is_active():
            return None  # the plugin signs every request of this Poetry by its own URL, and can renew in mid-run
        from indexpass._embedded import answer  # noqa: PLC0415  # strangers' look-ups must not pay for ours

        credential = answer(service)
        return SimpleCredential(credential.username, credential.secret.reveal()) if credential else None

    def get_password(self, service: str, username: str) -> str | None:
        """Return the secret for a URL or bare host of ours, whatever the user name, else None."""
        credential = self.get_credential(service, username)
        return credential.password if credential else None

    def set_password(self, service: str, username: str, password: str) -> NoReturn:
        """Let the next backend in the chain store it (keyring's chainer goes on after NotImplementedError)."""
        raise NotImplementedError(_READ_ONLY)

    def delete_password(self, service: str, username: str) -> NoReturn:
        """Let the next backend in the chain delete it (keyring's chainer goes on after NotImplementedError)."""
        raise NotImplementedError(_READ_ONLY)
