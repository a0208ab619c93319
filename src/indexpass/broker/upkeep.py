"""What the broker does by itself while it runs: count what is fetched, change its keys, remove what has expired.

It begins with the application and ends with it, after the last request. This module never answers anybody.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from anyio.to_thread import run_sync
from sqlalchemy.exc import SQLAlchemyError

from indexpass.broker.state.database import DatabaseAway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from indexpass.broker.service import Broker

PURGE_SECONDS = 3600.0
ROTATE_SECONDS = 3600.0  # a key is due a day before it signs
WRITE_USAGE_SECONDS = 5.0
READ_REVOCATIONS_SECONDS = 30.0  # where no check does it sooner, so that the list is never a minute old
_log = logging.getLogger("indexpass.broker")


@asynccontextmanager
async def keeping_up(broker: Broker) -> AsyncIterator[None]:
    """Do all of it meanwhile; at the end, write what is still only in memory."""
    tasks = [
        asyncio.create_task(_repeat(lambda: purge(broker), PURGE_SECONDS)),
        asyncio.create_task(_repeat(lambda: rotate_keys(broker), ROTATE_SECONDS)),
        asyncio.create_task(_repeat(lambda: write_usage(broker), WRITE_USAGE_SECONDS)),
        asyncio.create_task(_repeat(lambda: read_revocations(broker), READ_REVOCATIONS_SECONDS)),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await write_usage(broker)


async def _repeat(work: Callable[[], Awaitable[None]], seconds: float) -> None:
    while True:
        await work()
        await asyncio.sleep(seconds)


async def purge(broker: Broker) -> None:
    """Remove what has expired."""
    try:
        await run_sync(broker.store.purge, broker.now(), broker.settings.running.audit_seconds)
    except SQLAlchemyError:
        _log.exception("what has expired cannot be removed; the next try is in an hour")


async def rotate_keys(broker: Broker) -> None:
    """Publish the next signing key if that is due."""
    try:
        await run_sync(broker.rotate_keys)
    except SQLAlchemyError:
        _log.exception("the signing keys cannot be looked after; the next try is in an hour")


async def read_revocations(broker: Broker) -> None:
    """Read anew what was revoked, if nobody has a moment ago."""
    if broker.revocations.is_due(broker.now()):
        await run_sync(broker.refresh)


async def write_usage(broker: Broker) -> None:
    """Write what was counted since the last time. What the database does not take is held for the next time."""
    counts = broker.tally.take()
    if not counts:
        return
    try:
        await run_sync(broker.store.add_usage, counts)
    except DatabaseAway:  # that is logged once, where it is noticed
        broker.tally.put_back(counts)
    except SQLAlchemyError:
        broker.tally.put_back(counts)
        _log.warning("what was fetched cannot be written; it is counted in memory meanwhile")
