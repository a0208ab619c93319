"""GitLab CI: a token that the job's ``id_tokens:`` put into a variable, one for each audience.

GitLab lets the job choose the variable's name. This is the one that PyPI's clients look for, made of the audience:
``HTTPS___TOKENS_ACME_EXAMPLE_ID_TOKEN``; a job that has one broker may as well name it INDEXPASS_IDENTITY_TOKEN, which
is another source's. This module never reads CI_JOB_TOKEN, which proves nothing about the job to others.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from indexpass._identity_token import read_token, require_unexpired
from indexpass._model import Fit, IdentityToken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass._model import Surroundings


class GitLabSource:
    """Reads the variable whose name is made of the audience."""

    def examine(self, audience: str, environ: Mapping[str, str]) -> Fit:
        """Apply where ``id_tokens:`` of the job has a token for this audience. Raises IdentityError if it is none."""
        variable = _variable(audience)
        if not environ.get(variable):
            return Fit(None, f"the job has no identity token ({variable} is not set)", _hint(audience))
        read_token(environ[variable], where=f"the variable {variable}", hint=_hint(audience))
        return Fit(f"GitLab ({variable})")

    def prove(self, audience: str, surroundings: Surroundings) -> IdentityToken:
        """Return the job's token, the same one each time. Raises IdentityError if it has expired."""
        variable = _variable(audience)
        where = f"the variable {variable}"
        token = read_token(surroundings.environ[variable], where=where, hint=_hint(audience))
        hint = "give the job a longer timeout: GitLab makes its tokens when it starts, for as long as that"
        require_unexpired(token, where=where, now=surroundings.now(), hint=hint)
        return IdentityToken(token, f"GitLab ({variable})")


def _variable(audience: str) -> str:
    """Return the name that twine, uv and sigstore know: the audience in capitals, ``_`` for all but letters and digits.

    A digit cannot come first.
    """
    return re.sub(r"[^A-Z0-9_]|^[^A-Z_]", "_", audience.upper()) + "_ID_TOKEN"


def _hint(audience: str) -> str:
    return f'add to the job: id_tokens: {{ INDEXPASS_IDENTITY_TOKEN: {{ aud: "{audience}" }} }}'
