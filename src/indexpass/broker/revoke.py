"""End what a token stands for (RFC 7009): its session for a refresh token, itself for an access token.

Whoever holds a token may end it. This module never tells whether a token was known.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from indexpass._secret import Secret
from indexpass.broker.exchange import check_client
from indexpass.broker.keys import fingerprint
from indexpass.broker.oauth import required
from indexpass.broker.state import audit, revocations, sessions
from indexpass.broker.state.audit import Entry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass.broker.service import Broker


def revoke(broker: Broker, form: Mapping[str, str], *, address: str) -> None:
    """Revoke the token in ``form``; do nothing if it is not known. Blocks: run it on a thread. Raises OAuthError."""
    check_client(form)
    token = Secret(required(form, "token"))
    now = broker.now()
    entry = Entry(now, "revocation", "granted", token_sha256=fingerprint(token), address=address)
    access_token = broker.keys.decode(token)
    with broker.store.writing() as connection:
        if access_token:
            revocations.revoke_token(connection, access_token)
            who = access_token.subject
        else:
            who = sessions.revoke_by_token(connection, token, now)
        if not who:
            return
        entry = replace(entry, who=who)
        audit.write(connection, entry)
    broker.audit.announce(entry)
    broker.revocations.refresh(now)
