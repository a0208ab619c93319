"""The audit: one row in the database and one line of JSON for each decision; the token's SHA-256, never the token.

The line goes to the logger ``indexpass.audit`` once the row is committed. Entries that come at the same time are
written together, and with each the use of its identity token. This module never decides anything, and never changes or
removes a row.
"""

from __future__ import annotations

import getpass
import json
import logging
from dataclasses import dataclass, fields, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from sqlalchemy import and_, or_, select

from indexpass.broker.state import replay, schema
from indexpass.broker.state.many import insert_all_new
from indexpass.broker.state.sharing import SharedWriting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import ColumnElement, Connection, RowMapping

    from indexpass.broker.state.replay import Use
    from indexpass.broker.state.store import Store

PAGE_ROWS = 500  # read at once, however many there are
MAX_TEXT_LENGTH = 1000  # a verified claim may be long; what it was is still to be told from so much of it
LOGGER = "indexpass.audit"
_table = schema.audit
_log = logging.getLogger(LOGGER)


@dataclass(frozen=True, slots=True)
class Entry:
    """One decision. ``time`` is in seconds since the epoch; what does not apply is empty.

    ``about`` is whom or what an operator's command concerned: a user's name, a key's id.
    """

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
    about: str = ""

    def to_json(self) -> dict[str, object]:
        """Return the entry as a line or a document has it: the time in RFC 3339."""
        return {**_values(self), "time": rfc3339(self.time)}


class Audit:
    """Writes entries."""

    def __init__(self, store: Store, now: Callable[[], float], told: Callable[[Entry], None] | None = None) -> None:
        """Write to this store, with the time by this clock; ``told`` is called with each entry that was written."""
        self._store = store
        self._now = now
        self._told = told
        self._shared: SharedWriting[tuple[Entry, Use | None]] = SharedWriting(self._write_all)

    async def record(  # noqa: PLR0913  # an entry has that many facts, all by keyword
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
        """Write an entry of this moment and commit it. Raises as the store does."""
        await self.keep(Entry(self._now(), event, result, who, index, operation, policy, reason, token_sha256, address))

    async def keep(self, entry: Entry, use: Use | None = None) -> bool:
        """Write an entry, and commit it, together with the use of the identity token that it is about.

        Returns False, and writes nothing, if that had been used before. Raises as the store does.
        """
        return await self._shared.write((entry, use))

    def announce(self, *entries: Entry) -> None:
        """Write the lines of JSON for entries that :func:`write` has written, now that they are committed.

        They are one record of the log, because each record is a system call of its own.
        """
        if entries:
            lines = (json.dumps({**_texts_kept(entry), "time": rfc3339(entry.time)}) for entry in entries)
            _log.info("%s", "\n".join(lines))
        for entry in entries:
            if self._told:
                self._told(entry)

    def _write_all(self, rows: Sequence[tuple[Entry, Use | None]]) -> list[bool]:
        """Write entries, and announce them; say of each whether its identity token had not been used before."""
        try:
            with self._store.writing() as connection:
                if not replay.use_all(connection, [use for _, use in rows if use]):
                    raise _UsedBeforeError  # noqa: TRY301  # to roll it back: which one it was is not known
                write(connection, *(entry for entry, _ in rows))
        except _UsedBeforeError:
            is_new = self._write_those_not_used(rows)
        else:
            is_new = [True] * len(rows)
        self.announce(*(entry for (entry, _), was_written in zip(rows, is_new, strict=True) if was_written))
        return is_new

    def _write_those_not_used(self, rows: Sequence[tuple[Entry, Use | None]]) -> list[bool]:
        """Do the same, one identity token after the other."""
        with self._store.writing() as connection:
            is_new = {use: replay.use(connection, *use) for use in sorted({use for _, use in rows if use})}
            # Of those who come with the same token at the same moment, the first has it.
            written = [use is None or is_new.pop(use, False) for _, use in rows]
            write(connection, *(entry for (entry, _), was_written in zip(rows, written, strict=True) if was_written))
        return written


class _UsedBeforeError(Exception):
    """One of several identity tokens had been used before."""


def write(connection: Connection, *entries: Entry) -> None:
    """Write the rows within the caller's transaction; announce the entries once that is committed."""
    insert_all_new(connection, _table, [_texts_kept(entry) for entry in entries])


def write_command(connection: Connection, event: str, *, about: str, now: float) -> None:
    """Write down that a command of the operator was done, within the transaction that does it.

    Who did it is the system's user with an ``@`` in front, which no person's and no workload's name begins with. No
    line is announced: the command itself says on its own terminal what it has done.
    """
    write(connection, Entry(now, event, "granted", who=operator(), about=about))


def operator() -> str:
    """Return whoever runs this command, as the audit calls them."""
    try:
        return f"@{getpass.getuser()}"
    except (OSError, KeyError):  # a container's user without a name
        return "@nobody"


@dataclass(frozen=True, slots=True)
class Search:
    """Which entries are wanted: those that agree with all that is not None. Times are in seconds since the epoch."""

    since: float | None = None
    until: float | None = None
    who: str | None = None
    index: str | None = None
    event: str | None = None
    result: str | None = None
    policy: str | None = None
    token_sha256: str | None = None

    def after(self, time: float) -> Search:
        """Return the same search for what was decided after ``time``, and after its own beginning."""
        return replace(self, since=time if self.since is None else max(time, self.since))

    def _conditions(self) -> list[ColumnElement[bool]]:
        columns = _table.c
        wanted = [columns[name] == value for name in _EXACT if (value := getattr(self, name)) is not None]
        if self.since is not None:
            wanted.append(columns.time >= self.since)
        if self.until is not None:
            wanted.append(columns.time < self.until)
        if self.who is not None:
            wanted.append(or_(columns.who == self.who, columns.about == self.who))
        if self.policy is not None:  # an exchange that several policies have granted names them all
            padded = " " + columns.policy + " "
            wanted.append(padded.contains(f" {self.policy} ", autoescape=True))
        return wanted

    def newest(self, store: Store, limit: int) -> list[tuple[int, Entry]]:
        """Return the newest entries with their row's number, oldest first."""
        query = select(_table).where(*self._conditions()).order_by(_table.c.time.desc(), _table.c.id.desc())
        with store.reading() as connection:
            return [_read(row) for row in connection.execute(query.limit(limit)).mappings()][::-1]

    def oldest_first(self, store: Store) -> Iterator[tuple[int, Entry]]:
        """Yield all entries with their row's number, a page at a time: neither memory nor a transaction grows."""
        conditions, place = self._conditions(), None
        while True:
            query = select(_table).where(*conditions).order_by(_table.c.time, _table.c.id).limit(PAGE_ROWS)
            if place is not None:
                time, row_id = place
                columns = _table.c
                query = query.where(
                    columns.time >= time, or_(columns.time > time, and_(columns.time == time, columns.id > row_id))
                )
            with store.reading() as connection:
                page = [_read(row) for row in connection.execute(query).mappings()]
            yield from page
            if len(page) < PAGE_ROWS:
                return
            place = (page[-1][1].time, page[-1][0])


_EXACT = ("index", "event", "result", "token_sha256")
_FIELDS = tuple(field.name for field in fields(Entry))


def _read(row: RowMapping) -> tuple[int, Entry]:
    return row["id"], Entry(**{name: row[name] for name in _FIELDS})


def _values(entry: Entry) -> dict[str, object]:
    return {name: getattr(entry, name) for name in _FIELDS}


def _texts_kept(entry: Entry) -> dict[str, object]:
    """Return the entry's values with texts that can be kept: no NUL, no half of a character, no endless ones."""
    return {name: storable(value) if isinstance(value, str) else value for name, value in _values(entry).items()}


def storable(text: str) -> str:
    """Return a text that every database takes, as near to this one as may be."""
    if text.isascii() and len(text) <= MAX_TEXT_LENGTH and "\0" not in text:
        return text
    return text[:MAX_TEXT_LENGTH].replace("\0", "\ufffd").encode(errors="replace").decode()


def rfc3339(time: float) -> str:
    """Return the time in UTC, to the millisecond, as RFC 3339 writes it."""
    return datetime.fromtimestamp(time, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
