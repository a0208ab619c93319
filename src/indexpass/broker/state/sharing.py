"""Transactions that are shared: what comes while one is on its way to the disk is written together by the next.

A commit waits until the disk has it, and each thread that waits for one costs a good part of an exchange. So one
thread writes for all, and nobody has an answer before all that was written with it is committed. This module never
knows what is written.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Row = TypeVar("Row")


class SharedWriting(Generic[Row]):
    """Has rows written together, for all who ask on one event loop."""

    def __init__(self, write: Callable[[Sequence[Row]], Sequence[bool]]) -> None:
        """Begin nothing yet. Later, have ``write`` write rows on a thread, and say of each whether it did."""
        self._write = write
        self._thread = ThreadPoolExecutor(1, "indexpass-writer")
        self._waiting: list[tuple[Row, asyncio.Future[bool]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def write(self, row: Row) -> bool:
        """Return whether the row was written, once that is committed. Raises what the writing of all of them raises.

        Whoever comes during one transaction is in the next, so this takes no longer than two.
        """
        outcome: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((row, outcome))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all_that_wait())
        return await outcome

    async def _write_all_that_wait(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            taken, self._waiting = self._waiting, []
            try:
                results = await loop.run_in_executor(self._thread, self._write, [row for row, _ in taken])
            except Exception as error:  # noqa: BLE001  # each of those who wait raises it
                for _, outcome in taken:
                    if not outcome.done():  # nobody waits any more for what was cancelled
                        outcome.set_exception(error)
            else:
                for (_, outcome), result in zip(taken, results, strict=True):
                    if not outcome.done():
                        outcome.set_result(result)
        self._writing = None
