"""Is the broker ready? For load balancers and for whoever is woken at night: which part is not, in one word.

Ready means that tokens can be minted and that what was revoked is known. A broker that is not ready goes on answering
checks. This module never says more than the name of a part: what it is asked is open to everybody.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from indexpass.broker.service import Broker

ANSWER_SECONDS = 1.0
MAX_LIST_AGE_SECONDS = 60.0


class Readiness:
    """Asks the parts. At most one question to the database is on its way, however many people ask."""

    def __init__(self, broker: Broker, refresh: Callable[[], Awaitable[None]]) -> None:
        """Ask this broker; ``refresh`` reads the keys and the revocations anew where that is due."""
        self._broker = broker
        self._refresh = refresh
        self._asking: asyncio.Task[bool] | None = None

    async def failing(self) -> list[str]:
        """Return the names of the parts that are not ready: of "database", "keys" and "revocations"."""
        found = []
        if not await self._is_database_there():
            found.append("database")
        if not self._broker.keys.jwks()["keys"]:
            found.append("keys")
        if not 0 <= self._broker.revocations.age(self._broker.now()) < MAX_LIST_AGE_SECONDS:
            found.append("revocations")
        return found

    async def _is_database_there(self) -> bool:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._ask())
        done, _ = await asyncio.wait({self._asking}, timeout=ANSWER_SECONDS)
        return bool(done) and self._asking.result()

    async def _ask(self) -> bool:
        await self._refresh()  # a broker that nobody asks for checks would have an old list
        return await asyncio.to_thread(self._broker.store.is_reachable)
