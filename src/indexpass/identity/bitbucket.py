"""Bitbucket Pipelines: the token that a step with ``oidc: true`` finds in BITBUCKET_STEP_OIDC_TOKEN.

Its audience is the workspace's, and cannot be chosen (Bitbucket, "Integrate Pipelines with resource servers using
OIDC"). This module never makes a request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexpass._identity_token import read_token, require_unexpired
from indexpass._model import Fit, IdentityToken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass._model import Surroundings
    from indexpass._secret import Secret

_VARIABLE = "BITBUCKET_STEP_OIDC_TOKEN"
_HINT = "add to the step in bitbucket-pipelines.yml: oidc: true"


class BitbucketSource:
    """Reads the token of the step."""

    def examine(self, audience: str, environ: Mapping[str, str]) -> Fit:  # noqa: ARG002  # the audience is fixed
        """Apply where the step has a token. Raises IdentityError if that is none."""
        if not environ.get(_VARIABLE):
            return Fit(None, f"the step has no identity token ({_VARIABLE} is not set)", _HINT)
        _read(environ)
        return Fit("Bitbucket Pipelines")

    def prove(self, audience: str, surroundings: Surroundings) -> IdentityToken:  # noqa: ARG002  # likewise
        """Return the step's token, the same one each time. Raises IdentityError if it has expired."""
        token = _read(surroundings.environ)
        hint = "split the step: Bitbucket makes its token when the step starts"
        require_unexpired(token, where=f"the variable {_VARIABLE}", now=surroundings.now(), hint=hint)
        return IdentityToken(token, "Bitbucket Pipelines")


def _read(environ: Mapping[str, str]) -> Secret:
    return read_token(environ[_VARIABLE], where=f"the variable {_VARIABLE}", hint=_HINT)
