"""Usage: which project and version was fetched from which index, by whom, on which day; counted from the checks.

Fetches are counted in memory and written every few seconds, many at once; what the process had not written when it was
killed is lost. A count is for deciding what to retire: it is no audit, and nothing waits for it. This module never
keeps an address, a token or an hour of the day beyond the last fetch's.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import case, delete, func, select, update

from indexpass.broker.state.audit import storable
from indexpass.broker.state.schema import insert_new
from indexpass.broker.state.schema import usage as table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import ColumnElement, Connection

    from indexpass.broker.state.store import Store

MAX_KINDS = 10_000  # kinds of fetches that wait to be written: a few megabytes, hours of a database that is away
ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True, order=True)
class Fetch:
    """One kind of fetch. ``version`` is normalised (PEP 440), ``project`` too (PEP 503)."""

    index: str
    project: str
    version: str
    who: str


class Count(NamedTuple):
    """How often, and when last, in seconds since the epoch."""

    times: int
    last: float


class Tally:
    """What has been fetched and is not written yet. Not for several threads at once."""

    def __init__(self, *, max_kinds: int = MAX_KINDS) -> None:
        """Hold nothing yet."""
        self._max_kinds = max_kinds
        self._counts: dict[Fetch, Count] = {}
        self.dropped = 0

    def count(self, fetch: Fetch, now: float) -> None:
        """Count one fetch; or, where too many kinds wait already, that one was dropped."""
        self._add(fetch, 1, now)

    def take(self) -> dict[Fetch, Count]:
        """Return what waits, and hold nothing any more."""
        taken, self._counts = self._counts, {}
        return taken

    def put_back(self, counts: Mapping[Fetch, Count]) -> None:
        """Hold again what was taken and could not be written."""
        for fetch, count in counts.items():
            self._add(fetch, count.times, count.last)

    def _add(self, fetch: Fetch, times: int, last: float) -> None:
        known = self._counts.get(fetch)
        if known:
            self._counts[fetch] = Count(known.times + times, max(known.last, last))
        elif len(self._counts) < self._max_kinds:
            self._counts[fetch] = Count(times, last)
        else:
            self.dropped += times


def write(connection: Connection, counts: Mapping[Fetch, Count]) -> None:
    """Add the counts to those of the day of their last fetch, within the caller's transaction.

    The rows are touched in one order, so that two brokers that write at once wait for each other once, not crosswise.
    """
    for fetch, count in sorted(counts.items()):
        key = {"day": day_of(count.last), **asdict(fetch), "who": storable(fetch.who)}
        if not _add(connection, key, count) and not insert_new(connection, table, **key, **count._asdict()):
            _add(connection, key, count)  # another broker was faster with the row


def _add(connection: Connection, key: Mapping[str, str], count: Count) -> bool:
    result = connection.execute(
        update(table)
        .where(*(table.c[name] == value for name, value in key.items()))
        .values(
            times=table.c.times + count.times, last=case((table.c.last > count.last, table.c.last), else_=count.last)
        )
    )
    return result.rowcount == 1


def purge(connection: Connection, before: float) -> None:
    """Remove the days before this time's, within the caller's transaction."""
    connection.execute(delete(table).where(table.c.day < day_of(before)))


def day_of(time: float) -> str:
    """Return the day in UTC as YYYY-MM-DD."""
    return datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%d")


@dataclass(frozen=True, slots=True)
class Used:
    """How often something was fetched, and when last. ``who`` is a name, or the number of those who fetched it."""

    index: str
    project: str
    version: str
    who: str | int
    times: int
    last: float


@dataclass(frozen=True, slots=True)
class Search:
    """Which counts are wanted: those that agree with all that is not None. Times are in seconds since the epoch."""

    index: str | None = None
    project: str | None = None
    version: str | None = None
    who: str | None = None
    since: float | None = None

    def by_person(self, store: Store) -> Iterator[Used]:
        """Yield what each person and workload has fetched, by project and version."""
        return self._read(store, table.c.who, unused_since=None)

    def by_version(self, store: Store, *, unused_since: float | None = None) -> Iterator[Used]:
        """Yield how many people and workloads have fetched each version; only those unused since, if that is said."""
        return self._read(store, None, unused_since=unused_since)

    def _read(self, store: Store, who: ColumnElement[str] | None, *, unused_since: float | None) -> Iterator[Used]:
        columns = table.c
        names = [columns.index, columns.project, columns.version]
        groups = names if who is None else [*names, who]
        last = func.max(columns.last)
        query = (
            select(
                *names,
                (func.count(columns.who.distinct()) if who is None else who).label("who"),
                func.sum(columns.times).label("times"),
                last.label("last"),
            )
            .where(*self._conditions())
            .group_by(*groups)
            .order_by(*groups)
        )
        if unused_since is not None:
            query = query.having(last < unused_since)
        with store.reading() as connection:
            for row in connection.execute(query.execution_options(yield_per=ROWS_AT_ONCE)).mappings():
                yield Used(**{**row, "times": int(row["times"])})

    def _conditions(self) -> list[ColumnElement[bool]]:
        names = ("index", "project", "version", "who")
        wanted = [table.c[name] == value for name in names if (value := getattr(self, name)) is not None]
        return [*wanted, table.c.last >= self.since] if self.since is not None else wanted
