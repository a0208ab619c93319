"""The people: who may sign in, and how often somebody has just failed to.

Each function works within the caller's transaction. A person is local, with a password, or one of the company's,
whom its OpenID provider knows by issuer and subject; who was invited has no password yet. This module never sees a
password in clear, and never decides whether one is right.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import delete, exists, or_, select, update

from indexpass.broker.state import schema, sessions
from indexpass.broker.state.schema import users as table

if TYPE_CHECKING:
    from sqlalchemy import Connection

MAX_WRONG_PASSWORDS = 10  # in a row, before the account is locked, and before it is locked again
FIRST_LOCK_SECONDS = 15 * 60  # doubled with each further lock
MAX_LOCK_SECONDS = 8 * 3600  # at worst 30 guesses a day, and a person is back the next morning


@dataclass(frozen=True, slots=True)
class User:
    """A person; times are in seconds since the epoch.

    ``password_hash`` is argon2id in its own text format, or None. ``issuer`` and ``subject`` are what the company's
    provider calls a person of its own.
    """

    name: str
    password_hash: str | None = field(repr=False)
    created_at: float = 0.0
    issuer: str | None = None
    subject: str | None = None
    last_sign_in_at: float | None = None
    signed_out_at: float | None = None
    locked_until: float | None = None

    @property
    def is_local(self) -> bool:
        """Does this person sign in here, with a password, and not at the company?"""
        return self.issuer is None

    def is_locked(self, now: float) -> bool:
        """Are passwords not even looked at?"""
        return self.locked_until is not None and self.locked_until > now

    def may_be_signed_in(self, since: float) -> bool:
        """May a browser that was signed in then still be? Not if that was before all were signed out.

        Nor if the person did not exist yet: then it was another one of the same name.
        """
        return since >= max(self.created_at, self.signed_out_at or 0.0)


_COLUMNS = [table.c[name] for name in User.__dataclass_fields__]


def find(connection: Connection, name: str) -> User | None:
    """Return the person of this name, or None."""
    row = connection.execute(select(*_COLUMNS).where(table.c.name == name)).one_or_none()
    return User(*row) if row else None


def list_all(connection: Connection) -> list[User]:
    """Return everybody, by name."""
    return [User(*row) for row in connection.execute(select(*_COLUMNS).order_by(table.c.name))]


def has_passwords(connection: Connection) -> bool:
    """Is there anybody who signs in with a password?"""
    return bool(connection.scalar(select(exists().where(table.c.password_hash.is_not(None)))))


def add(connection: Connection, name: str, password_hash: str | None, now: float) -> bool:
    """Add a local person; without a hash, one who cannot sign in yet. Returns False if the name is taken."""
    return schema.insert_new(connection, table, name=name, password_hash=password_hash, created_at=now)


def remove(connection: Connection, name: str, now: float) -> int:
    """Remove the person and all that is theirs; their tokens are revoked. Returns how many sessions were ended."""
    ended = sessions.revoke_all(connection, name, now)
    connection.execute(delete(table).where(table.c.name == name))
    return ended


def set_password(connection: Connection, name: str, password_hash: str, now: float) -> int:
    """Give the person another password; whoever is signed in with the old one is not any more.

    It ends a lock and an invitation, too. Returns how many sessions were ended.
    """
    connection.execute(delete(schema.invitations).where(schema.invitations.c.user == name))
    connection.execute(update(table).where(table.c.name == name).values(password_hash=password_hash))
    unlock(connection, name)
    return sign_out(connection, name, now)


def renew_hash(connection: Connection, user: User, password_hash: str) -> None:
    """Keep another hash of the same password, unless the password has been changed meanwhile."""
    is_same = (table.c.name == user.name) & (table.c.password_hash == user.password_hash)
    connection.execute(update(table).where(is_same).values(password_hash=password_hash))


def sign_out(connection: Connection, name: str, now: float) -> int:
    """Sign the person out of every browser, and end their sessions. Returns how many of those there were."""
    connection.execute(update(table).where(table.c.name == name).values(signed_out_at=now))
    return sessions.revoke_all(connection, name, now)


def take_try(connection: Connection, name: str, now: float) -> bool:
    """Count a wrong password before it is known to be one. Returns False, and counts nothing, for a locked account.

    So a hundred guesses at once, at however many brokers, are a hundred guesses. Every tenth in a row locks the
    account; :func:`unlock` makes up for it if that was the right password after all.
    """
    is_theirs = table.c.name == name
    is_unlocked = or_(table.c.locked_until.is_(None), table.c.locked_until <= now)
    counted = connection.execute(
        update(table).where(is_theirs, is_unlocked).values(wrong_passwords=table.c.wrong_passwords + 1)
    )
    if not counted.rowcount:
        return False
    count = connection.scalars(select(table.c.wrong_passwords).where(is_theirs)).one()
    if count % MAX_WRONG_PASSWORDS == 0:
        seconds = min(FIRST_LOCK_SECONDS * 2 ** (count // MAX_WRONG_PASSWORDS - 1), MAX_LOCK_SECONDS)
        connection.execute(update(table).where(is_theirs).values(locked_until=now + seconds))
    return True


def note_sign_in(connection: Connection, name: str, now: float) -> None:
    """Write down that the person has signed in."""
    connection.execute(update(table).where(table.c.name == name).values(last_sign_in_at=now))


def unlock(connection: Connection, name: str) -> None:
    """Forget all wrong passwords."""
    connection.execute(update(table).where(table.c.name == name).values(wrong_passwords=0, locked_until=None))
