"""The audit: one row in the database and one line of JSON for each decision; the token's SHA-256, never the token.

The line goes to the logger ``indexpass.audit`` once the row is committed. This module never decides anything.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from sqlalchemy import insert

from indexpass.broker.state import schema

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from indexpass.broker.state.store import Store

_log = logging.getLogger("indexpass.audit")


@dataclass(frozen=True, slots=True)
class Entry:
    """One decision. ``time`` is in seconds since the epoch; what does not apply is empty."""

    time: float
    event: str
    result: str
    who: str = ""
    index: str = ""
    operation: str = ""
    policy: str = ""
    reason: str = ""
    token_sha256: str = ""
    address: str = ""


class Audit:
    """Writes entries."""

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        """Write to this store, with the time by this clock."""
        self._store = store
        self._now = now

    def record(  # noqa: PLR0913  # an entry has that many facts, all by keyword
        self,
        *,
        event: str,
        result: str,
        who: str = "",
        index: str = "",
        operation: str = "",
        policy: str = "",
        reason: str = "",
        token_sha256: str = "",
        address: str = "",
    ) -> None:
        """Write an entry in a transaction of its own. This blocks: call it on a thread."""
        self.keep(Entry(self._now(), event, result, who, index, operation, policy, reason, token_sha256, address))

    def keep(self, entry: Entry) -> None:
        """Write an entry in a transaction of its own. This blocks: call it on a thread."""
        with self._store.writing() as connection:
            write(connection, entry)
        announce(entry)


def write(connection: Connection, entry: Entry) -> None:
    """Write the row within the caller's transaction; :func:`announce` the entry once that is committed."""
    connection.execute(insert(schema.audit).values(**asdict(entry)))


def announce(entry: Entry) -> None:
    """Write the line of JSON."""
    _log.info("%s", json.dumps(asdict(entry)))
