"""What kind of file is it? By its name and the folders above it, as the tools themselves look for it.

A folder is searched for files with these names only: what no tool reads is no place where an index's secret works, and
documentation is full of made-up ones.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import PurePath

# What a text may hold beside URLs, and how a clean URL in it has to look, depends on its form.
Form = Literal[
    "requirements",
    "pip",
    "uv",
    "pipfile",
    "settings",
    "pyproject",
    "lock",
    "pypirc",
    "netrc",
    "git",
    "script",
    "code",
    "text",
]

_NAMES: dict[str, Form] = {
    "pip.conf": "pip",
    "pip.ini": "pip",
    "uv.toml": "uv",
    "pipfile": "pipfile",
    "pyproject.toml": "pyproject",
    "poetry.toml": "settings",
    "auth.toml": "settings",
    "pdm.toml": "settings",
    ".pdm.toml": "settings",
    "hatch.toml": "settings",
    "credentials.toml": "settings",
    "poetry.lock": "lock",
    "uv.lock": "lock",
    "pdm.lock": "lock",
    "pipfile.lock": "lock",
    ".pypirc": "pypirc",
    ".netrc": "netrc",
    "_netrc": "netrc",
    ".gitconfig": "git",
    ".gitmodules": "git",
    "tox.ini": "script",
    "setup.cfg": "script",
    "makefile": "script",
    "justfile": "script",
    "jenkinsfile": "script",
    "environment.yml": "script",
    "environment.yaml": "script",
    ".pre-commit-config.yaml": "script",
    "action.yml": "script",
    "action.yaml": "script",
    ".travis.yml": "script",
    ".drone.yml": "script",
    "appveyor.yml": "script",
    "bitbucket-pipelines.yml": "script",
    "cloudbuild.yaml": "script",
    "setup.py": "code",
    "noxfile.py": "code",
}
_FORMS_BY_PLACE: tuple[tuple[str, Form], ...] = (
    (
        r"(?:.*/)?(?:[^/]*(?:requirements|constraints)[^/]*\.(?:txt|in)|(?:requirements|constraints)/[^/]+\.(?:txt|in))",
        "requirements",
    ),
    (r"(?:.*/)?pylock\.(?:[^/.]+\.)?toml", "lock"),
    (r"(?:.*/)?(?:pypoetry|pdm|hatch)/(?:[^/]+/)?config\.toml", "settings"),
    (r"(?:.*/)?(?:\.git|git)/config|(?:.*/)?\.git/modules/.*/config", "git"),
    (r"(?:.*/)?(?:\.env|\.env\.[^/]*|[^/]*\.env|\.envrc)", "script"),
    (r"(?:.*/)?(?:dockerfile|containerfile)(?:\.[^/]*)?|(?:.*/)?[^/]*\.(?:dockerfile|containerfile)", "script"),
    (r"(?:.*/)?(?:docker-)?compose[^/]*\.ya?ml", "script"),
    (
        r"(?:.*/)?(?:\.github|\.gitea|\.forgejo|\.gitlab|\.circleci|\.buildkite|\.woodpecker|\.azuredevops)/(?:.*/)?[^/]*\.ya?ml",
        "script",
    ),
    (r"(?:.*/)?[^/]*(?:\.gitlab-ci|azure-pipelines|buildspec)[^/]*\.ya?ml", "script"),
    (r"(?:.*/)?[^/]*\.(?:sh|bash|bat|cmd|ps1)", "script"),
)
_PATTERNS = tuple((re.compile(pattern), form) for pattern, form in _FORMS_BY_PLACE)


def name_form(path: PurePath) -> Form | None:
    """Return what kind of file this is by its name, or None if no tool is known to read secrets of indexes from it."""
    form = _NAMES.get(path.name.lower())
    if form:
        return form
    place = path.as_posix().lower()
    return next((form for pattern, form in _PATTERNS if pattern.fullmatch(place)), None)
