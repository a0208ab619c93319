"""Which identity tokens were used, of those that are accepted once.

Each function works within the caller's transaction. This module never sees a token: a token's key stands for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import select

from indexpass.broker.state import schema
from indexpass.broker.state.many import insert_all_new

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

_table = schema.replay


class Use(NamedTuple):
    """The use of an identity token, to be remembered until ``expires_at``, in seconds since the epoch."""

    key: str
    expires_at: float


def use(connection: Connection, key: str, expires_at: float) -> bool:
    """Remember that an identity token was used. Returns False if it had been used before."""
    return schema.insert_new(connection, _table, key=key, expires_at=expires_at)


def use_all(connection: Connection, uses: Sequence[Use]) -> bool:
    """Remember that these were used. Returns False if any of them had been: roll the transaction back then.

    They are taken in the order of their keys: two replicas would otherwise wait for each other.
    """
    ordered = [each._asdict() for each in sorted(uses)]
    return insert_all_new(connection, _table, ordered) == len(ordered)


def was_used(connection: Connection, key: str) -> bool:
    """Has the identity token been used?"""
    return connection.scalar(select(_table.c.key).where(_table.c.key == key)) is not None
