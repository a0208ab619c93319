"""Alembic's way in: it loads this file to run revisions on the connection that it is given, within its transaction."""

from __future__ import annotations

from alembic import context

from indexpass.broker.state import schema
from indexpass.broker.state.migrations import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,  # SQLite changes a table only by making it anew
)
context.run_migrations()
