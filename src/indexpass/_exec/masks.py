"""Lines that tell a CI system to hide a secret in the log of the job that runs this.

GitHub Actions and Azure Pipelines take such lines. GitLab has none: it masks what is a variable in its settings, and
known prefixes. This module prints nothing.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from indexpass._credential import Credential

_GITHUB = "::add-mask::"  # GitHub's "Workflow commands", "Masking a value in a log"
_AZURE = "##vso[task.setsecret]"  # Microsoft's "Logging commands", SetSecret


def mask_lines(credential: Credential, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines for the system that runs this, if it takes any. This reveals the secret, to that system."""
    if environ.get("GITHUB_ACTIONS") == "true":
        prefix = _GITHUB
    elif environ.get("TF_BUILD", "").lower() == "true":
        prefix = _AZURE
    else:
        return
    secret = credential.secret.reveal()
    header = base64.b64encode(f"{credential.username}:{secret}".encode()).decode()  # what a client's own log may show
    for value in (secret, header):
        if value.isprintable():
            yield prefix + (value.replace("%", "%25") if prefix == _GITHUB else value)
