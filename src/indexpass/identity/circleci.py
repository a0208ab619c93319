"""CircleCI: the job's own ``circleci`` program makes a token for any audience.

CircleCI also puts a token into CIRCLE_OIDC_TOKEN_V2, whose audience is the organization's id; it is taken where that is
the audience which is wanted. (CircleCI, "Using OpenID Connect tokens in jobs" and "OIDC tokens with custom claims".)
The issuer is the organization's own, never the one that all organizations share.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from indexpass._identity_token import is_for, read_token, require_unexpired
from indexpass._model import Fit, IdentityToken
from indexpass._token_program import find_program, run_program

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass._model import Surroundings
    from indexpass._secret import Secret

_VARIABLE = "CIRCLE_OIDC_TOKEN_V2"
_SOURCE = "CircleCI"
_HINT = "run the job on CircleCI itself; a fork's build has no token unless the project passes its secrets to forks"


class CircleCISource:
    """Takes the job's token if it is for the audience, else asks ``circleci`` for one."""

    def examine(self, audience: str, environ: Mapping[str, str]) -> Fit:
        """Apply where the job has a token for this audience, or the program that makes one."""
        if _held(audience, environ) or find_program("circleci", environ):
            return Fit(_SOURCE)
        return Fit(None, f"the job has no circleci on its PATH, and no token for {audience} in {_VARIABLE}", _HINT)

    def prove(self, audience: str, surroundings: Surroundings) -> IdentityToken:
        """Return a token. Raises IdentityError if none can be had."""
        environ = surroundings.environ
        held = _held(audience, environ)
        if held:
            hint = "ask for an audience that circleci can make a token for, or split the job"
            require_unexpired(held, where=f"the variable {_VARIABLE}", now=surroundings.now(), hint=hint)
            return IdentityToken(held, _SOURCE)
        program = find_program("circleci", environ) or "circleci"
        words = ["run", "oidc", "get", "--claims", json.dumps({"aud": audience})]
        hint = f"see why: circleci run oidc get --claims '{words[-1]}' >/dev/null"
        printed = run_program([program, *words], environ, hint=hint)
        return IdentityToken(read_token(printed, where="what circleci prints", hint=hint), _SOURCE)


def _held(audience: str, environ: Mapping[str, str]) -> Secret | None:
    """Return the job's token if it is for this audience. Raises IdentityError if it is none."""
    if not environ.get(_VARIABLE):
        return None
    token = read_token(environ[_VARIABLE], where=f"the variable {_VARIABLE}", hint=_HINT)
    return token if is_for(token, audience) else None
