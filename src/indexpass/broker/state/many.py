"""Many rows inserted by one statement with one value, which is all of them as JSON.

A statement for each row would be sent, or have the interpreter's lock handed to and fro, once a row: for what is
written together that takes longer than the writing. This module knows no table.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy import JSON, Select, bindparam, cast, column, func, select, text
from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Insert, Table

_ROWS = "rows"


def insert_all_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> int:
    """Insert the rows whose keys are not there yet, in their order. Returns how many those were.

    Each row names the same columns. If another transaction is about to insert one of them, this waits until it is
    known whether it did.
    """
    if not rows:
        return 0
    statement = _insertion(table, tuple(rows[0]), connection.dialect.name)
    return connection.execute(statement, {_ROWS: json.dumps(rows)}).rowcount


@cache  # to put the statement together takes longer than to execute it
def _insertion(table: Table, names: tuple[str, ...], dialect: str) -> Insert:
    insert, source = (
        (postgresql.insert, _from_postgresql(table, names))
        if dialect == "postgresql"
        else (sqlite.insert, _from_sqlite(names))
    )
    return insert(table).from_select(names, source).on_conflict_do_nothing().execution_options(preserve_rowcount=True)


def _from_postgresql(table: Table, names: tuple[str, ...]) -> Select[tuple[object, ...]]:
    columns = [column(name, table.c[name].type) for name in names]
    rows = func.json_to_recordset(cast(bindparam(_ROWS, type_=table.c[names[0]].type), JSON))
    source = rows.table_valued(*columns).render_derived(with_types=True)
    return select(*(source.c[name] for name in names))


def _from_sqlite(names: tuple[str, ...]) -> Select[tuple[object, ...]]:
    source = func.json_each(bindparam(_ROWS)).table_valued("value")
    values = (func.json_extract(source.c.value, f'$."{name}"') for name in names)
    return select(*values).where(text("true"))  # without it, SQLite takes "ON CONFLICT" for a part of a join
