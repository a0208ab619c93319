"""Where people sign in beside the broker's own passwords: ``[company]`` as it stands in ``broker.toml``.

This module reads one table; the client secret stays in its file, and the provider is asked nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from indexpass.broker.settings import Company, values
from indexpass.broker.trust.claims import check_key

if TYPE_CHECKING:
    from pathlib import Path

    from indexpass.broker.settings.table import Table

KEYS = (
    "name",
    "issuer",
    "client-id",
    "client-secret-file",
    "scopes",
    "name-claim",
    "groups-claim",
    "required-groups",
    "max-age",
    "private-network",
)
SCOPES = ("openid", "profile", "email")
NAME_CLAIMS = ("preferred_username", "email")
MAX_AGE_SECONDS = 90 * 24 * 3600
_MAX_TEXT_LENGTH = 255
_MAX_NAME_LENGTH = 40  # it stands on a button
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,255}")  # RFC 6749 section 3.3


def read_company(table: Table, folder: Path) -> Company:
    """Return the company's provider; the path of its secret is relative to ``folder``. Raises ConfigError."""
    return Company(
        name=table.parsed("name", _name),
        issuer=table.parsed("issuer", values.url_as_written),
        client_id=table.parsed("client-id", _text),
        client_secret_file=table.optional("client-secret-file", lambda text: folder / text),
        scopes=_scopes(table) if "scopes" in table.values else SCOPES,
        name_claims=(table.parsed("name-claim", _claim),) if "name-claim" in table.values else NAME_CLAIMS,
        groups_claim=table.parsed("groups-claim", _claim, default="groups"),
        required_groups=frozenset(table.texts("required-groups") if "required-groups" in table.values else ()),
        max_age_seconds=table.optional("max-age", values.seconds(MAX_AGE_SECONDS)),
        is_private=table.flag("private-network"),
    )


def _name(text: str) -> str:
    if len(text) > _MAX_NAME_LENGTH:
        msg = f"the name stands on a button: at most {_MAX_NAME_LENGTH} characters"
        raise ValueError(msg)
    return text


def _text(text: str) -> str:
    if len(text) > _MAX_TEXT_LENGTH:
        msg = f"at most {_MAX_TEXT_LENGTH} characters are possible here"
        raise ValueError(msg)
    return text


def _claim(text: str) -> str:
    return check_key(_text(text))


def _scopes(table: Table) -> tuple[str, ...]:
    scopes = table.texts("scopes")
    if "openid" not in scopes:
        raise table.wrong("scopes", '"openid" is missing', hint='write scopes = ["openid", "profile", "email"]')
    for scope in scopes:
        if not _SCOPE.fullmatch(scope):
            raise table.wrong("scopes", f"{scope!r} is not a scope", hint="write each scope as a text of its own")
    return scopes
