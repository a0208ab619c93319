"""The people's passwords: argon2id, and an answer that takes as long for an unknown name as for a known one.

This module never stores, logs or compares a password itself.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

if TYPE_CHECKING:
    from indexpass._secret import Secret
    from indexpass.broker.state.store import User

MIN_PASSWORD_LENGTH = 12
MAX_PASSWORD_LENGTH = 1024  # argon2 takes more; nobody types it
_hasher = PasswordHasher()  # argon2id with the second of the two settings that RFC 9106 recommends


def hash_password(password: Secret) -> str:
    """Return what is stored in place of the password: it costs 64 MiB and some 50 ms to try a guess."""
    return _hasher.hash(password.reveal())


def is_password(user: User | None, password: Secret) -> bool:
    """Is this the person's password? False for None, after as long a time: nobody learns which names exist."""
    text = password.reveal()
    if len(text) > MAX_PASSWORD_LENGTH:
        return False
    try:
        _hasher.verify(user.password_hash if user else _nobodys_hash(), text)
    except (VerificationError, InvalidHashError):
        return False
    return user is not None


@cache
def _nobodys_hash() -> str:
    return _hasher.hash("nobody has this password")
