from __future__ import annotations

import pytest

from indexpass.broker.limits import FailureLimit, place_of
from indexpass.broker.settings import Rate

RATE = Rate(3, 60)


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def limit(told: list[str]) -> FailureLimit:
    return FailureLimit(RATE, lambda: told.append("waits"), max_addresses=2)


def fail(limit: FailureLimit, address: str, times: int = 3, now: float = 0.0) -> None:
    for _ in range(times):
        limit.count(address, now)


def test_as_many_failures_are_allowed_as_the_rate_says(limit: FailureLimit, told: list[str]) -> None:
    fail(limit, "10.0.0.1", 2)
    assert limit.wait("10.0.0.1", 0.0) == 0
    fail(limit, "10.0.0.1", 1)
    assert (limit.wait("10.0.0.1", 0.0), told) == (20, ["waits"])


def test_asking_counts_nothing(limit: FailureLimit) -> None:
    assert [limit.wait("10.0.0.1", 0.0) for _ in range(100)] == [0] * 100


def test_failures_are_forgiven_one_at_a_time(limit: FailureLimit) -> None:
    fail(limit, "10.0.0.1")
    assert [limit.wait("10.0.0.1", now) for now in (19.0, 20.0)] == [1, 0]


def test_failures_that_were_on_their_way_do_not_make_the_wait_longer(limit: FailureLimit) -> None:
    fail(limit, "10.0.0.1", 500)
    assert limit.wait("10.0.0.1", 0.0) == 20


def test_a_clock_that_is_set_back_forgives_nothing_and_holds_nobody_longer(limit: FailureLimit) -> None:
    fail(limit, "10.0.0.1", now=1000.0)
    assert limit.wait("10.0.0.1", 0.0) == 20


def test_addresses_do_not_share_failures(limit: FailureLimit) -> None:
    fail(limit, "10.0.0.1")
    assert limit.wait("10.0.0.2", 0.0) == 0


def test_memory_is_bounded_by_forgetting_the_address_that_failed_longest_ago(limit: FailureLimit) -> None:
    for address in ("10.0.0.1", "10.0.0.2", "10.0.0.3"):
        fail(limit, address)
    assert [limit.wait(address, 0.0) > 0 for address in ("10.0.0.1", "10.0.0.2", "10.0.0.3")] == [False, True, True]


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::7", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("", ""),
        ("x" * 10_000, "x" * 64),
    ],
    ids=["ipv4", "ipv6", "same-network", "zone", "mapped", "none", "anything"],
)
def test_a_place_is_what_one_owner_has(address: str, place: str) -> None:
    assert place_of(address) == place
