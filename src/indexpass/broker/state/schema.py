"""The tables.

Opaque tokens and codes are kept as SHA-256 only: who reads the database can use none of them. Times are seconds since
the epoch. This module holds no query but the one insertion that several tables need. Who changes a table writes a
revision too: ``python -m indexpass.broker.state.migrations "what changes"``.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy import (
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from sqlalchemy import Connection, Insert

# A constraint that has a name can be changed later, on every database.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

users = Table(
    "users",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("password_hash", Text),  # none for people of the company, and for who was invited and has not come yet
    Column("created_at", Float, nullable=False),
    Column("issuer", Text),  # with the subject: who this is at the company's OpenID provider; none for local users
    Column("subject", Text),
    Column("last_sign_in_at", Float),
    Column("signed_out_at", Float),  # what a browser was signed in for before then is over
    Column("wrong_passwords", Integer, nullable=False, default=0),  # in a row
    Column("locked_until", Float),
    UniqueConstraint("issuer", "subject", name="users_identity"),
)

invitations = Table(
    "invitations",
    metadata,
    Column("user", ForeignKey("users.name", ondelete="CASCADE"), primary_key=True),
    Column("code_sha256", String(64), nullable=False, unique=True),
    Column("expires_at", Float, nullable=False, index=True),
)

device_codes = Table(
    "device_codes",
    metadata,
    Column("device_code_sha256", String(64), primary_key=True),
    # In clear: eight letters that live ten minutes are found faster than any hash of them is computed.
    Column("user_code", String(8), nullable=False, unique=True),
    Column("client_id", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False, index=True),
    Column("interval", Integer, nullable=False),
    Column("polled_at", Float),
    Column("user", ForeignKey("users.name", ondelete="CASCADE")),
    Column("groups", Text, nullable=False, default="[]"),  # of the sign-in in which the person decided, as JSON
    Column("decision", String(8)),  # approved or denied; none while nobody has decided
    Column("redeemed_at", Float),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("user", ForeignKey("users.name", ondelete="CASCADE"), nullable=False, index=True),
    Column("client_id", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False, index=True),
    Column("revoked_at", Float),
    Column("groups", Text, nullable=False, default="[]"),  # of the person when they signed in, as JSON
    Column("last_used_at", Float, nullable=False),
    Column("address", Text, nullable=False, default=""),  # where it was used from last
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("token_sha256", String(64), primary_key=True),
    Column("session", ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("created_at", Float, nullable=False),
    Column("rotated_at", Float),
)

authorization_codes = Table(
    "authorization_codes",
    metadata,
    Column("code_sha256", String(64), primary_key=True),
    Column("user", ForeignKey("users.name", ondelete="CASCADE"), nullable=False),
    Column("groups", Text, nullable=False, default="[]"),  # of the sign-in in which the person approved, as JSON
    Column("client_id", Text, nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("code_challenge", String(43), nullable=False),
    Column("resource", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("session", ForeignKey("sessions.id", ondelete="CASCADE")),  # none while nobody has used the code
    Column("expires_at", Float, nullable=False, index=True),  # the code's end; once it is used, its session's
)

replay = Table(
    "replay",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("expires_at", Float, nullable=False, index=True),
)

revocations = Table(
    "revocations",
    metadata,
    Column("id", String(64), primary_key=True),  # a token's jti, or a session's id: that is the tokens' sid
    Column("expires_at", Float, nullable=False, index=True),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),  # given once, whoever makes the next key
    Column("kid", String(43), nullable=False, unique=True),
    Column("sealed", Text, nullable=False),  # the private key, encrypted by the secret in the broker's folder
    Column("published_at", Float, nullable=False),
    Column("signs_from", Float, nullable=False),
    Column("revoked_at", Float),  # then the row is left for its number alone, without the key
)

resource_servers = Table(
    "resource_servers",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("secret_sha256", String(64), nullable=False),
    Column("created_at", Float, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("time", Float, nullable=False),
    Column("event", String(32), nullable=False),
    Column("who", Text, nullable=False),
    Column("index", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("result", String(8), nullable=False),
    Column("reason", Text, nullable=False),
    Column("token_sha256", String(64), nullable=False),
    Column("address", Text, nullable=False),
    Column("about", Text, nullable=False, default=""),
    # What is searched for one name or one token. All else is found by reading a span of time.
    Index("audit_time", "time", "id"),
    Index("audit_who", "who", "time"),
    Index("audit_token", "token_sha256"),
)

usage = Table(
    "usage",
    metadata,
    Column("day", String(10), primary_key=True),  # YYYY-MM-DD, in UTC
    Column("index", String(40), primary_key=True),
    Column("project", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("who", Text, primary_key=True),
    Column("times", Integer, nullable=False),
    Column("last", Float, nullable=False),
    Index("usage_project", "project", "last"),
)


def insert_new(connection: Connection, table: Table, **values: object) -> bool:
    """Insert a row. Returns False, and changes nothing, if one with its key is there.

    If another transaction is about to insert the same row, this waits until it is known whether it did.
    """
    done = connection.execute(_insertion(table, connection.dialect.name), values)
    return done.rowcount == 1


@cache  # half of what an insertion costs is to put the statement together
def _insertion(table: Table, dialect: str) -> Insert:
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return insert(table).on_conflict_do_nothing().execution_options(preserve_rowcount=True)
