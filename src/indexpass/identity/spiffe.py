"""SPIFFE: a JWT-SVID in a file that spiffe-helper, or another, writes and renews.

There is no usual name for the file, so this is the one that the pages tell to make. The Workload API itself is not
spoken here: its gRPC would be the largest part of the client. The file is read each time, and only what names a SPIFFE
ID is taken (SPIFFE, "The SPIFFE JWT-SVID").
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from indexpass._identity_token import is_there, read_claims, read_file, read_token, require_unexpired
from indexpass._model import Fit, IdentityToken
from indexpass.errors import IdentityError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass._model import Surroundings
    from indexpass._secret import Secret

FILE = "/run/spiffe/indexpass.jwt"


class SpiffeSource:
    """Reads the JWT-SVID."""

    def __init__(self, file: str = FILE) -> None:
        """Look for the JWT-SVID in ``file``."""
        self._file = file

    def examine(self, audience: str, environ: Mapping[str, str]) -> Fit:  # noqa: ARG002  # the file says all
        """Apply where the file is there. Raises IdentityError if it holds no JWT-SVID."""
        if not is_there(self._file):
            return Fit(None, f"there is no JWT-SVID ({self._file} is not there)", self._hint(audience))
        self._read(audience)
        return Fit(f"SPIFFE ({self._file})")

    def prove(self, audience: str, surroundings: Surroundings) -> IdentityToken:
        """Return the JWT-SVID. Raises IdentityError if it has expired, or has gone meanwhile."""
        token = self._read(audience)
        hint = "see whether spiffe-helper still runs, and reaches the agent"
        require_unexpired(token, where=f"the file {self._file}", now=surroundings.now(), hint=hint)
        return IdentityToken(token, f"SPIFFE ({self._file})")

    def _read(self, audience: str) -> Secret:
        where, hint = f"the file {self._file}", self._hint(audience)
        token = read_token(read_file(self._file, hint=hint), where=where, hint=hint)
        if not str(read_claims(token).get("sub", "")).startswith("spiffe://"):
            raise IdentityError(f"{where} does not hold a JWT-SVID: its subject is no SPIFFE ID", hint=hint)
        return token

    def _hint(self, audience: str) -> str:
        file = Path(self._file)
        return (
            f'let spiffe-helper write it: cert_dir = "{file.parent}", '
            f'jwt_svids = [ {{ jwt_audience = "{audience}", jwt_svid_file_name = "{file.name}" }} ]'
        )
