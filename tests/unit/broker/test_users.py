"""The people in the database: what locks an account and for how long, and what ends with a password or a person."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from indexpass.broker.state import invitations, schema, sessions, users
from servers.postgres import on_both

if TYPE_CHECKING:
    from indexpass.broker.keys import Keys
    from indexpass.broker.state.sessions import SessionFacts
    from indexpass.broker.state.store import Store
    from indexpass.broker.state.users import User

pytestmark = on_both

NOW = 1_800_000_000.0
MINUTE = 60.0


def take_try(store: Store, now: float = NOW, name: str = "alice") -> bool:
    with store.writing() as connection:
        return users.take_try(connection, name, now)


def alice(store: Store) -> User:
    found = store.user("alice")
    assert found is not None
    return found


def lock(store: Store, now: float) -> float:
    """Guess until the account is locked, and return when it opens again."""
    while take_try(store, now):
        pass
    return alice(store).locked_until or 0.0


def begin_session(store: Store, user: str = "alice", *, seconds: int = 3600, now: float = NOW) -> str:
    with store.writing() as connection:
        session, _ = sessions.begin(
            connection, user, client_id="indexpass", seconds=seconds, now=now, address="192.0.2.1"
        )
    return session.session_id


def open_sessions(store: Store, user: str = "alice", now: float = NOW) -> list[SessionFacts]:
    with store.reading() as connection:
        return sessions.list_open(connection, user, now, limit=100)


def revoked(store: Store) -> set[str]:
    with store.reading() as connection:
        return set(connection.scalars(select(schema.revocations.c.id)))


# Lock-out


def test_ten_passwords_may_be_tried_in_a_row(store: Store) -> None:
    assert [take_try(store) for _ in range(11)] == [True] * 10 + [False]


def test_of_a_hundred_guesses_at_once_ten_are_looked_at(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: take_try(store), range(100))) == 10


def test_an_account_is_locked_for_a_quarter_of_an_hour(store: Store) -> None:
    opens = lock(store, NOW)
    assert opens == NOW + 15 * MINUTE
    assert (take_try(store, opens - 1), take_try(store, opens)) == (False, True)


def test_each_lock_lasts_twice_as_long_up_to_eight_hours(store: Store) -> None:
    now, minutes = NOW, []
    for _ in range(7):
        opens = lock(store, now)
        minutes.append((opens - now) / MINUTE)
        now = opens
    assert minutes == [15, 30, 60, 120, 240, 480, 480]


def test_unlocking_forgets_all_wrong_passwords(store: Store) -> None:
    lock(store, lock(store, NOW))
    with store.writing() as connection:
        users.unlock(connection, "alice")
    assert lock(store, NOW) == NOW + 15 * MINUTE


def test_guesses_at_one_name_lock_no_other(store: Store) -> None:
    store.add_user("bob", "a hash", NOW)
    lock(store, NOW)
    assert take_try(store, name="bob")


def test_nothing_is_counted_for_a_name_that_nobody_has(store: Store) -> None:
    assert not take_try(store, name="mallory")


# What ends


def test_a_new_password_ends_sessions_a_lock_and_an_invitation(store: Store) -> None:
    session = begin_session(store)
    lock(store, NOW)
    with store.writing() as connection:
        invitations.begin(connection, "alice", seconds=3600, now=NOW)
        ended = users.set_password(connection, "alice", "another hash", NOW)
        invited = invitations.list_ends(connection)
    assert (ended, invited, open_sessions(store), revoked(store)) == (1, {}, [], {session})
    assert (alice(store).password_hash, alice(store).locked_until) == ("another hash", None)


def test_who_was_signed_in_in_a_browser_before_the_password_changed_is_not_any_more(store: Store) -> None:
    with store.writing() as connection:
        users.set_password(connection, "alice", "another hash", NOW)
    assert not alice(store).may_be_signed_in(NOW - 1)
    assert alice(store).may_be_signed_in(NOW)


def test_a_browser_is_not_signed_in_as_an_earlier_person_of_the_same_name(store: Store) -> None:
    store.add_user("bob", "a hash", NOW)
    bob = store.user("bob")
    assert bob is not None
    assert not bob.may_be_signed_in(NOW - 1)


def test_removing_a_person_removes_all_that_is_theirs_but_not_the_revocations(store: Store) -> None:
    session = begin_session(store)
    with store.writing() as connection:
        invitations.begin(connection, "alice", seconds=3600, now=NOW)
        assert users.remove(connection, "alice", NOW) == 1
    with store.reading() as connection:
        rows = {
            table.name: connection.scalar(select(func.count()).select_from(table))
            for table in (schema.users, schema.sessions, schema.refresh_tokens, schema.invitations)
        }
    assert rows == {"users": 0, "sessions": 0, "refresh_tokens": 0, "invitations": 0}
    assert revoked(store) == {session}


def test_tokens_of_a_session_that_is_over_are_revoked_with_the_person(store: Store) -> None:
    session = begin_session(store, seconds=60)
    store.purge(NOW + 3600)
    with store.writing() as connection:
        assert users.remove(connection, "alice", NOW + 3600) == 0
    assert revoked(store) == {session}


def test_a_hash_is_renewed_only_while_the_password_is_the_same(store: Store) -> None:
    before = alice(store)
    with store.writing() as connection:
        users.set_password(connection, "alice", "of another password", NOW)
        users.renew_hash(connection, before, "of the old password")
    assert alice(store).password_hash == "of another password"


def test_no_hash_is_printed_with_a_person(store: Store) -> None:
    assert "a hash" not in repr(alice(store))


# Sessions as a person sees them


def test_open_sessions_are_listed_with_the_one_used_last_first(store: Store) -> None:
    older, newer = begin_session(store, now=NOW - 60), begin_session(store)
    store.add_user("bob", "a hash", 0.0)
    begin_session(store, "bob")
    begin_session(store, seconds=10, now=NOW - 60)
    assert [found.session_id for found in open_sessions(store)] == [newer, older]


def test_a_session_keeps_the_groups_of_its_sign_in(store: Store) -> None:
    groups = frozenset({"python-devs", "Zoë's"})
    with store.writing() as connection:
        _, refresh_token = sessions.begin(
            connection, "alice", client_id="indexpass", seconds=60, now=NOW, groups=groups
        )
        found = sessions.find(connection, refresh_token, NOW)
    assert getattr(found, "groups", None) == groups
    assert open_sessions(store)[0].groups == groups


def test_a_session_keeps_when_and_where_it_was_used_last(store: Store, keys: Keys) -> None:
    with store.writing() as connection:
        session, token = sessions.begin(
            connection, "alice", client_id="indexpass", seconds=3600, now=NOW, address="192.0.2.1"
        )
        sessions.rotate(connection, keys, token, session, NOW + 60, address="203.0.113.5")
    (found,) = open_sessions(store)
    assert (found.created_at, found.last_used_at, found.address) == (NOW, NOW + 60, "203.0.113.5")


@pytest.mark.parametrize(("user", "is_ended"), [("alice", True), ("bob", False)])
def test_a_person_ends_only_their_own_sessions(store: Store, user: str, *, is_ended: bool) -> None:
    session = begin_session(store)
    with store.writing() as connection:
        assert sessions.revoke_own(connection, user, session, NOW) is is_ended
    assert (session in revoked(store)) is is_ended


def test_a_session_ends_once(store: Store) -> None:
    session = begin_session(store)
    with store.writing() as connection:
        assert [sessions.revoke_own(connection, "alice", session, NOW) for _ in range(2)] == [True, False]


# Invitations


def test_a_code_is_twenty_letters_in_groups_of_five(store: Store) -> None:
    with store.writing() as connection:
        code = invitations.begin(connection, "alice", seconds=60, now=NOW).reveal()
    assert [len(group) for group in code.split("-")] == [5, 5, 5, 5]
    assert not set(code) & set("AEIOUY0123456789")


@pytest.mark.parametrize(
    "change",
    [str, str.lower, lambda code: code.replace("-", ""), lambda code: f" {code.replace('-', ' ')} "],
    ids=["as shown", "lower case", "without dashes", "with spaces"],
)
def test_a_code_may_be_typed_in_any_form(store: Store, change: object) -> None:
    with store.writing() as connection:
        code = invitations.begin(connection, "alice", seconds=60, now=NOW)
        typed = type(code)(change(code.reveal()))  # type: ignore[operator]
        assert invitations.find(connection, typed, NOW) == "alice"
        assert invitations.redeem(connection, typed)


def test_a_code_is_over_with_its_days_its_use_or_the_next(store: Store) -> None:
    with store.writing() as connection:
        first = invitations.begin(connection, "alice", seconds=60, now=NOW)
        second = invitations.begin(connection, "alice", seconds=60, now=NOW)
        assert invitations.find(connection, first, NOW) == ""
        assert (invitations.find(connection, second, NOW + 59), invitations.find(connection, second, NOW + 60)) == (
            "alice",
            "",
        )
        assert [invitations.redeem(connection, second) for _ in range(2)] == [True, False]


@pytest.mark.parametrize("text", ["", "-", "A" * 20, "B" * 19, "B" * 21, "\0", "\ud800", "B" * 100_000])
def test_what_is_no_code_invites_nobody(store: Store, text: str) -> None:
    with store.writing() as connection:
        code = invitations.begin(connection, "alice", seconds=60, now=NOW)
        assert invitations.find(connection, type(code)(text), NOW) == ""


def test_a_code_is_kept_as_a_hash_only(store: Store) -> None:
    with store.writing() as connection:
        code = invitations.begin(connection, "alice", seconds=60, now=NOW).reveal()
        kept = repr(connection.execute(select(schema.invitations)).all())
    assert code not in kept
    assert code.replace("-", "") not in kept
