"""Sessions: a person's sign-in, kept alive by refresh tokens that work once (RFC 9700 section 4.14.2).

Each use of a refresh token yields its successor. A token that is used again is either a client that never got the
answer, within seconds, and is given the same successor; or a copy in the wrong hands, and ends the session. Each
function works within the caller's transaction. This module never decides what the person may do.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from indexpass.broker.keys import fingerprint, refresh_token_of
from indexpass.broker.oauth import OAuthError
from indexpass.broker.state import revocations
from indexpass.broker.state.schema import refresh_tokens, sessions

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from indexpass._secret import Secret
    from indexpass.broker.keys import Keys

GRACE_SECONDS = 30  # longer than a client waits for an answer before it asks again


@dataclass(frozen=True, slots=True)
class Session:
    """A sign-in that is neither over nor revoked. ``session_id`` is the ``sid`` of its access tokens."""

    session_id: str
    user: str


def begin(connection: Connection, user: str, *, client_id: str, seconds: int, now: float) -> tuple[Session, Secret]:
    """Begin a session that lasts ``seconds`` however often it is used; return it and its first refresh token."""
    session = Session(secrets.token_urlsafe(16), user)
    connection.execute(
        insert(sessions).values(
            id=session.session_id, user=user, client_id=client_id, created_at=now, expires_at=now + seconds
        )
    )
    refresh_token = refresh_token_of(secrets.token_bytes(32))
    _keep(connection, refresh_token, session.session_id, now)
    return session, refresh_token


def find(connection: Connection, refresh_token: Secret, now: float) -> Session | OAuthError:
    """Return the session that the token keeps alive, or why there is none.

    A token that was used before ends its session here, unless that was within the last 30 seconds. The refusal is
    returned, not raised, because the transaction has to be committed.
    """
    row = connection.execute(
        select(sessions, refresh_tokens.c.rotated_at)
        .join(refresh_tokens, refresh_tokens.c.session == sessions.c.id)
        .where(refresh_tokens.c.token_sha256 == fingerprint(refresh_token))
    ).one_or_none()
    if row is None or row.revoked_at is not None or row.expires_at <= now:
        return OAuthError("invalid_grant", "the session is not known, has ended, or was revoked")
    if row.rotated_at is not None and now - row.rotated_at > GRACE_SECONDS:
        revoke(connection, row.id, now)
        return OAuthError("invalid_grant", "the session was ended because its refresh token was used twice")
    return Session(row.id, row.user)


def rotate(connection: Connection, keys: Keys, refresh_token: Secret, session: Session, now: float) -> Secret:
    """Use the token up and return its successor: the same one, however often the client has to ask."""
    successor = keys.successor(refresh_token)
    first = connection.execute(
        update(refresh_tokens)
        .where(refresh_tokens.c.token_sha256 == fingerprint(refresh_token), refresh_tokens.c.rotated_at.is_(None))
        .values(rotated_at=now)
    )
    if first.rowcount == 1:
        _keep(connection, successor, session.session_id, now)
    return successor


def revoke(connection: Connection, session_id: str, now: float) -> None:
    """End the session, and the access tokens that came from it."""
    connection.execute(
        update(sessions).where(sessions.c.id == session_id, sessions.c.revoked_at.is_(None)).values(revoked_at=now)
    )
    revocations.revoke_session(connection, session_id, now)


def revoke_by_token(connection: Connection, refresh_token: Secret, now: float) -> str:
    """End the session of a refresh token, whether that is its latest or not; return the user, "" if there is none."""
    row = connection.execute(
        select(sessions.c.id, sessions.c.user)
        .join(refresh_tokens, refresh_tokens.c.session == sessions.c.id)
        .where(refresh_tokens.c.token_sha256 == fingerprint(refresh_token))
    ).one_or_none()
    if row is None:
        return ""
    revoke(connection, row.id, now)
    return str(row.user)


def _keep(connection: Connection, refresh_token: Secret, session_id: str, now: float) -> None:
    connection.execute(
        insert(refresh_tokens).values(token_sha256=fingerprint(refresh_token), session=session_id, created_at=now)
    )
