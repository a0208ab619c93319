"""An identity token that someone else obtained, in a variable or a file.

For every platform that puts an OIDC ID token there itself: GitLab's ``id_tokens:``, a Kubernetes projected volume, a
SPIFFE helper. The file is read each time, because its owner renews it. This module never makes a request and never
checks the token: the broker does.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from indexpass._model import IdentityToken
from indexpass._secret import Secret
from indexpass.errors import IdentityError

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "INDEXPASS_IDENTITY_TOKEN"
FILE_VARIABLE = "INDEXPASS_IDENTITY_TOKEN_FILE"
MAX_TOKEN_BYTES = 16 * 1024


class GenericSource:
    """Reads the token from INDEXPASS_IDENTITY_TOKEN, or from the file that INDEXPASS_IDENTITY_TOKEN_FILE names."""

    def prove(self, audience: str, environ: Mapping[str, str]) -> IdentityToken | None:
        """Return the token that is there, or None if neither variable is set.

        The audience was chosen by whoever made the token. Raises IdentityError if a variable is set but no token can
        be had from it.
        """
        if value := environ.get(VARIABLE):
            return IdentityToken(_token(value, where=f"the variable {VARIABLE}", audience=audience), VARIABLE)
        if path := environ.get(FILE_VARIABLE):
            return IdentityToken(_token(_read(path), where=f"the file {path}", audience=audience), FILE_VARIABLE)
        return None


def _read(path: str) -> str:
    # Without O_NONBLOCK, a named pipe without a writer would hang the client for ever.
    try:
        descriptor = os.open(Path(path), os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(MAX_TOKEN_BYTES + 1) or b""  # None from a pipe whose writer has not written yet
            return data.decode("ascii", errors="replace")
    except OSError as error:
        raise IdentityError(
            f"the identity token cannot be read from {path}: {error.strerror}",
            hint=f"check {FILE_VARIABLE}: ls -l {path}",
        ) from error


def _token(text: str, *, where: str, audience: str) -> Secret:
    token = text.strip()
    if len(token) > MAX_TOKEN_BYTES or not token.isascii() or token.count(".") != 2:  # noqa: PLR2004  # RFC 7519
        raise IdentityError(
            f"{where} does not hold an OIDC ID token (three parts with dots between)",
            hint=f"let your platform write a token for the audience {audience} there",
        )
    return Secret(token)
