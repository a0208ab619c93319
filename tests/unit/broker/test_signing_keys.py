"""The schedule of the signing keys: when one is published, signs, verifies and is removed, whoever looks after it."""

from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, update

from indexpass._secret import Secret
from indexpass.broker.keys import Keys
from indexpass.broker.state import schema, signing_keys
from indexpass.broker.state.revocations import Revocations
from indexpass.broker.state.signing_keys import AHEAD_SECONDS, MIN_AHEAD_SECONDS
from indexpass.broker.state.store import Store
from servers.postgres import on_both

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from indexpass.broker.state.signing_keys import SigningKey

pytestmark = on_both
NOW = 1_800_000_000.0
HOUR, DAY = 3600.0, 24 * 3600.0
LIFETIME = 30 * DAY
CLAIMS = {"sub": "alice", "aud": "https://packages.acme.example/simple/", "jti": "1", "scope": "pypi:read"}


@dataclass
class Replica:
    """One broker's keys, on a database that it shares, with a clock."""

    store: Store
    now: float = NOW
    keys: Keys = field(init=False)

    def __post_init__(self) -> None:
        self.keys = Keys(Secret("5e" * 32), issuer="https://tokens.acme.example", now=lambda: self.now)
        self.keep_up()

    def keep_up(self) -> None:
        with self.store.writing() as connection:
            signing_keys.keep_up(connection, self.keys.make, lifetime=LIFETIME, now=self.now)
        self.read()

    def read(self) -> None:
        signing_keys.load(self.store, self.keys)

    def rotate(self) -> SigningKey:
        with self.store.writing() as connection:
            return signing_keys.rotate(connection, self.keys.make, now=self.now)

    def replace(self) -> SigningKey:
        with self.store.writing() as connection:
            return signing_keys.replace(connection, self.keys.make, now=self.now)

    def revoke(self, kid: str) -> bool:
        with self.store.writing() as connection:
            return signing_keys.revoke(connection, self.keys.make, kid, now=self.now)

    def stored(self) -> tuple[SigningKey, ...]:
        with self.store.reading() as connection:
            return signing_keys.read(connection)

    def states(self) -> list[tuple[int, str]]:
        return [(key.number, key.state(self.now)) for key in self.stored()]

    def mint(self) -> Secret:
        return self.keys.mint({**CLAIMS, "iat": int(self.now), "exp": int(self.now) + 24 * 3600})

    def knows(self, token: Secret) -> bool:
        return self.keys.decode(token) is not None


@pytest.fixture
def replica(store: Store) -> Replica:
    return Replica(store)


def test_the_first_key_signs_at_once(replica: Replica) -> None:
    assert replica.states() == [(1, "signs")]
    assert replica.knows(replica.mint())


def test_nothing_changes_before_it_is_time(replica: Replica) -> None:
    replica.now += LIFETIME - AHEAD_SECONDS - 1
    replica.keep_up()
    assert replica.states() == [(1, "signs")]


def test_the_next_key_is_published_a_day_before_it_signs(replica: Replica) -> None:
    replica.now += LIFETIME - AHEAD_SECONDS
    replica.keep_up()
    assert replica.states() == [(1, "signs"), (2, "next")]
    assert replica.stored()[1].signs_from == NOW + LIFETIME


def test_a_key_that_is_next_is_not_made_twice(replica: Replica) -> None:
    replica.now += LIFETIME - HOUR
    for _ in range(3):
        replica.keep_up()
    assert replica.states() == [(1, "signs"), (2, "next")]


def test_a_broker_that_was_off_for_months_still_publishes_before_it_signs(replica: Replica) -> None:
    replica.now += 5 * LIFETIME
    replica.keep_up()
    assert replica.stored()[1].signs_from == replica.now + MIN_AHEAD_SECONDS


def test_over_a_year_each_key_is_known_before_it_signs_and_one_always_signs(replica: Replica) -> None:
    seen: dict[str, SigningKey] = {}
    while replica.now < NOW + 365 * DAY:
        replica.now += 23 * HOUR
        replica.keep_up()
        assert [state for _, state in replica.states()].count("signs") == 1
        seen |= {key.kid: key for key in replica.stored()}
    keys = sorted(seen.values(), key=lambda key: key.number)
    assert len(keys) == 13
    assert all(key.signs_from - key.published_at >= MIN_AHEAD_SECONDS for key in keys[1:])
    assert all(later.signs_from - earlier.signs_from == LIFETIME for earlier, later in pairwise(keys))


def test_old_tokens_verify_over_the_overlap(replica: Replica) -> None:
    replica.now = NOW + LIFETIME - HOUR
    replica.keep_up()
    replica.now = NOW + LIFETIME - 1
    token = replica.mint()
    replica.now += 24 * HOUR
    replica.keep_up()
    assert replica.states() == [(1, "verifies"), (2, "signs")]
    assert replica.knows(token)


def test_a_key_that_is_over_is_removed_and_verifies_nothing(replica: Replica) -> None:
    token = replica.mint()
    replica.now = NOW + LIFETIME - HOUR
    replica.keep_up()
    replica.now = NOW + LIFETIME + 25 * HOUR
    replica.keep_up()
    assert replica.states() == [(2, "signs")]
    assert not replica.knows(token)


def test_who_read_the_keys_a_day_ago_still_knows_what_is_minted_now(replica: Replica) -> None:
    replica.now = NOW + LIFETIME - AHEAD_SECONDS
    checker = Replica(replica.store, replica.now)
    replica.keep_up()
    replica.now = checker.now = NOW + LIFETIME + HOUR
    assert checker.knows(replica.mint())


# By hand


def test_a_new_key_signs_after_ten_minutes(replica: Replica) -> None:
    key = replica.rotate()
    assert (key.number, key.signs_from) == (2, NOW + 600)
    replica.now += 601
    assert replica.states() == [(1, "verifies"), (2, "signs")]


def test_rotating_twice_makes_one_key(replica: Replica) -> None:
    assert replica.rotate() == replica.rotate()


def test_a_key_that_waits_for_its_time_signs_earlier_instead(replica: Replica) -> None:
    replica.now = NOW + LIFETIME - AHEAD_SECONDS
    replica.keep_up()
    replica.now += HOUR
    assert (replica.rotate().signs_from, replica.states()) == (replica.now, [(1, "verifies"), (2, "signs")])


def test_replacing_the_keys_ends_all_that_they_have_signed(replica: Replica) -> None:
    other = Replica(replica.store)
    replica.rotate()
    token = other.mint()
    assert replica.replace().signs_from == NOW
    assert replica.states() == [(3, "signs")]
    other.read()
    assert not other.knows(token)
    assert other.knows(other.mint())


def test_what_was_verified_before_is_revoked_with_its_key(replica: Replica) -> None:
    token = replica.keys.decode(replica.mint())
    assert token is not None
    replica.replace()
    revocations = Revocations(replica.store)
    for later in (0, 5 * 365 * DAY):  # a thief may have written any expiry into a token
        revocations.refresh(NOW + later)
        assert revocations.has(token)


def test_revoking_the_key_that_signs_lets_the_next_one_sign_at_once(replica: Replica) -> None:
    replica.rotate()
    assert replica.revoke(replica.stored()[0].kid)
    assert (replica.states(), replica.stored()[0].signs_from) == ([(2, "signs")], NOW)


def test_revoking_the_only_key_makes_another(replica: Replica) -> None:
    assert replica.revoke(replica.stored()[0].kid)
    assert replica.states() == [(2, "signs")]


def test_the_number_of_a_revoked_key_is_never_given_again(replica: Replica) -> None:
    assert replica.revoke(replica.rotate().kid)
    for _ in range(3):
        replica.now += 10 * DAY
        replica.keep_up()
    assert [key.number for key in replica.stored()] == [1, 3]


def test_a_revoked_key_is_erased_and_its_row_removed_in_time(replica: Replica) -> None:
    replica.replace()
    with replica.store.reading() as connection:
        assert connection.scalars(select(schema.signing_keys.c.sealed).order_by("number")).first() == ""
    replica.now += 2 * DAY
    replica.keep_up()
    with replica.store.reading() as connection:
        assert connection.scalars(select(schema.signing_keys.c.number)).all() == [2]


def test_revoking_the_next_key_leaves_the_one_that_signs(replica: Replica) -> None:
    assert replica.revoke(replica.rotate().kid)
    assert (replica.states(), replica.stored()[0].signs_until) == ([(1, "signs")], math.inf)


def test_revoking_what_is_not_there_does_nothing(replica: Replica) -> None:
    assert not replica.revoke("unknown")
    assert replica.states() == [(1, "signs")]


def test_keys_of_another_secret_can_be_replaced(replica: Replica) -> None:
    stolen = Keys(Secret("00" * 32), issuer="https://tokens.acme.example", now=lambda: NOW)
    with replica.store.writing() as connection:
        signing_keys.replace(connection, stolen.make, now=NOW)
    replica.replace()
    replica.read()
    assert replica.knows(replica.mint())


# Several processes, and a database that is away


@pytest.mark.parametrize("step", ["keep_up", "rotate"])
def test_of_many_replicas_one_makes_the_next_key(
    tmp_path: Path, new_database: Callable[[Path], str], step: str
) -> None:
    url = new_database(tmp_path)
    with closing(Store(url)) as first:
        Replica(first)
        start = threading.Barrier(6)

        def work(_: int) -> None:
            with closing(Store(url)) as store:
                replica = Replica(store, NOW + LIFETIME - HOUR if step == "keep_up" else NOW)
                start.wait(30)
                getattr(replica, step)()

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(work, range(6)))
        assert [key.number for key in Replica(first).stored()] == [1, 2]


def test_of_many_who_replace_the_keys_the_last_one_s_key_is_left(
    tmp_path: Path, new_database: Callable[[Path], str]
) -> None:
    url = new_database(tmp_path)
    with closing(Store(url)) as first:
        Replica(first)

        def work(_: int) -> None:
            with closing(Store(url)) as store:
                replica = Replica(store)
                for _ in range(5):
                    replica.replace()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        assert [state for _, state in Replica(first).states()] == ["signs"]


@pytest.fixture
def broken(replica: Replica) -> Replica:
    """A replica whose database is no longer one since it has read the keys."""
    with replica.store.writing() as connection:
        schema.signing_keys.drop(connection)
    return replica


def test_without_the_database_the_keys_from_before_stay_in_use(broken: Replica) -> None:
    token = broken.mint()
    broken.now += HOUR
    broken.read()
    assert broken.knows(token)


def test_a_key_that_cannot_be_opened_is_reported_and_those_from_before_stay_in_use(
    replica: Replica, caplog: pytest.LogCaptureFixture
) -> None:
    token = replica.mint()
    replica.rotate()
    with replica.store.writing() as connection:
        connection.execute(update(schema.signing_keys).values(sealed="damaged"))
    replica.read()
    assert replica.knows(token)
    assert "encrypted with another secret" in caplog.text


def test_the_database_never_has_a_key_in_clear(replica: Replica) -> None:
    with replica.store.reading() as connection:
        (row,) = connection.execute(select(schema.signing_keys)).all()
    assert "PRIVATE" not in row.sealed
    assert row.sealed.startswith("gAAAA")  # Fernet's version and the zeros of its time
