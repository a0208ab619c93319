"""Which user a person of the company is: the one to whom their issuer and subject were bound when they first came.

A name is only what somebody is called, and a company may give it to another person later. So it is taken from the first
sign-in and then belongs to that person here, until whoever runs the broker removes them. Each function works within
the caller's transaction. This module never finds out who somebody is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from indexpass.broker.state import schema, users
from indexpass.broker.state.schema import users as table

if TYPE_CHECKING:
    from sqlalchemy import Connection


def admit(connection: Connection, *, issuer: str, subject: str, name: str, now: float) -> str:
    """Return the user name of this person, who has just signed in; ``name`` is for whoever comes for the first time.

    Returns "" if another person has that name: a local user, or one whom the company called so before.
    """
    if known := _find(connection, issuer, subject):
        users.note_sign_in(connection, known, now)
        return known
    row = {"name": name, "issuer": issuer, "subject": subject, "created_at": now, "last_sign_in_at": now}
    if schema.insert_new(connection, table, **row):
        return name
    return _find(connection, issuer, subject)  # they may have come twice at the same moment


def _find(connection: Connection, issuer: str, subject: str) -> str:
    query = select(table.c.name).where(table.c.issuer == issuer, table.c.subject == subject)
    return connection.scalar(query) or ""
