"""What is no longer valid before its time: written to the database, and held in memory for the checks.

A token is revoked by its own id, with all others of its session, or with all that a key has signed. Each process reads
the list anew every few seconds, so a revocation reaches every process within that time. This module never removes an
entry before the last token that it could concern has expired.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from indexpass.broker.settings import MAX_TOKEN_SECONDS
from indexpass.broker.state import schema

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from indexpass.broker.keys import AccessToken
    from indexpass.broker.state.store import Store

REFRESH_SECONDS = 5
_KEY_SECONDS = 10 * 365 * 24 * 3600  # for good: who has stolen a key writes any expiry into a token
_log = logging.getLogger("indexpass.broker")


def revoke_session(connection: Connection, session_id: str, now: float) -> None:
    """Write down that no token of this session is valid any more."""
    schema.insert_new(connection, schema.revocations, id=session_id, expires_at=now + MAX_TOKEN_SECONDS)


def revoke_token(connection: Connection, token: AccessToken) -> None:
    """Write down that this token is not valid any more."""
    schema.insert_new(connection, schema.revocations, id=token.token_id, expires_at=token.expires_at)


def revoke_key(connection: Connection, kid: str, now: float) -> None:
    """Write down that nothing that this key has signed is valid any more."""
    schema.insert_new(connection, schema.revocations, id=kid, expires_at=now + _KEY_SECONDS)


def is_revoked(connection: Connection, token: AccessToken) -> bool:
    """Is the token revoked, as the database knows it at this moment?"""
    ids = (token.token_id, token.session, token.key_id)
    query = select(schema.revocations.c.id).where(schema.revocations.c.id.in_(ids)).limit(1)
    return connection.scalar(query) is not None


class Revocations:
    """The list as this process knows it."""

    def __init__(self, store: Store) -> None:
        """Know of nothing yet; the list is due."""
        self._store = store
        self._ids: frozenset[str] = frozenset()
        self._read_at = float("-inf")
        self._known_at = float("-inf")

    @property
    def size(self) -> int:
        """How many tokens and sessions are on the list."""
        return len(self._ids)

    def age(self, now: float) -> float:
        """Return the seconds since the list could last be read."""
        return now - self._known_at

    def has(self, token: AccessToken) -> bool:
        """Is the token revoked, by itself, with its session, or with the key that signed it?"""
        ids = self._ids
        return token.token_id in ids or token.session in ids or token.key_id in ids

    def is_due(self, now: float) -> bool:
        """Is the list older than five seconds, or from a future that the clock was set back from?"""
        return not 0 <= now - self._read_at < REFRESH_SECONDS

    def refresh(self, now: float) -> None:
        """Read the list. This blocks: call it on a thread.

        If the database does not answer, the old list stays in use until it does: tokens are short-lived, and no
        index should stand still because the broker cannot mint.
        """
        table = schema.revocations
        try:
            with self._store.reading() as connection:
                self._ids = frozenset(connection.scalars(select(table.c.id).where(table.c.expires_at > now)))
            self._known_at = now
        except SQLAlchemyError:
            # The store has said aloud that the database does not answer; this comes every five seconds.
            _log.debug("the list of revocations cannot be read; the one from before stays in use")
        self._read_at = now
