"""Device sign-ins (RFC 8628): begun by a program, decided by a person, picked up by the program once.

Each function works within the caller's transaction. A device code is a secret and kept as SHA-256; a user code is
for a person to read and type. This module never decides what the person may do.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import and_, func, select, true, update

from indexpass._secret import Secret
from indexpass.broker.keys import fingerprint
from indexpass.broker.oauth import OAuthError
from indexpass.broker.state import schema
from indexpass.broker.state.groups import dump_groups, load_groups
from indexpass.broker.state.schema import device_codes as table

if TYPE_CHECKING:
    from sqlalchemy import Connection

LIFE_SECONDS = 600
INTERVAL_SECONDS = 5
SLOW_DOWN_SECONDS = 5  # RFC 8628 section 3.5
# How many may wait at once. Each that waits makes guessing a code a little easier, and is a row in the database. A
# company behind one address stays below the first number; the second is 34 bits against 5,000, at five guesses each.
MAX_WAITING_AT_ADDRESS = 200
MAX_WAITING = 5_000
_TOLERANCE_SECONDS = 1  # a client that waits exactly the interval may arrive a little early
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # RFC 8628 section 6.1: no vowels, so no words; nothing that looks like a digit
_CODE_LENGTH = 8


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """What a person is asked to approve. ``user_code`` is written XXXX-XXXX; times are seconds since the epoch."""

    user_code: str
    client_id: str
    resource: str
    scope: str
    address: str
    created_at: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class Approval:
    """An approved sign-in: who approved it, and what the program had asked for.

    ``groups`` are the person's in the sign-in in which they approved; the session that begins from it keeps them.
    """

    user: str
    resource: str
    scope: str
    groups: frozenset[str] = frozenset()


def begin(  # noqa: PLR0913  # what the person will be shown, all by keyword
    connection: Connection, *, client_id: str, resource: str, scope: str, address: str, now: float
) -> tuple[Secret, str]:
    """Begin a sign-in; return its device code, and its user code written XXXX-XXXX."""
    device_code = Secret(f"ipd_{secrets.token_urlsafe(32)}")
    while True:
        user_code = "".join(secrets.choice(_LETTERS) for _ in range(_CODE_LENGTH))
        is_new = schema.insert_new(
            connection,
            table,
            device_code_sha256=fingerprint(device_code),
            user_code=user_code,
            client_id=client_id,
            resource=resource,
            scope=scope,
            address=address,
            created_at=now,
            expires_at=now + LIFE_SECONDS,
            interval=INTERVAL_SECONDS,
        )
        if is_new:  # the code is free: it is taken once in 25,600 million for each sign-in that waits
            return device_code, _shown(user_code)


def wait_seconds(connection: Connection, address: str, now: float) -> int:
    """Return 0 if another sign-in may begin at this address, or the seconds until one of those that wait is over."""
    is_waiting = and_(table.c.expires_at > now, table.c.decision.is_(None))
    soonest = 0.0
    for is_counted, limit in ((table.c.address == address, MAX_WAITING_AT_ADDRESS), (true(), MAX_WAITING)):
        query = select(func.count(), func.min(table.c.expires_at)).where(is_waiting, is_counted)
        count, first_end = connection.execute(query).one()
        if count >= limit:
            soonest = max(soonest, first_end - now)
    return math.ceil(soonest)


def waiting(connection: Connection, user_code: str, now: float) -> DeviceRequest | None:
    """Return the sign-in that this code names, or None if it is unknown, expired or decided."""
    row = connection.execute(
        select(table).where(
            table.c.user_code == normalised(user_code), table.c.expires_at > now, table.c.decision.is_(None)
        )
    ).one_or_none()
    if row is None:
        return None
    return DeviceRequest(
        user_code=_shown(row.user_code),
        client_id=row.client_id,
        resource=row.resource,
        scope=row.scope,
        address=row.address,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )


def decide(  # noqa: PLR0913  # who decided what, and when, all by keyword
    connection: Connection,
    user_code: str,
    user: str,
    *,
    approved: bool,
    now: float,
    groups: frozenset[str] = frozenset(),
) -> bool:
    """Write down the person's decision. Returns True if this call made it, False if there is nothing to decide."""
    result = connection.execute(
        update(table)
        .where(table.c.user_code == normalised(user_code), table.c.expires_at > now, table.c.decision.is_(None))
        .values(user=user, groups=dump_groups(groups), decision="approved" if approved else "denied")
    )
    return result.rowcount == 1


def poll(connection: Connection, device_code: Secret, now: float) -> Approval | OAuthError:
    """Answer the program that waits: the approval, or why there is none yet, or none at all.

    The refusal is returned, not raised, because the transaction that counts this poll has to be committed.
    """
    is_ours = table.c.device_code_sha256 == fingerprint(device_code)
    row = connection.execute(select(table).where(is_ours)).one_or_none()
    if row is None or row.redeemed_at is not None:
        return OAuthError("invalid_grant", "the device code is not known, or was used already")
    if row.expires_at <= now:
        return OAuthError("expired_token", "nobody decided in time")
    if row.decision == "denied":
        return OAuthError("access_denied", "the sign-in was denied")
    if row.decision == "approved":
        return Approval(row.user, row.resource, row.scope, load_groups(row.groups))
    is_early = row.polled_at is not None and now - row.polled_at < row.interval - _TOLERANCE_SECONDS
    interval = row.interval + SLOW_DOWN_SECONDS if is_early else row.interval
    connection.execute(update(table).where(is_ours).values(polled_at=now, interval=interval))
    if is_early:
        return OAuthError("slow_down", f"ask every {interval} seconds at most")
    return OAuthError("authorization_pending", "nobody has decided yet")


def redeem(connection: Connection, device_code: Secret, now: float) -> bool:
    """Use an approval up. Returns False if somebody was faster."""
    result = connection.execute(
        update(table)
        .where(table.c.device_code_sha256 == fingerprint(device_code), table.c.redeemed_at.is_(None))
        .values(redeemed_at=now)
    )
    return result.rowcount == 1


def normalised(user_code: str) -> str:
    """Return the code in the form in which it is compared: no dashes or spaces, upper case."""
    return "".join(user_code.replace("-", " ").split()).upper()


def _shown(user_code: str) -> str:
    return f"{user_code[:4]}-{user_code[4:]}"
