"""Sessions: a person's sign-in, kept alive by refresh tokens that work once (RFC 9700 section 4.14.2).

Each use of a refresh token yields its successor. A token that is used again is either a client that never got the
answer, within seconds, and is given the same successor; or a copy in the wrong hands, and ends the session. Each
function works within the caller's transaction. This module never decides what the person may do.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import and_, func, insert, select, update

from indexpass.broker.keys import fingerprint, refresh_token_of
from indexpass.broker.oauth import OAuthError
from indexpass.broker.state import revocations
from indexpass.broker.state.groups import dump_groups, load_groups
from indexpass.broker.state.schema import refresh_tokens, sessions

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

    from indexpass._secret import Secret
    from indexpass.broker.keys import Keys

GRACE_SECONDS = 30  # longer than a client waits for an answer before it asks again


@dataclass(frozen=True, slots=True)
class Session:
    """A sign-in that is neither over nor revoked. ``session_id`` is the ``sid`` of its access tokens.

    ``groups`` are those of the sign-in: who leaves a group at the company has it here until the session is over.
    """

    session_id: str
    user: str
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What a person is shown of a session of theirs; times are in seconds since the epoch."""

    session_id: str
    client_id: str
    groups: frozenset[str]
    created_at: float
    last_used_at: float
    expires_at: float
    address: str


def begin(  # noqa: PLR0913  # what a session knows of itself, all by keyword
    connection: Connection,
    user: str,
    *,
    client_id: str,
    seconds: int,
    now: float,
    groups: frozenset[str] = frozenset(),
    address: str = "",
    session_id: str = "",
) -> tuple[Session, Secret]:
    """Begin a session that lasts ``seconds`` however often it is used; return it and its first refresh token.

    ``session_id`` is one of :func:`new_id`, for who has to know it before.
    """
    session = Session(session_id or new_id(), user, groups)
    connection.execute(
        insert(sessions).values(
            id=session.session_id,
            user=user,
            groups=dump_groups(groups),
            client_id=client_id,
            created_at=now,
            last_used_at=now,
            expires_at=now + seconds,
            address=address,
        )
    )
    refresh_token = refresh_token_of(secrets.token_bytes(32))
    _keep(connection, refresh_token, session.session_id, now)
    return session, refresh_token


def new_id() -> str:
    """Return an id that no session has."""
    return secrets.token_urlsafe(16)


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
    return Session(row.id, row.user, load_groups(row.groups))


def rotate(  # noqa: PLR0913  # the token, what it belongs to, when and where it is used
    connection: Connection, keys: Keys, refresh_token: Secret, session: Session, now: float, *, address: str = ""
) -> Secret:
    """Use the token up and return its successor: the same one, however often the client has to ask."""
    successor = keys.successor(refresh_token)
    first = connection.execute(
        update(refresh_tokens)
        .where(refresh_tokens.c.token_sha256 == fingerprint(refresh_token), refresh_tokens.c.rotated_at.is_(None))
        .values(rotated_at=now)
    )
    if first.rowcount == 1:
        _keep(connection, successor, session.session_id, now)
        is_this = sessions.c.id == session.session_id
        connection.execute(update(sessions).where(is_this).values(last_used_at=now, address=address))
    return successor


def ends_at(connection: Connection, refresh_token: Secret, now: float) -> float | None:
    """Return when the session ends that the token keeps alive; None if the token was used, or the session is over."""
    query = (
        select(sessions.c.expires_at)
        .join(refresh_tokens, refresh_tokens.c.session == sessions.c.id)
        .where(
            refresh_tokens.c.token_sha256 == fingerprint(refresh_token),
            refresh_tokens.c.rotated_at.is_(None),
            sessions.c.revoked_at.is_(None),
            sessions.c.expires_at > now,
        )
    )
    return connection.scalar(query)


def revoke(connection: Connection, session_id: str, now: float) -> None:
    """End the session, and the access tokens that came from it."""
    connection.execute(
        update(sessions).where(sessions.c.id == session_id, sessions.c.revoked_at.is_(None)).values(revoked_at=now)
    )
    revocations.revoke_session(connection, session_id, now)


def list_open(connection: Connection, user: str, now: float, *, limit: int) -> list[SessionFacts]:
    """Return the person's sessions that are neither over nor revoked, those used latest first."""
    query = select(sessions).where(_is_open(user, now)).order_by(sessions.c.last_used_at.desc()).limit(limit)
    return [
        SessionFacts(
            session_id=row.id,
            client_id=row.client_id,
            groups=load_groups(row.groups),
            created_at=row.created_at,
            last_used_at=row.last_used_at,
            expires_at=row.expires_at,
            address=row.address,
        )
        for row in connection.execute(query)
    ]


def revoke_own(connection: Connection, user: str, session_id: str, now: float) -> bool:
    """End the session if it is the person's own and still open. Returns False if it is not."""
    query = select(sessions.c.id).where(_is_open(user, now), sessions.c.id == session_id)
    if connection.execute(query).one_or_none() is None:
        return False
    revoke(connection, session_id, now)
    return True


def revoke_all(connection: Connection, user: str, now: float) -> int:
    """End all of the person's sessions; return how many were open.

    Tokens of sessions that are over by now may still be alive, so those are revoked as well.
    """
    count = connection.scalar(select(func.count()).select_from(sessions).where(_is_open(user, now)))
    for session_id in connection.scalars(select(sessions.c.id).where(sessions.c.user == user)).all():
        revoke(connection, session_id, now)
    return count or 0


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


def _is_open(user: str, now: float) -> ColumnElement[bool]:
    return and_(sessions.c.user == user, sessions.c.expires_at > now, sessions.c.revoked_at.is_(None))


def _keep(connection: Connection, refresh_token: Secret, session_id: str, now: float) -> None:
    connection.execute(
        insert(refresh_tokens).values(token_sha256=fingerprint(refresh_token), session=session_id, created_at=now)
    )
