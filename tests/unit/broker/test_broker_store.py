from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from indexpass.broker.oauth import OAuthError
from indexpass.broker.settings import MAX_TOKEN_SECONDS
from indexpass.broker.state import devices, replay, schema, sessions
from indexpass.broker.state.devices import Approval
from indexpass.broker.state.users import User
from indexpass.errors import ConfigError
from servers.postgres import on_both

if TYPE_CHECKING:
    from indexpass._secret import Secret
    from indexpass.broker.keys import Keys
    from indexpass.broker.state.sessions import Session
    from indexpass.broker.state.store import Store

pytestmark = on_both
NOW = 1_800_000_000.0


def begin_device(store: Store, now: float = NOW) -> tuple[Secret, str]:
    with store.writing() as connection:
        return devices.begin(
            connection, client_id="indexpass", resource="https://x/", scope="pypi:read", address="::1", now=now
        )


def poll(store: Store, device_code: Secret, now: float) -> str:
    with store.writing() as connection:
        outcome = devices.poll(connection, device_code, now)
    return outcome.code if isinstance(outcome, OAuthError) else outcome.user


def begin_session(store: Store, seconds: int = 3600) -> tuple[Session, Secret]:
    with store.writing() as connection:
        return sessions.begin(connection, "alice", client_id="indexpass", seconds=seconds, now=NOW)


def refresh(store: Store, keys: Keys, token: Secret, now: float) -> Secret | None:
    with store.writing() as connection:
        found = sessions.find(connection, token, now)
        return None if isinstance(found, OAuthError) else sessions.rotate(connection, keys, token, found, now)


# People


def test_a_user_is_found_by_name(store: Store) -> None:
    assert store.user("alice") == User("alice", "a hash")
    assert store.user("bob") is None


def test_a_user_name_is_taken_once(store: Store) -> None:
    with pytest.raises(ConfigError, match="already"):
        store.add_user("alice", "another", NOW)
    assert store.user("alice") == User("alice", "a hash")


# The database


def test_a_decision_in_nobody_s_name_is_refused(store: Store) -> None:
    _, user_code = begin_device(store)
    with pytest.raises(IntegrityError):
        store.decide_device(user_code, "nobody", approved=True, now=NOW)


def test_what_has_expired_is_removed_and_the_rest_is_not(store: Store) -> None:
    begin_device(store)
    begin_session(store, seconds=60)
    begin_session(store, seconds=3600)
    store.purge(NOW + 60 + MAX_TOKEN_SECONDS + 1)
    with store.reading() as connection:
        counts = [
            len(connection.execute(select(table)).all())
            for table in (schema.device_codes, schema.sessions, schema.refresh_tokens)
        ]
    assert counts == [0, 1, 1]


def test_what_is_used_up_stays_so_for_a_replica_whose_clock_is_behind(store: Store) -> None:
    with store.writing() as connection:
        assert replay.use(connection, "key", NOW)
    store.purge(NOW + 599)
    with store.writing() as connection:
        assert not replay.use(connection, "key", NOW)


# Device sign-ins


def test_a_user_code_is_eight_letters_without_vowels(store: Store) -> None:
    _, user_code = begin_device(store)
    first, dash, second = user_code.partition("-")
    assert (len(first), dash, len(second)) == (4, "-", 4)
    assert set(first + second) <= set("BCDFGHJKLMNPQRSTVWXZ")


@pytest.mark.parametrize("change", [str.lower, lambda code: code.replace("-", ""), lambda code: f" {code} "])
def test_a_user_code_is_found_however_it_is_typed(store: Store, change: object) -> None:
    _, user_code = begin_device(store)
    found = store.device_request(change(user_code), NOW)  # type: ignore[operator]
    assert found is not None
    assert (found.user_code, found.address, found.expires_at) == (user_code, "::1", NOW + 600)


def test_an_expired_sign_in_is_not_found_and_not_decided(store: Store) -> None:
    _, user_code = begin_device(store)
    assert store.device_request(user_code, NOW + 600) is None
    assert not store.decide_device(user_code, "alice", approved=True, now=NOW + 600)


def test_only_the_first_decision_counts(store: Store) -> None:
    device_code, user_code = begin_device(store)
    assert store.decide_device(user_code, "alice", approved=False, now=NOW)
    assert not store.decide_device(user_code, "alice", approved=True, now=NOW)
    assert store.device_request(user_code, NOW) is None
    assert poll(store, device_code, NOW) == "access_denied"


def test_an_approval_is_redeemed_once(store: Store) -> None:
    device_code, user_code = begin_device(store)
    store.decide_device(user_code, "alice", approved=True, now=NOW)
    assert poll(store, device_code, NOW) == "alice"
    for is_first in (True, False):
        with store.writing() as connection:
            assert devices.redeem(connection, device_code, NOW) is is_first
    assert poll(store, device_code, NOW) == "invalid_grant"


def test_a_poll_a_little_early_is_no_offence(store: Store) -> None:
    device_code, _ = begin_device(store)
    assert [poll(store, device_code, NOW + seconds) for seconds in (0, 4.1, 8.3)] == ["authorization_pending"] * 3


def test_each_poll_too_soon_makes_the_interval_longer(store: Store) -> None:
    device_code, _ = begin_device(store)
    answers = [poll(store, device_code, NOW + seconds) for seconds in (0, 1, 10, 25)]
    assert answers == ["authorization_pending", "slow_down", "authorization_pending", "authorization_pending"]


def test_an_approval_knows_what_was_asked_for(store: Store) -> None:
    device_code, user_code = begin_device(store)
    store.decide_device(user_code, "alice", approved=True, now=NOW)
    with store.writing() as connection:
        assert devices.poll(connection, device_code, NOW) == Approval("alice", "https://x/", "pypi:read")


# Sessions


def test_a_retry_within_the_grace_gets_the_same_successor(store: Store, keys: Keys) -> None:
    _, first = begin_session(store)
    second = refresh(store, keys, first, NOW)
    assert refresh(store, keys, first, NOW + 30) == second


def test_a_reuse_after_the_grace_ends_the_session(store: Store, keys: Keys) -> None:
    _, first = begin_session(store)
    second = refresh(store, keys, first, NOW)
    assert second is not None
    assert refresh(store, keys, first, NOW + 31) is None
    assert refresh(store, keys, second, NOW + 31) is None


def test_a_session_has_an_absolute_end(store: Store, keys: Keys) -> None:
    _, token = begin_session(store, seconds=60)
    assert refresh(store, keys, token, NOW + 60) is None


def test_a_removed_person_has_no_session(store: Store, keys: Keys) -> None:
    _, token = begin_session(store)
    with store.writing() as connection:
        connection.execute(schema.users.delete())
    assert refresh(store, keys, token, NOW) is None


def test_many_clients_at_once_get_one_successor(store: Store, keys: Keys) -> None:
    _, first = begin_session(store)
    with ThreadPoolExecutor(8) as pool:
        successors = list(pool.map(lambda _: refresh(store, keys, first, NOW), range(40)))
    revealed = {successor.reveal() for successor in successors if successor}
    assert (len(revealed), None in successors) == (1, False)


# Replay


def test_an_identity_token_is_claimed_once_however_many_ask(store: Store) -> None:
    def claim(_: int) -> bool:
        with store.writing() as connection:
            return replay.use(connection, "key", NOW + 300)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(claim, range(40))) == 1
