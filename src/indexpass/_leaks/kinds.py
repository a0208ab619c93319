"""Which tokens tell by their beginning what they are, who issued them, and where they are revoked.

One row a kind, after the issuer's own documentation. A row counts only with a body long enough to be a token, so a
word that begins alike is none.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Kind(NamedTuple):
    """A kind of token: its name for people, and where it is revoked. ``stands_alone`` if nothing else looks like it."""

    name: str
    revoke: str
    stands_alone: bool = True


_GITHUB = "GitHub, Settings → Developer settings"
_TABLE = {
    r"pypi-[A-Za-z0-9_-]{16,}": Kind("PyPI API token", "PyPI, Account settings → API tokens"),
    r"ghp_[A-Za-z0-9]{16,}": Kind("GitHub personal access token", f"{_GITHUB} → Personal access tokens"),
    r"github_pat_[A-Za-z0-9_]{16,}": Kind("GitHub fine-grained token", f"{_GITHUB} → Personal access tokens"),
    r"gh[ou]_[A-Za-z0-9]{16,}": Kind("GitHub OAuth token", "GitHub, Settings → Applications"),
    r"gh[sr]_[A-Za-z0-9._-]{16,}": Kind("GitHub App token", "GitHub, Settings → Applications"),
    r"glpat-[A-Za-z0-9_.-]{16,}": Kind("GitLab access token", "GitLab, Preferences → Access tokens"),
    r"gldt-[A-Za-z0-9_-]{16,}": Kind(
        "GitLab deploy token", "GitLab, the project's Settings → Repository → Deploy tokens"
    ),
    r"glcbt-[A-Za-z0-9_-]{16,}": Kind("GitLab job token", "it ended with its job"),
    r"gloas-[A-Za-z0-9_-]{16,}": Kind("GitLab OAuth application's secret", "GitLab, Preferences → Applications"),
    r"hv[bs]\.[A-Za-z0-9_-]{16,}": Kind("Vault token", "vault token revoke -self, as its owner"),
    r"AKC[A-Za-z0-9]{50,}": Kind("JFrog API key", "JFrog, Edit profile"),
    r"cmVmdGtu[A-Za-z0-9]{40,}": Kind("JFrog reference token", "JFrog, Administration → Access tokens"),
    r"[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}": Kind(
        "Azure DevOps token", "Azure DevOps, User settings → Personal access tokens"
    ),
    r"ya29\.[A-Za-z0-9_-]{16,}": Kind("Google access token", "it ends within the hour"),
    r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_.-]{8,}": Kind("JSON Web Token", "whoever issued it", stands_alone=False),
}


def name_kind(value: str) -> Kind | None:
    """Return what the value says of itself by how it begins, or None."""
    return next((kind for pattern, kind in _TABLE.items() if re.match(pattern, value)), None)


def find_alone(text: str) -> list[tuple[int, int]]:
    """Return the spans of tokens that cannot be anything else, wherever they stand."""
    patterns = "|".join(pattern for pattern, kind in _TABLE.items() if kind.stands_alone)
    return [found.span() for found in re.finditer(rf"(?<![A-Za-z0-9_.-])(?:{patterns})", text)]
