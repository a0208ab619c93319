"""Threads that write at the same time share a transaction, and nothing else."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import OperationalError

from indexpass.broker.state.database import DatabaseAway
from indexpass.broker.state.sharing import SharedWriting
from indexpass.broker.state.store import Store, claim_once, was_claimed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection

NOW = 1_800_000_000.0


class Counted:
    """The transactions of a store: the first holds all others back until it is told to go on."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.begun = 0
        self.is_first_in = threading.Event()
        self.may_go_on = threading.Event()
        self.failure: Exception | None = None

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        self.begun += 1
        with self._store.writing() as connection:
            yield connection
            if self.begun == 1:
                self.is_first_in.set()
                assert self.may_go_on.wait(30)
            elif self.failure:
                raise self.failure


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(f"sqlite:///{tmp_path / 'broker.sqlite3'}")) as opened:
        yield opened


@pytest.fixture
def counted(store: Store) -> Counted:
    return Counted(store)


def claim(key: str) -> Callable[[Connection], bool]:
    return lambda connection: claim_once(connection, key, NOW)


def claim_and_fail(connection: Connection) -> bool:
    claim_once(connection, "in vain", NOW)
    raise ZeroDivisionError


def write_behind_the_first(
    counted: Counted, *works: Callable[[Connection], bool], at_most: int = 100
) -> list[bool | Exception]:
    """Do these on a thread each while a first one holds the database; return what each brought or raised."""
    shared = SharedWriting(counted.writing, at_most=at_most)

    def write(work: Callable[[Connection], bool]) -> bool | Exception:
        try:
            return shared.write(work)
        except Exception as error:  # noqa: BLE001  # the test looks at it
            return error

    with ThreadPoolExecutor(len(works) + 1) as pool:
        first = pool.submit(write, claim("first"))
        assert counted.is_first_in.wait(30)
        others = [pool.submit(write, work) for work in works]
        while len(shared._waiting) < len(works):
            pass
        counted.may_go_on.set()
        assert first.result(30) is True
        return [other.result(30) for other in others]


def test_all_who_wait_share_one_transaction(counted: Counted) -> None:
    assert write_behind_the_first(counted, *(claim(str(number)) for number in range(20))) == [True] * 20
    assert counted.begun == 2


def test_each_sees_what_those_before_it_have_written(counted: Counted) -> None:
    assert sorted(map(bool, write_behind_the_first(counted, *[claim("the same")] * 5))) == [False] * 4 + [True]


def test_what_one_raises_is_its_own_and_alone_is_rolled_back(counted: Counted, store: Store) -> None:
    outcomes = write_behind_the_first(counted, claim("one"), claim_and_fail, claim("two"))
    assert [type(outcome) for outcome in outcomes] == [bool, ZeroDivisionError, bool]
    with store.reading() as connection:
        assert [was_claimed(connection, key) for key in ("one", "two", "in vain")] == [True, True, False]


def test_nobody_is_told_that_it_is_written_if_the_commit_fails(counted: Counted, store: Store) -> None:
    counted.failure = OperationalError("COMMIT", {}, Exception("the disk is full"))
    outcomes = write_behind_the_first(counted, claim("one"), claim("two"))
    assert [type(outcome) for outcome in outcomes] == [DatabaseAway] * 2
    with store.reading() as connection:
        assert not was_claimed(connection, "one")


def test_no_transaction_takes_more_along_than_it_may(counted: Counted) -> None:
    works = [claim(str(number)) for number in range(10)]
    assert write_behind_the_first(counted, *works, at_most=4) == [True] * 10
    assert counted.begun == 4


def test_after_all_of_it_the_next_one_writes_at_once(counted: Counted) -> None:
    counted.may_go_on.set()
    shared = SharedWriting(counted.writing)
    assert [shared.write(claim(key)) for key in ("one", "two", "one")] == [True, True, False]
    assert counted.begun == 3
