"""Authorization codes (RFC 6749 section 4.1.2): a person's approval in the browser, picked up by the program once.

Each function works within the caller's transaction. A code is a secret for a minute and kept as SHA-256; without the
program's own secret (PKCE, RFC 7636) it is worth nothing. This module never decides what the person may do.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from indexpass._authorization import challenge_of
from indexpass._secret import Secret
from indexpass.broker.keys import fingerprint
from indexpass.broker.oauth import OAuthError
from indexpass.broker.state import sessions
from indexpass.broker.state.devices import Approval
from indexpass.broker.state.groups import dump_groups, load_groups
from indexpass.broker.state.schema import authorization_codes as table

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from indexpass._authorization import AuthorizationRequest

LIFE_SECONDS = 60  # the program waits for it; RFC 6749 allows ten minutes, which nothing needs


def begin(  # noqa: PLR0913  # who approved what, and when, all by keyword
    connection: Connection,
    asked: AuthorizationRequest,
    user: str,
    *,
    client_id: str,
    now: float,
    groups: frozenset[str] = frozenset(),
) -> Secret:
    """Write down that the person approved the request, and return the code that says so."""
    code = Secret(f"ipc_{secrets.token_urlsafe(32)}")
    connection.execute(
        insert(table).values(
            code_sha256=fingerprint(code),
            user=user,
            groups=dump_groups(groups),
            client_id=client_id,
            redirect_uri=asked.redirect_uri,
            code_challenge=asked.code_challenge,
            resource=asked.resource,
            scope=asked.scope,
            expires_at=now + LIFE_SECONDS,
        )
    )
    return code


def find(  # noqa: PLR0913  # what a code is bound to, all by keyword
    connection: Connection, code: Secret, *, client_id: str, redirect_uri: str, verifier: Secret, now: float
) -> Approval | OAuthError:
    """Return the approval that the code stands for, or why it is worth nothing.

    A code that was used before ends the session that came from it, whoever shows it: one of the two is a thief
    (RFC 6749 section 4.1.2). The refusal is returned, not raised, because the transaction has to be committed.
    """
    row = connection.execute(select(table).where(table.c.code_sha256 == fingerprint(code))).one_or_none()
    if row is not None and row.session is not None:
        sessions.revoke(connection, row.session, now)
        return OAuthError("invalid_grant", "the code was used before, so its session was ended")
    if row is None or row.expires_at <= now:
        return OAuthError("invalid_grant", "the code is not known, or is older than a minute")
    if row.client_id != client_id or row.redirect_uri != redirect_uri:
        return OAuthError("invalid_grant", "the code was made for another client or redirect_uri")
    if not hmac.compare_digest(row.code_challenge, challenge_of(verifier)):
        return OAuthError("invalid_grant", "the code_verifier does not belong to the code_challenge")
    return Approval(row.user, row.resource, row.scope, load_groups(row.groups))


def redeem(connection: Connection, code: Secret, session_id: str, *, keep_until: float) -> bool:
    """Use the code up for a session, and remember that for as long. Returns False if somebody was faster."""
    result = connection.execute(
        update(table)
        .where(table.c.code_sha256 == fingerprint(code), table.c.session.is_(None))
        .values(session=session_id, expires_at=keep_until)
    )
    return result.rowcount == 1
