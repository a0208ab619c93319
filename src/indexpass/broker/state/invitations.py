"""Invitations: codes with which a person chooses their first password, or another if it is forgotten.

Each function works within the caller's transaction. A code is a secret for some days, works once, and is kept as
SHA-256; a person has at most one. This module never sees a password.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from indexpass._secret import Secret
from indexpass.broker.keys import fingerprint
from indexpass.broker.state.schema import invitations as table

if TYPE_CHECKING:
    from sqlalchemy import Connection

_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # no vowels, so no words; nothing that looks like a digit
_GROUPS, _GROUP_LENGTH = 4, 5  # 86 bits: SHA-256 of it is as good as a slow hash
_CODE = re.compile(f"[{_LETTERS}]{{{_GROUPS * _GROUP_LENGTH}}}")


def begin(connection: Connection, user: str, *, seconds: float, now: float) -> Secret:
    """Invite the person, and return the code, written XXXXX-XXXXX-XXXXX-XXXXX. One from before works no longer."""
    code = Secret("-".join("".join(secrets.choice(_LETTERS) for _ in range(_GROUP_LENGTH)) for _ in range(_GROUPS)))
    connection.execute(delete(table).where(table.c.user == user))
    connection.execute(
        insert(table).values(user=user, code_sha256=fingerprint(_normalised(code)), expires_at=now + seconds)
    )
    return code


def find(connection: Connection, code: Secret, now: float) -> str:
    """Return who is invited by this code, however it is spaced; "" if it is unknown, used or over."""
    normalised = _normalised(code)
    if not _CODE.fullmatch(normalised.reveal()):
        return ""
    query = select(table.c.user).where(table.c.code_sha256 == fingerprint(normalised), table.c.expires_at > now)
    return str(connection.scalar(query) or "")


def redeem(connection: Connection, code: Secret) -> bool:
    """Use the code up. Returns False if somebody was faster."""
    return connection.execute(delete(table).where(table.c.code_sha256 == fingerprint(_normalised(code)))).rowcount == 1


def list_ends(connection: Connection) -> dict[str, float]:
    """Return until when each person who is invited may come."""
    return {row.user: row.expires_at for row in connection.execute(select(table))}


def _normalised(code: Secret) -> Secret:
    return Secret("".join(code.reveal().replace("-", " ").split()).upper())
