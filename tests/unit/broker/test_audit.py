from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from indexpass.broker.state import audit
from indexpass.broker.state.audit import PAGE_ROWS, Audit, Entry, Search
from indexpass.broker.state.replay import Use
from servers.postgres import on_both

if TYPE_CHECKING:
    from indexpass.broker.state.store import Store

NOW = 1_800_000_000.0
READ = Entry(NOW, "session-exchange", "granted", who="alice", index="acme", operation="read", policy="people")


def write(store: Store, *entries: Entry) -> None:
    with store.writing() as connection:
        for entry in entries:
            audit.write(connection, entry)


def found(store: Store, search: Search) -> list[Entry]:
    return [entry for _, entry in search.oldest_first(store)]


@on_both
def test_an_entry_comes_back_as_it_was_written(store: Store) -> None:
    entry = replace(READ, reason="why", token_sha256="ab" * 32, address="10.0.0.7", about="bob")
    write(store, entry)
    assert found(store, Search()) == [entry]


@pytest.mark.parametrize(
    ("search", "is_found"),
    [
        (Search(since=NOW), True),
        (Search(since=NOW + 1), False),
        (Search(until=NOW), False),
        (Search(until=NOW + 1), True),
        (Search(who="alice"), True),
        (Search(who="bob"), True),
        (Search(who="ali"), False),
        (Search(index="acme"), True),
        (Search(index="other"), False),
        (Search(event="session-exchange"), True),
        (Search(event="sign-in"), False),
        (Search(result="granted"), True),
        (Search(result="denied"), False),
        (Search(token_sha256="ab" * 32), True),
        (Search(token_sha256="cd" * 32), False),
        (Search(policy="people"), True),
        (Search(policy="ci"), True),
        (Search(policy="peopl"), False),
        (Search(policy="people ci"), True),
        (Search(policy="%"), False),
        (Search(who="alice", result="denied"), False),
    ],
    ids=repr,
)
@on_both
def test_a_search_finds_what_agrees_with_all_of_it(store: Store, search: Search, *, is_found: bool) -> None:
    write(store, replace(READ, about="bob", policy="people ci", token_sha256="ab" * 32))
    assert bool(found(store, search)) is is_found
    assert bool(search.newest(store, 10)) is is_found


def test_the_newest_come_in_the_order_of_time(store: Store) -> None:
    write(store, *(replace(READ, time=NOW + second) for second in (3, 1, 2)))
    assert [entry.time - NOW for _, entry in Search().newest(store, 2)] == [2, 3]


def test_paging_loses_and_repeats_nothing_even_where_all_happened_at_once(store: Store) -> None:
    count = 2 * PAGE_ROWS + 7
    write(store, *(replace(READ, who=str(number)) for number in range(count)))
    assert [entry.who for entry in found(store, Search())] == [str(number) for number in range(count)]


@on_both
def test_texts_that_a_database_would_refuse_are_kept_as_near_as_may_be(store: Store) -> None:
    write(store, replace(READ, who="ci:a\0b\ud800", reason="x" * 5000))
    entry = found(store, Search())[0]
    assert (entry.who, len(entry.reason)) == ("ci:a\ufffdb?", audit.MAX_TEXT_LENGTH)


def test_the_line_has_the_time_in_rfc_3339_and_every_fact(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger=audit.LOGGER):
        asyncio.run(Audit(store, lambda: NOW).record(event="sign-in", result="denied", reason="wrong password"))
    line = json.loads(caplog.messages[0])
    assert line.pop("time") == "2027-01-15T08:00:00.000Z"
    assert {key: value for key, value in line.items() if value} == {
        "event": "sign-in",
        "result": "denied",
        "reason": "wrong password",
    }


def test_nothing_is_announced_that_was_not_committed(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    told: list[Entry] = []
    with store.writing() as connection:
        connection.exec_driver_sql("DROP TABLE audit")
    with caplog.at_level(logging.INFO, logger=audit.LOGGER), pytest.raises(Exception, match="audit"):
        asyncio.run(Audit(store, lambda: NOW, told.append).keep(READ))
    assert (told, [record for record in caplog.records if record.name == audit.LOGGER]) == ([], [])


@on_both
def test_of_many_who_come_with_one_identity_token_the_first_has_it_and_the_others_leave_no_entry(store: Store) -> None:
    async def come(audit: Audit, *keys: str) -> list[bool]:
        entries = [(replace(READ, who=f"{key} {number}"), Use(key, NOW + 60)) for number, key in enumerate(keys)]
        return list(await asyncio.gather(*(audit.keep(entry, use) for entry, use in entries)))

    told: list[Entry] = []
    audit = Audit(store, lambda: NOW, told.append)
    assert asyncio.run(come(audit, "a", "b", "b", "a", "c")) == [True, True, False, False, True]
    assert asyncio.run(come(audit, "d", "c", "e")) == [True, False, True]
    written = [entry.who for entry in found(store, Search())]
    assert sorted(written) == sorted(entry.who for entry in told) == ["a 0", "b 1", "c 4", "d 0", "e 2"]


def test_what_an_operator_did_names_the_operator_and_what_it_was_about(store: Store) -> None:
    with store.writing() as connection:
        audit.write_command(connection, "user-removed", about="bob", now=NOW)
    entry = found(store, Search(who="bob"))[0]
    assert (entry.event, entry.result, entry.about, entry.who[0]) == ("user-removed", "granted", "bob", "@")


def test_what_is_older_than_the_retention_goes(store: Store) -> None:
    write(store, replace(READ, time=NOW - 101), replace(READ, time=NOW - 99))
    store.purge(NOW, 100)
    assert [entry.time for entry in found(store, Search())] == [NOW - 99]
