"""An identity token that someone else obtained, in a variable or a file.

For every platform that puts an OIDC ID token there itself, and before all other sources: who sets these variables has
decided. The file is read each time, because its owner renews it. This module never makes a request and never checks
the token: the broker does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexpass._identity_token import read_file, read_token, require_unexpired
from indexpass._model import Fit, IdentityToken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass._model import Surroundings
    from indexpass._secret import Secret

VARIABLE = "INDEXPASS_IDENTITY_TOKEN"
FILE_VARIABLE = "INDEXPASS_IDENTITY_TOKEN_FILE"


class GenericSource:
    """Reads the token from INDEXPASS_IDENTITY_TOKEN, or from the file that INDEXPASS_IDENTITY_TOKEN_FILE names."""

    def examine(self, audience: str, environ: Mapping[str, str]) -> Fit:
        """Apply where one of the variables is set. Raises IdentityError if no token can be had from it."""
        for variable in (VARIABLE, FILE_VARIABLE):
            if environ.get(variable):
                _read(variable, audience, environ)
                return Fit(variable)
        return Fit(None, f"neither {VARIABLE} nor {FILE_VARIABLE} is set")

    def prove(self, audience: str, surroundings: Surroundings) -> IdentityToken:
        """Return the token that is there; its audience was chosen by whoever made it.

        Raises IdentityError if it cannot be had, or has expired.
        """
        environ = surroundings.environ
        variable = VARIABLE if environ.get(VARIABLE) else FILE_VARIABLE
        token = _read(variable, audience, environ)
        require_unexpired(token, where=_place(variable, environ), now=surroundings.now(), hint=_hint(audience))
        return IdentityToken(token, variable)


def _read(variable: str, audience: str, environ: Mapping[str, str]) -> Secret:
    text = environ[variable]
    if variable == FILE_VARIABLE:
        text = read_file(text, hint=f"check {FILE_VARIABLE}: ls -l {text}")
    return read_token(text, where=_place(variable, environ), hint=_hint(audience))


def _place(variable: str, environ: Mapping[str, str]) -> str:
    return f"the file {environ[variable]}" if variable == FILE_VARIABLE else f"the variable {variable}"


def _hint(audience: str) -> str:
    return f"let your platform write a token for the audience {audience} there"
