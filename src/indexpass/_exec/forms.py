"""The forms in which a command can be handed credentials: which variables, with what in them.

Only a ``netrc`` file and Renovate's rules say which host a credential is for. A variable for an index by name goes to
whatever URL the project gives to that name, so it is handed out only where somebody asks for it. An upload's variables
name the URL as well, so that a command without one of its own sends the credential nowhere else. This module obtains
nothing and writes no file.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

from indexpass.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from indexpass._credential import Credential, Index, Operation

    Handed = tuple[Index, Credential]  # one index, and what the command gets for it

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Form(NamedTuple):
    """Whom it is for, what it needs a credential for, and the variables; these reveal the secrets."""

    whom: str
    operation: Operation
    variables: Callable[[Sequence[Handed]], dict[str, str]]


def _by_name(username: str, password: str) -> Callable[[Sequence[Handed]], dict[str, str]]:
    """Return what names two variables for each index; ``{}`` in them is the index's name, in capitals."""

    def variables(handed: Sequence[Handed]) -> dict[str, str]:
        found: dict[str, str] = {}
        for index, credential in handed:
            name = _variable_part(index)
            if username.format(name) in found:
                raise ConfigError(
                    f"the names of two indexes are both {name} in a variable", hint="name the one you need: --index"
                )
            found[username.format(name)] = credential.username
            found[password.format(name)] = credential.secret.reveal()
        return found

    return variables


def _for_upload(username: str, password: str, url: str) -> Callable[[Sequence[Handed]], dict[str, str]]:
    """Return what names three variables for the one index that is uploaded to."""

    def variables(handed: Sequence[Handed]) -> dict[str, str]:
        (index, credential) = handed[0]
        # The tools send to the URL as it is written, and an upload URL is matched with and without the slash.
        found = {username: credential.username, password: credential.secret.reveal(), url: str(index.upload_url)}
        return {name.format(_variable_part(index)) if "{}" in name else name: value for name, value in found.items()}

    return variables


def _for_renovate(handed: Sequence[Handed]) -> dict[str, str]:
    """Return Renovate's rules for its hosts, each for all that is below one URL."""
    rules = [
        {
            "hostType": "pypi",
            "matchHost": str(index.url.root),
            "username": credential.username,
            "password": credential.secret.reveal(),
        }
        for index, credential in handed
    ]
    return {"RENOVATE_HOST_RULES": json.dumps(rules)}


def _variable_part(index: Index) -> str:
    """Return the index's name as uv and Poetry write it in a variable's: ``_`` for all but letters and digits."""
    if not _NAME.fullmatch(index.name):
        raise ConfigError(
            f"the index {index.name!r} has no name that can be part of a variable's",
            hint=f"give it one: indexpass add {index.url} --name acme",
        )
    return re.sub(r"[^A-Z0-9]", "_", index.name.upper())


NETRC = "netrc"
FORMS = {
    NETRC: Form("what reads the file at NETRC: pip, uv, Poetry, requests", "read", lambda _: {}),
    "poetry": Form(
        "Poetry's sources, by name",
        "read",
        _by_name("POETRY_HTTP_BASIC_{}_USERNAME", "POETRY_HTTP_BASIC_{}_PASSWORD"),
    ),
    "renovate": Form("Renovate, for Python packages", "read", _for_renovate),
    "uv": Form("uv's indexes, by name", "read", _by_name("UV_INDEX_{}_USERNAME", "UV_INDEX_{}_PASSWORD")),
    "flit-publish": Form("flit publish", "upload", _for_upload("FLIT_USERNAME", "FLIT_PASSWORD", "FLIT_INDEX_URL")),
    "hatch-publish": Form(
        "hatch publish", "upload", _for_upload("HATCH_INDEX_USER", "HATCH_INDEX_AUTH", "HATCH_INDEX_REPO")
    ),
    "pdm-publish": Form(
        "pdm publish", "upload", _for_upload("PDM_PUBLISH_USERNAME", "PDM_PUBLISH_PASSWORD", "PDM_PUBLISH_REPO")
    ),
    "poetry-publish": Form(
        "poetry publish -r NAME",
        "upload",
        _for_upload("POETRY_HTTP_BASIC_{}_USERNAME", "POETRY_HTTP_BASIC_{}_PASSWORD", "POETRY_REPOSITORIES_{}_URL"),
    ),
    "twine": Form("twine upload", "upload", _for_upload("TWINE_USERNAME", "TWINE_PASSWORD", "TWINE_REPOSITORY_URL")),
    "uv-publish": Form(
        "uv publish", "upload", _for_upload("UV_PUBLISH_USERNAME", "UV_PUBLISH_PASSWORD", "UV_PUBLISH_URL")
    ),
}
