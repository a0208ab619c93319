"""Passwords: who gets in, what the audit learns about who does not, and how an old hash is renewed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from argon2 import PasswordHasher

from indexpass._secret import Secret
from indexpass.broker import people
from indexpass.broker.people import WrongPassword
from indexpass.broker.state import invitations, users
from indexpass.broker.state.users import User
from servers.postgres import on_both

if TYPE_CHECKING:
    from indexpass.broker.state.store import Store

NOW = 1_800_000_000.0
PASSWORD = Secret("correct horse battery")
WRONG = Secret("not the right one")
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD.reveal())


@pytest.fixture
def store(store: Store) -> Store:
    store.add_user("carol", CHEAP, NOW)
    return store


def sign_in(
    store: Store, password: Secret = PASSWORD, *, name: str = "carol", is_known: bool = False, now: float = NOW
) -> User | WrongPassword:
    return people.sign_in(store, name, password, is_known=is_known, now=now)


def carol(store: Store) -> User:
    found = store.user("carol")
    assert found is not None
    return found


def invite(store: Store, name: str = "carol") -> Secret:
    with store.writing() as connection:
        users.add(connection, name, None, NOW)
        return invitations.begin(connection, name, seconds=3600, now=NOW)


def test_the_right_password_gets_in_and_the_time_is_noted(store: Store) -> None:
    assert isinstance(sign_in(store), User)
    assert carol(store).last_sign_in_at == NOW


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("carol", WrongPassword("carol", "wrong password")),
        ("mallory", WrongPassword("", "unknown user")),
        ("invited", WrongPassword("invited", "wrong password")),
    ],
)
def test_the_audit_learns_why_somebody_did_not_get_in(store: Store, name: str, reason: WrongPassword) -> None:
    invite(store, "invited")
    assert sign_in(store, WRONG, name=name) == reason


def test_an_account_without_a_password_lets_nobody_in(store: Store) -> None:
    invite(store, "invited")
    for password in ("", "nobody has this password"):  # the second is what unknown names are compared with
        assert isinstance(sign_in(store, Secret(password), name="invited"), WrongPassword)


@on_both
def test_the_tenth_wrong_password_in_a_row_locks_and_then_the_right_one_fails(store: Store) -> None:
    outcomes = [sign_in(store, WRONG) for _ in range(10)] + [sign_in(store)]
    reasons = [outcome.reason for outcome in outcomes if isinstance(outcome, WrongPassword)]
    assert reasons == [
        *["wrong password"] * 9,
        "wrong password, and the account is locked now",
        "the account is locked",
    ]


def test_a_right_password_begins_the_row_anew(store: Store) -> None:
    for _ in range(9):
        sign_in(store, WRONG)
    sign_in(store)
    sign_in(store, WRONG)
    assert not carol(store).is_locked(NOW)


def test_a_known_browser_gets_in_though_the_account_is_locked_and_the_lock_stays(store: Store) -> None:
    for _ in range(10):
        sign_in(store, WRONG)
    assert isinstance(sign_in(store, is_known=True), User)
    assert carol(store).is_locked(NOW)


def test_a_known_browser_needs_the_password_all_the_same_and_locks_nothing(store: Store) -> None:
    outcomes = {sign_in(store, WRONG, is_known=True) for _ in range(11)}
    assert outcomes == {WrongPassword("carol", "wrong password")}
    assert not carol(store).is_locked(NOW)


def test_a_hash_with_old_parameters_is_renewed_by_the_right_password_alone(store: Store) -> None:
    sign_in(store, WRONG)
    assert carol(store).password_hash == CHEAP
    sign_in(store)
    renewed = carol(store).password_hash or ""
    assert not PasswordHasher().check_needs_rehash(renewed)
    assert isinstance(sign_in(store), User)
    assert carol(store).password_hash == renewed


def test_an_invitation_gives_a_password_and_works_once(store: Store) -> None:
    code = invite(store, "dave")
    assert [people.accept_invitation(store, code, PASSWORD, NOW) for _ in range(2)] == ["dave", ""]
    assert isinstance(sign_in(store, name="dave"), User)


@on_both
def test_of_many_who_use_an_invitation_at_once_one_succeeds(store: Store) -> None:
    code = invite(store, "dave")
    with ThreadPoolExecutor(4) as pool:
        names = pool.map(lambda _: people.accept_invitation(store, code, PASSWORD, NOW), range(4))
        assert sorted(names) == ["", "", "", "dave"]


def test_an_invitation_replaces_a_password_that_was_forgotten(store: Store) -> None:
    code = invite(store)
    assert people.accept_invitation(store, code, WRONG, NOW) == "carol"
    assert isinstance(sign_in(store, WRONG), User)
    assert isinstance(sign_in(store, PASSWORD), WrongPassword)


def test_an_invitation_that_is_over_changes_nothing(store: Store) -> None:
    code = invite(store)
    assert people.accept_invitation(store, code, WRONG, NOW + 3600) == ""
    assert isinstance(sign_in(store, now=NOW + 3600), User)


@pytest.mark.parametrize(("length", "is_right"), [(11, False), (12, True), (1024, True), (1025, False)], ids=str)
def test_a_password_has_twelve_to_1024_characters(length: int, *, is_right: bool) -> None:
    assert people.has_right_length(Secret("x" * length)) is is_right
