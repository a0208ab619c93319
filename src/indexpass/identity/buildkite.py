"""Buildkite: the agent beside the job makes a token for any audience.

All organizations share the issuer, so the token is asked for with the ids of organization and pipeline, which are never
given to another (Buildkite, "buildkite-agent oidc"). This module never reads BUILDKITE_AGENT_ACCESS_TOKEN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexpass._identity_token import read_token
from indexpass._model import Fit, IdentityToken
from indexpass._token_program import find_program, run_program

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass._model import Surroundings

_SOURCE = "Buildkite"
_CLAIMS = ("organization_id", "pipeline_id")
_HINT = "mount buildkite-agent into the job's container (the Docker plugin's option mount-buildkite-agent: true)"


class BuildkiteSource:
    """Asks ``buildkite-agent`` for a token."""

    def examine(self, audience: str, environ: Mapping[str, str]) -> Fit:  # noqa: ARG002  # any audience is possible
        """Apply where the agent's program can be run."""
        if find_program("buildkite-agent", environ):
            return Fit(_SOURCE)
        return Fit(None, "the job has no buildkite-agent on its PATH", _HINT)

    def prove(self, audience: str, surroundings: Surroundings) -> IdentityToken:
        """Return a new token. Raises IdentityError if none can be had."""
        environ = surroundings.environ
        words = ["oidc", "request-token", "--audience", audience]
        for claim in _CLAIMS:
            words += ["--claim", claim]
        hint = f"see why: buildkite-agent {' '.join(words)} >/dev/null"
        printed = run_program(
            [find_program("buildkite-agent", environ) or "buildkite-agent", *words], environ, hint=hint
        )
        return IdentityToken(read_token(printed, where="what buildkite-agent prints", hint=hint), _SOURCE)
