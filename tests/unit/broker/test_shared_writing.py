"""Rows that come at the same time are written together, and nobody is told of it before."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from indexpass.broker.state.sharing import SharedWriting

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass
class Disk:
    """Writes what it is given; the first time only when it may go on. Numbers are new once."""

    has_begun: threading.Event = field(default_factory=threading.Event)
    may_go_on: threading.Event = field(default_factory=threading.Event)
    transactions: list[list[int]] = field(default_factory=list)
    failure: Exception | None = None

    def write(self, rows: Sequence[int]) -> list[bool]:
        before = {row for transaction in self.transactions for row in transaction}
        self.transactions.append(list(rows))
        self.has_begun.set()
        if len(self.transactions) == 1:
            assert self.may_go_on.wait(30)
        elif self.failure:
            raise self.failure
        return [row not in before for row in rows]


async def write_behind_the_first(disk: Disk, *rows: int) -> list[bool | BaseException]:
    """Write these while the first row is on its way to the disk; return what each was told."""
    shared = SharedWriting(disk.write)
    first = asyncio.create_task(shared.write(0))
    assert await asyncio.to_thread(disk.has_begun.wait, 30)
    others = [asyncio.create_task(shared.write(row)) for row in rows]
    await asyncio.sleep(0)
    assert not any(task.done() for task in (first, *others))
    disk.may_go_on.set()
    assert await first
    return await asyncio.gather(*others, return_exceptions=True)


def test_all_who_wait_share_one_transaction() -> None:
    disk = Disk()
    assert asyncio.run(write_behind_the_first(disk, *range(1, 21))) == [True] * 20
    assert disk.transactions == [[0], list(range(1, 21))]


def test_each_is_told_what_came_of_its_own_row() -> None:
    assert asyncio.run(write_behind_the_first(Disk(), 1, 0, 2)) == [True, False, True]


def test_all_who_share_a_transaction_share_its_failure() -> None:
    failure = OSError("the disk is full")
    assert asyncio.run(write_behind_the_first(Disk(failure=failure), 1, 2)) == [failure, failure]


def test_what_nobody_waits_for_any_more_is_written_all_the_same() -> None:
    async def cancel_one(disk: Disk) -> bool:
        shared = SharedWriting(disk.write)
        cancelled, other = (asyncio.create_task(shared.write(row)) for row in (0, 1))
        await asyncio.sleep(0)
        cancelled.cancel()
        disk.may_go_on.set()
        return await other

    disk = Disk()
    assert asyncio.run(cancel_one(disk))
    assert [row for transaction in disk.transactions for row in transaction] == [0, 1]


def test_after_all_of_it_the_next_one_writes_at_once() -> None:
    async def write_one_after_the_other(disk: Disk) -> list[bool]:
        shared = SharedWriting(disk.write)
        return [await shared.write(row) for row in (1, 2, 1)]

    disk = Disk()
    disk.may_go_on.set()
    assert asyncio.run(write_one_after_the_other(disk)) == [True, True, False]
    assert disk.transactions == [[1], [2], [1]]
