"""What the broker remembers: the transactions on its database, and the look-ups of people and identity tokens.

Device sign-ins are in ``devices``, codes from the browser in ``codes``, sessions in ``sessions``, what was revoked in
``revocations``; their functions take the connection of a transaction that was begun here. This module never sees a
token or a password in clear.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from indexpass.broker.state import codes, devices, schema
from indexpass.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

    from indexpass._authorization import AuthorizationRequest
    from indexpass._secret import Secret
    from indexpass.broker.state.devices import DeviceRequest

AUDIT_SECONDS = 400 * 24 * 3600  # a year, and time to look at it


@dataclass(frozen=True, slots=True)
class User:
    """A person who signs in here; the hash is argon2id in its own text format."""

    name: str
    password_hash: str


class Store:
    """The database. Its methods block: call them on a thread, never on the event loop."""

    def __init__(self, url: str) -> None:
        """Open the database at this SQLAlchemy URL, and make what is missing. Raises StoreError."""
        self._engine = schema.open_database(url)
        # SQLite has one writer. Its own waiting is sleeping and asking again; a lock wakes the next one at once.
        self._turn: AbstractContextManager[object] = (
            threading.Lock() if self._engine.dialect.name == "sqlite" else nullcontext()
        )

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Begin a transaction that only reads."""
        with self._engine.connect() as connection:
            connection.execution_options(is_reading=True)
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Begin a transaction; it is committed on the way out, or rolled back if an exception passes."""
        with self._turn, self._engine.begin() as connection:
            yield connection

    def user(self, name: str) -> User | None:
        """Return the person of this name, or None."""
        query = select(schema.users.c.name, schema.users.c.password_hash).where(schema.users.c.name == name)
        with self.reading() as connection:
            row = connection.execute(query).one_or_none()
        return User(row.name, row.password_hash) if row else None

    def add_user(self, name: str, password_hash: str, now: float) -> None:
        """Add a person. Raises ConfigError if there is one of this name."""
        with self.writing() as connection:
            is_new = schema.insert_new(connection, schema.users, name=name, password_hash=password_hash, created_at=now)
        if not is_new:
            raise ConfigError(f"there is a user {name} already", hint="choose another name")

    def device_request(self, user_code: str, now: float) -> DeviceRequest | None:
        """Return the sign-in that waits for this code, or None if it is unknown, expired or decided."""
        with self.reading() as connection:
            return devices.waiting(connection, user_code, now)

    def decide_device(self, user_code: str, user: str, *, approved: bool, now: float) -> bool:
        """Approve or deny the sign-in in the person's name. Returns True if this call decided it."""
        with self.writing() as connection:
            return devices.decide(connection, user_code, user, approved=approved, now=now)

    def add_code(self, asked: AuthorizationRequest, user: str, *, client_id: str, now: float) -> Secret:
        """Write down that the person approved the request, and return the code for the program."""
        with self.writing() as connection:
            return codes.begin(connection, asked, user, client_id=client_id, now=now)

    def purge(self, now: float) -> None:
        """Remove what can no longer matter: all that has expired, and audit rows older than 400 days."""
        tables = (schema.device_codes, schema.authorization_codes, schema.sessions, schema.replay, schema.revocations)
        with self.writing() as connection:
            for table in tables:
                connection.execute(delete(table).where(table.c.expires_at < now))
            connection.execute(delete(schema.audit).where(schema.audit.c.time < now - AUDIT_SECONDS))


def claim_once(connection: Connection, key: str, expires_at: float) -> bool:
    """Remember that an identity token was used. Returns False if it had been used before."""
    return schema.insert_new(connection, schema.replay, key=key, expires_at=expires_at)
