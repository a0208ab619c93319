"""Resource servers: who may ask what a token says, each with a secret of its own, kept as SHA-256 only.

Each function works within the caller's transaction. This module never sees a token.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from indexpass._secret import Secret
from indexpass.broker.keys import fingerprint
from indexpass.broker.state import schema
from indexpass.broker.state.schema import resource_servers as table

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class ResourceServer:
    """One that may ask; ``created_at`` is in seconds since the epoch."""

    name: str
    created_at: float


def add(connection: Connection, name: str, now: float) -> Secret | None:
    """Add one, and return its secret, which is shown once. Returns None if there is one of this name."""
    secret = Secret(f"ips_{secrets.token_urlsafe(32)}")  # the prefix lets scanners of leaked secrets find it
    is_new = schema.insert_new(connection, table, name=name, secret_sha256=fingerprint(secret), created_at=now)
    return secret if is_new else None


def read(connection: Connection) -> list[ResourceServer]:
    """Return all of them by name."""
    rows = connection.execute(select(table).order_by(table.c.name))
    return [ResourceServer(row.name, row.created_at) for row in rows]


def remove(connection: Connection, name: str) -> bool:
    """Remove one. Returns False if there is none of this name."""
    return connection.execute(delete(table).where(table.c.name == name)).rowcount == 1


def is_secret(connection: Connection, name: str, secret: Secret) -> bool:
    """Is this the secret of the resource server of this name?"""
    kept = connection.scalar(select(table.c.secret_sha256).where(table.c.name == name))
    return kept is not None and hmac.compare_digest(kept, fingerprint(secret))
