"""Tell a resource server what a token says and whether it is still good (RFC 7662).

Unlike who verifies with the published keys alone, it learns of revocations at once. This module never tells anything to
who has not shown the secret of a resource server, and never more of a token that is not good than just that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexpass._secret import Secret
from indexpass._wire import CLIENT_ID
from indexpass.broker.oauth import OAuthError, parse_basic, required
from indexpass.broker.state import resource_servers, revocations, sessions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from indexpass.broker.keys import AccessToken
    from indexpass.broker.service import Broker

_INACTIVE: dict[str, object] = {"active": False}


def introspect(broker: Broker, form: Mapping[str, str], *, authorization: str) -> dict[str, object]:
    """Return what is to be said of the token in ``form``. Blocks: run it on a thread. Raises OAuthError.

    A session's refresh token is looked for only where the hint says that it is one: to who wants to know whether a
    token opens an index, a refresh token is nothing.
    """
    server = parse_basic(authorization)
    with broker.store.reading() as connection:
        if server is None or not resource_servers.is_secret(connection, server.name, server.secret):
            raise OAuthError("invalid_client", "show the name and the secret of a resource server", status=401)
        token = Secret(required(form, "token"))
        if form.get("token_type_hint") == "refresh_token":
            return _describe_session(broker, connection, token)
        access_token = broker.keys.decode(token)
        if access_token is None or access_token.expires_at <= broker.now():
            return _INACTIVE
        if revocations.is_revoked(connection, access_token):
            return _INACTIVE
    return _describe(broker.settings.issuer, access_token)


def _describe(issuer: str, token: AccessToken) -> dict[str, object]:
    said: dict[str, object] = {
        "active": True,
        "iss": issuer,
        "sub": token.subject,
        "aud": token.audience,
        "client_id": CLIENT_ID,
        "scope": " ".join(sorted(token.scopes)),
        "token_type": "Bearer",
        "iat": int(token.issued_at),
        "exp": int(token.expires_at),
        "jti": token.token_id,
    }
    if token.session:  # only people have one
        said["username"] = token.subject
    if token.projects:
        said["projects"] = {scope: sorted(names) for scope, names in token.projects.items()}
    return said


def _describe_session(broker: Broker, connection: Connection, refresh_token: Secret) -> dict[str, object]:
    """Say no more than that the refresh token works: it is none of a resource server's business."""
    expires_at = sessions.ends_at(connection, refresh_token, broker.now())
    if expires_at is None:
        return _INACTIVE
    return {"active": True, "iss": broker.settings.issuer, "client_id": CLIENT_ID, "exp": int(expires_at)}
