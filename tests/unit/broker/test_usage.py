from __future__ import annotations

import threading
from dataclasses import astuple
from typing import TYPE_CHECKING

from indexpass.broker.state.usage import Count, Fetch, Search, Tally, Used
from servers.postgres import on_both

if TYPE_CHECKING:
    from indexpass.broker.state.store import Store

NOW = 1_800_000_000.0  # 2027-01-15, eight in the morning
DAY = 24 * 3600.0
LIB = Fetch("acme", "acme-lib", "1.0", "alice")


def test_fetches_of_one_kind_are_one_count() -> None:
    tally = Tally()
    tally.count(LIB, NOW)
    tally.count(LIB, NOW + 1)
    assert tally.take() == {LIB: Count(2, NOW + 1)}
    assert tally.take() == {}


def test_what_could_not_be_written_is_counted_together_with_what_came_since() -> None:
    tally = Tally()
    tally.count(LIB, NOW + 5)
    tally.put_back({LIB: Count(3, NOW)})
    assert tally.take() == {LIB: Count(4, NOW + 5)}


def test_beyond_the_bound_known_kinds_go_on_and_new_ones_are_dropped_and_counted() -> None:
    tally = Tally(max_kinds=1)
    tally.count(LIB, NOW)
    tally.count(Fetch("acme", "acme-lib", "2.0", "alice"), NOW)
    tally.put_back({Fetch("acme", "other", "1", "bob"): Count(3, NOW), LIB: Count(1, NOW)})
    assert (tally.dropped, tally.take()) == (4, {LIB: Count(2, NOW)})


@on_both
def test_counts_add_up_in_the_database_and_the_latest_time_stays(store: Store) -> None:
    store.add_usage({LIB: Count(2, NOW + 10)})
    store.add_usage({LIB: Count(3, NOW)})
    assert list(Search().by_person(store)) == [Used("acme", "acme-lib", "1.0", "alice", 5, NOW + 10)]


@on_both
def test_days_are_kept_apart_and_added_up_when_asked(store: Store) -> None:
    for days in (0, 1, 2):
        store.add_usage({LIB: Count(1, NOW - days * DAY)})
    assert [used.times for used in Search().by_person(store)] == [3]
    assert [used.times for used in Search(since=NOW - DAY).by_person(store)] == [2]


@on_both
def test_versions_that_nobody_fetched_since_are_found_with_how_many_had(store: Store) -> None:
    old, new = Fetch("acme", "acme-lib", "0.9", "alice"), Fetch("acme", "acme-lib", "1.0", "bob")
    store.add_usage({old: Count(1, NOW - 90 * DAY), new: Count(1, NOW - 90 * DAY)})
    store.add_usage({Fetch("acme", "acme-lib", "0.9", "bob"): Count(4, NOW - 80 * DAY), new: Count(1, NOW)})
    unused = list(Search().by_version(store, unused_since=NOW - 30 * DAY))
    assert [astuple(used) for used in unused] == [("acme", "acme-lib", "0.9", 2, 5, NOW - 80 * DAY)]


@on_both
def test_two_brokers_that_write_the_same_rows_at_once_lose_no_count(store: Store) -> None:
    kinds = [Fetch("acme", f"lib-{number}", "1", "alice") for number in range(10)]

    def write(order: int) -> None:
        for _ in range(10):
            store.add_usage(dict.fromkeys(kinds[::order], Count(1, NOW)))

    threads = [threading.Thread(target=write, args=(order,)) for order in (1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {used.times for used in Search().by_person(store)} == {20}


@on_both
def test_a_name_that_the_database_would_refuse_keeps_nobody_else_s_counts_from_it(store: Store) -> None:
    store.add_usage({Fetch("acme", "acme-lib", "1.0", "ci:\0"): Count(1, NOW), LIB: Count(1, NOW)})
    assert {used.who for used in Search().by_person(store)} == {"alice", "ci:\ufffd"}


def test_usage_goes_with_the_audit(store: Store) -> None:
    store.add_usage({LIB: Count(1, NOW - 10 * DAY), Fetch("acme", "acme-lib", "2.0", "alice"): Count(1, NOW)})
    store.purge(NOW, 5 * DAY)
    assert [used.version for used in Search().by_person(store)] == ["2.0"]
