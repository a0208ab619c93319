"""The schedule of the signing keys: which are published, which one signs, which still verify.

All replicas find the keys here. Each has a number, and a number is given once, even if its key is revoked: so of two
processes that make the next key, one succeeds. A key is published before it signs, so that whoever has read the keys
before knows it by then; it verifies until the last token that it can have signed has expired. Each function works
within the caller's transaction. This module never sees a key in clear.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, or_, select, update
from sqlalchemy.exc import SQLAlchemyError

from indexpass.broker.settings import MAX_TOKEN_SECONDS
from indexpass.broker.state import revocations, schema
from indexpass.broker.state.schema import signing_keys as table
from indexpass.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from indexpass.broker.keys import Keys, SealedKey
    from indexpass.broker.state.store import Store

    Make = Callable[[], SealedKey]

AHEAD_SECONDS = 24 * 3600  # how long before it signs a key is published, where time allows: some read keys once a day
MIN_AHEAD_SECONDS = 600  # and at the least: twice as long as our answers may be cached
VERIFY_SECONDS = MAX_TOKEN_SECONDS + 600  # after the next one has begun to sign; clocks differ by less than that
_MAX_TRIES = 10
_log = logging.getLogger("indexpass.broker")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key and its times, in seconds since the epoch; ``signs_until`` is infinite while no other is to follow."""

    number: int
    kid: str
    sealed: str
    published_at: float
    signs_from: float
    signs_until: float = math.inf

    @property
    def verifies_until(self) -> float:
        """When the last token that it signed has expired."""
        return self.signs_until + VERIFY_SECONDS

    def state(self, now: float) -> str:
        """Say what the key does at this time: it is next, signs, verifies, or is over."""
        if now < self.signs_from:
            return "next"
        if now < self.signs_until:
            return "signs"
        return "verifies" if now < self.verifies_until else "over"


def read(connection: Connection) -> tuple[SigningKey, ...]:
    """Return all keys that are not revoked, the oldest first."""
    return _read(connection)[0]


def _read(connection: Connection) -> tuple[tuple[SigningKey, ...], int]:
    """Return the keys, and the highest number that was given, at one moment: who adds the next one compares both."""
    given = connection.execute(select(table).order_by(table.c.number)).all()
    rows = [row for row in given if row.revoked_at is None]
    ends = [*(row.signs_from for row in rows[1:]), math.inf]
    keys = tuple(
        SigningKey(row.number, row.kid, row.sealed, row.published_at, row.signs_from, end)
        for row, end in zip(rows, ends, strict=False)  # where there is no key, there is no end either
    )
    return keys, given[-1].number if given else 0


def load(store: Store, keys: Keys) -> None:
    """Have ``keys`` use what the database has. This blocks: call it on a thread.

    If the database does not answer, or one of the keys cannot be opened, those from before stay in use.
    """
    try:
        with store.reading() as connection:
            found = read(connection)
        keys.hold(found)
    except SQLAlchemyError:
        _log.debug("the signing keys cannot be read; those from before stay in use")  # said aloud by the store
    except StoreError as error:
        _log.error("%s; the keys from before stay in use", error)


def keep_up(connection: Connection, make: Make, *, lifetime: float, now: float) -> None:
    """Do what time asks for: publish the next key a day before it has to sign, and remove those that are over."""
    found, newest = _read(connection)
    if not found:
        _add(connection, make, newest + 1, published_at=now, signs_from=now)
        return
    last = found[-1]
    if now >= last.signs_from + lifetime - AHEAD_SECONDS:
        begins = max(last.signs_from + lifetime, now + MIN_AHEAD_SECONDS)
        _add(connection, make, newest + 1, published_at=now, signs_from=begins)
    over = [key.number for key in found if now >= key.verifies_until]
    is_over = or_(table.c.number.in_(over), table.c.revoked_at < now - VERIFY_SECONDS)
    connection.execute(delete(table).where(is_over, table.c.number < newest))  # the highest number is not given again


def rotate(connection: Connection, make: Make, *, now: float) -> SigningKey:
    """Have another key sign as soon as it has been published for ten minutes; return it.

    That is the key that waits for its time, where there is one, and a new one otherwise.
    """
    for _ in range(_MAX_TRIES):
        found, newest = _read(connection)
        if found and found[-1].state(now) == "next":
            _hasten(connection, found[-1], max(now, found[-1].published_at + MIN_AHEAD_SECONDS))
            return read(connection)[-1]
        begins = now + MIN_AHEAD_SECONDS if found else now
        if _add(connection, make, newest + 1, published_at=now, signs_from=begins):
            return read(connection)[-1]
    raise _busy()


def replace(connection: Connection, make: Make, *, now: float) -> SigningKey:
    """Revoke all keys, and have a new one sign at once; return it. No token that was minted before is valid now."""
    for _ in range(_MAX_TRIES):
        found, newest = _read(connection)
        for key in found:
            _revoke(connection, key, now)
        if _add(connection, make, newest + 1, published_at=now, signs_from=now):
            return read(connection)[-1]
    raise _busy()


def revoke(connection: Connection, make: Make, kid: str, *, now: float) -> bool:
    """Revoke one key and all that it signed. Returns False if there is none of this id.

    If it was the one that signs, the next one does at once; where there is none, a new one is made.
    """
    revoked = next((key for key in read(connection) if key.kid == kid), None)
    if revoked is None:
        return False
    _revoke(connection, revoked, now)
    if revoked.state(now) != "signs":
        return True
    for _ in range(_MAX_TRIES):
        found, newest = _read(connection)
        following = [key for key in found if key.number > revoked.number]
        if following:
            _hasten(connection, following[0], now)
            return True
        if _add(connection, make, newest + 1, published_at=now, signs_from=now):
            return True
    raise _busy()


def _add(connection: Connection, make: Make, number: int, *, published_at: float, signs_from: float) -> bool:
    """Add a key. Returns False if another process has just given the number to one of its own."""
    kid, sealed = make()
    return schema.insert_new(
        connection, table, number=number, kid=kid, sealed=sealed, published_at=published_at, signs_from=signs_from
    )


def _hasten(connection: Connection, key: SigningKey, begins: float) -> None:
    """Have the key sign from this time on, unless it does so earlier anyway."""
    is_later = (table.c.number == key.number) & (table.c.signs_from > begins)
    connection.execute(update(table).where(is_later).values(signs_from=begins))


def _revoke(connection: Connection, key: SigningKey, now: float) -> None:
    """Erase the key, and tell all processes that what they have verified with it is no longer valid."""
    revocations.revoke_key(connection, key.kid, now)
    connection.execute(update(table).where(table.c.number == key.number).values(revoked_at=now, sealed=""))


def _busy() -> StoreError:
    return StoreError("other processes are making signing keys as well", hint="run the command again")
