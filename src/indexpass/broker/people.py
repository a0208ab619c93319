"""Who signs in with a password, and how one is chosen: argon2id, lock-out, invitations.

An unknown name, a locked account and a wrong password get the same answer after as long a time; only the audit learns
which it was. This module never logs a password and never speaks HTTP.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from indexpass.broker.state import invitations, users

if TYPE_CHECKING:
    from indexpass._secret import Secret
    from indexpass.broker.state.store import Store
    from indexpass.broker.state.users import User

MIN_PASSWORD_LENGTH = 12
MAX_PASSWORD_LENGTH = 1024  # argon2 takes more; nobody types it
_USER_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")  # no colon: that is how workloads are told from people
_hasher = PasswordHasher()  # argon2id with the second of the two settings that RFC 9106 recommends


@dataclass(frozen=True, slots=True)
class WrongPassword:
    """Why somebody is not signed in, for the audit alone; ``who`` is empty if nobody has the name."""

    who: str
    reason: str


def is_user_name(text: str) -> bool:
    """May a person be called so?"""
    return bool(_USER_NAME.fullmatch(text))


def has_right_length(password: Secret) -> bool:
    """Is the password neither too short to be safe nor longer than anybody types?"""
    return MIN_PASSWORD_LENGTH <= len(password.reveal()) <= MAX_PASSWORD_LENGTH


def hash_password(password: Secret) -> str:
    """Return what is stored in place of the password: it costs 64 MiB and some 50 ms to try a guess."""
    return _hasher.hash(password.reveal())


def is_password(user: User | None, password: Secret) -> bool:
    """Is this the person's password? False for None, after as long a time: nobody learns which names exist."""
    text = password.reveal()
    if len(text) > MAX_PASSWORD_LENGTH:
        return False
    known = user.password_hash if user else None
    try:
        _hasher.verify(known or _nobodys_hash(), text)
    except (VerificationError, InvalidHashError):
        return False
    return known is not None


def sign_in(store: Store, name: str, password: Secret, *, is_known: bool, now: float) -> User | WrongPassword:
    """Return the person if this is their password, else why they are not signed in. Blocks: run it on a thread.

    With ``is_known`` the browser has been signed in as this person before. It is let in though the account is locked,
    and its slips do not lock it: otherwise whoever knows a name could keep its owner out by guessing.
    """
    with store.writing() as connection:
        may_try = is_known or users.take_try(connection, name, now)
        user = users.find(connection, name)
    if not is_password(user if may_try else None, password) or user is None:
        return _wrong(user, may_try=may_try, is_locked=user is not None and not is_known and user.is_locked(now))
    outdated = _hasher.check_needs_rehash(user.password_hash or "")
    renewed = hash_password(password) if outdated else ""
    with store.writing() as connection:
        users.note_sign_in(connection, user.name, now)
        if not is_known:  # a sign-in there is no news about the guesses elsewhere
            users.unlock(connection, user.name)
        if renewed:
            users.renew_hash(connection, user, renewed)
    return user


def accept_invitation(store: Store, code: Secret, password: Secret, now: float) -> str:
    """Give the person who was invited by this code the password, and sign them in; return their name.

    Returns "" if the code is unknown, used or over. Blocks: run it on a thread.
    """
    with store.reading() as connection:
        if not invitations.find(connection, code, now):
            return ""
    password_hash = hash_password(password)
    with store.writing() as connection:
        name = invitations.find(connection, code, now)
        if not name or not invitations.redeem(connection, code):
            return ""
        users.set_password(connection, name, password_hash, now)
        users.note_sign_in(connection, name, now)
    return name


def _wrong(user: User | None, *, may_try: bool, is_locked: bool) -> WrongPassword:
    if user is None:
        return WrongPassword("", "unknown user")
    if not may_try:
        return WrongPassword(user.name, "the account is locked")
    return WrongPassword(user.name, "wrong password, and the account is locked now" if is_locked else "wrong password")


@cache
def _nobodys_hash() -> str:
    return _hasher.hash("nobody has this password")
