from __future__ import annotations

import pytest

from indexpass._secret import Secret
from indexpass.broker import people
from indexpass.broker.state.users import User


def test_a_password_is_right_for_its_user_only() -> None:
    user = User("alice", people.hash_password(Secret("correct horse battery")))
    assert people.is_password(user, Secret("correct horse battery"))
    assert not people.is_password(user, Secret("correct horse"))
    assert not people.is_password(None, Secret("correct horse battery"))


@pytest.mark.parametrize("damage", ["", "no hash", "$argon2id$v=19$"])
def test_a_damaged_hash_opens_nothing(damage: str) -> None:
    assert not people.is_password(User("alice", damage), Secret("correct horse battery"))
