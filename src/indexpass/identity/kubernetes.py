"""Kubernetes: a token that the kubelet projects into the pod, and renews in its file.

A projected volume (``serviceAccountToken`` with an audience of its own) has no usual name for its file, so this is the
one that the pages tell to make. Where the cloud's own webhook has projected a token for another cloud (AWS_..., AZURE_
variables), that is taken for the audience that it is made for, and no other. The service account's general token,
which opens the cluster's API, is never read. The file is read each time.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from indexpass._identity_token import is_for, is_there, read_file, read_token, require_unexpired
from indexpass._model import Fit, IdentityToken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass._model import Surroundings
    from indexpass._secret import Secret

FILE = "/var/run/secrets/tokens/indexpass"
_WEBHOOK_VARIABLES = ("AZURE_FEDERATED_TOKEN_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE")
_EXPIRED = "see why the kubelet does not renew it: kubectl describe pod NAME"


class KubernetesSource:
    """Reads a projected token, for whichever audience it was projected."""

    def __init__(self, file: str = FILE) -> None:
        """Look for our own token in ``file``."""
        self._file = file

    def examine(self, audience: str, environ: Mapping[str, str]) -> Fit:
        """Apply where a token for this audience is in the pod. Raises IdentityError if our own file holds none."""
        found = self._find(audience, environ)
        if found:
            return Fit(f"Kubernetes ({found[0]})")
        return Fit(None, f"the pod has no identity token ({self._file} is not there)", self._hint(audience))

    def prove(self, audience: str, surroundings: Surroundings) -> IdentityToken:
        """Return the token. Raises IdentityError if it has expired, or has gone meanwhile."""
        path, token = self._find(audience, surroundings.environ) or (self._file, self._read(audience))
        require_unexpired(token, where=f"the file {path}", now=surroundings.now(), hint=_EXPIRED)
        return IdentityToken(token, f"Kubernetes ({path})")

    def _find(self, audience: str, environ: Mapping[str, str]) -> tuple[str, Secret] | None:
        for path in filter(None, (environ.get(name) for name in _WEBHOOK_VARIABLES)):
            if is_there(path):
                hint = "see what projects it: kubectl describe pod NAME"
                token = read_token(read_file(path, hint=hint), where=f"the file {path}", hint=hint)
                if is_for(token, audience):
                    return path, token
        return (self._file, self._read(audience)) if is_there(self._file) else None

    def _read(self, audience: str) -> Secret:
        hint = self._hint(audience)
        return read_token(read_file(self._file, hint=hint), where=f"the file {self._file}", hint=hint)

    def _hint(self, audience: str) -> str:
        file = Path(self._file)
        return (
            f"mount at {file.parent} the volume {{ name: indexpass, projected: {{ sources: [ {{ serviceAccountToken: "
            f'{{ path: {file.name}, audience: "{audience}", expirationSeconds: 3600 }} }} ] }} }}'
        )
