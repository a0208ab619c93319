"""The database's shape: made at once, brought there step by step, or refused; rows stay."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, select, text

from indexpass.broker.settings import Database
from indexpass.broker.state import database, migrations, schema, sessions
from indexpass.broker.state.store import Store
from indexpass.errors import StoreError
from servers.postgres import on_both

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Engine

    from servers.postgres import Postgres

NOW = 1_800_000_000.0
# What SQLite does by making the table anew, under rows of other tables that go with its rows.
CHANGE_USERS = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "{new:04}", "{old:04}"
def upgrade():
    op.create_table("made", sa.Column("id", sa.Integer(), primary_key=True))
    with op.batch_alter_table("users") as batch:
        batch.alter_column("created_at", new_column_name="since", existing_type=sa.Float(), existing_nullable=False)
    {then}
"""
HOW = 'run: .venv/bin/python -m indexpass.broker.state.migrations "what changes" (--first before the first release)'


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    engine = database.create(Database(url))
    try:
        yield engine
    finally:
        engine.dispose()


@pytest.fixture
def empty(new_database: Callable[[Path], str], tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A database without a table."""
    url = new_database(tmp_path)
    if url.startswith("sqlite"):
        return url
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.database()


@pytest.fixture
def url(new_database: Callable[[Path], str], tmp_path: Path) -> str:
    """A database in which alice has a session."""
    url = new_database(tmp_path)
    with closing(Store(url)) as store:
        store.add_user("alice", "a hash", NOW)
        with store.writing() as connection:
            sessions.begin(connection, "alice", client_id="indexpass", seconds=3600, now=NOW)
    return url


@pytest.fixture
def newest() -> int:
    return int(max(path.stem[-4:] for path in migrations.REVISIONS.glob("revision_*.py")))


def and_one_more(folder: Path, newest: int, then: str = "") -> Path:
    """Return a folder with our revisions, and one that changes the users."""
    revisions = folder / "revisions"
    shutil.copytree(migrations.REVISIONS, revisions, ignore=shutil.ignore_patterns("__pycache__"))
    text = CHANGE_USERS.format(new=newest + 1, old=newest, then=then)
    (revisions / f"revision_{newest + 1:04}.py").write_text(text)
    return revisions


@on_both
def test_the_revisions_lead_to_the_tables_of_the_schema(empty: str) -> None:
    with opened(empty) as engine:
        with engine.begin() as connection:
            command.upgrade(migrations.alembic_config(connection), "head")
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"version_table": migrations.VERSION_TABLE})
            assert compare_metadata(context, schema.metadata) == [], HOW
            assert migrations.read_version(connection).status == "current"


@on_both
def test_the_revisions_lead_to_the_constraints_of_the_schema(empty: str) -> None:
    def shape(engine: Engine) -> object:
        found = inspect(engine)
        return {
            table: (
                found.get_pk_constraint(table),
                sorted(found.get_foreign_keys(table), key=str),
                sorted(found.get_unique_constraints(table), key=str),
                sorted(found.get_indexes(table), key=str),
            )
            for table in found.get_table_names()
        }

    with opened(empty) as engine:
        with engine.begin() as connection:
            command.upgrade(migrations.alembic_config(connection), "head")
        stepwise = shape(engine)
        with engine.begin() as connection:
            for table in inspect(connection).get_table_names():
                connection.execute(text(f'DROP TABLE "{table}"' + " CASCADE" * (engine.dialect.name != "sqlite")))
        migrations.upgrade(Database(empty))
        assert stepwise == shape(engine), HOW


def test_the_revisions_are_numbered_without_a_gap(newest: int) -> None:
    script = ScriptDirectory(str(migrations.FOLDER), version_locations=[str(migrations.REVISIONS)])
    walked = [revision.revision for revision in script.walk_revisions()]
    assert walked == [f"{number:04}" for number in range(newest, 0, -1)]


def test_a_new_database_needs_no_migration_tool(tmp_path: Path) -> None:
    code = (
        "import sys; from indexpass.broker.state.store import Store;"
        f"Store('sqlite:///{tmp_path / 'new.sqlite3'}').close();"
        "sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


@on_both
def test_an_upgrade_keeps_the_rows(url: str, tmp_path: Path, newest: int) -> None:
    revisions = and_one_more(tmp_path, newest)
    assert migrations.upgrade(Database(url), revisions).status == "older"
    with opened(url) as engine, engine.connect() as connection:
        assert connection.execute(text("SELECT name, since FROM users")).all() == [("alice", NOW)]
        assert connection.scalar(select(schema.sessions.c.user)) == "alice"
        assert migrations.read_version(connection, revisions) == (migrations.Version(newest + 1, newest + 1, "current"))
    assert migrations.upgrade(Database(url), revisions).status == "current"


@on_both
def test_an_upgrade_that_fails_changes_nothing(url: str, tmp_path: Path, newest: int) -> None:
    revisions = and_one_more(tmp_path, newest, then="raise RuntimeError")
    with pytest.raises(RuntimeError):
        migrations.upgrade(Database(url), revisions)
    with opened(url) as engine:
        assert "made" not in inspect(engine).get_table_names()
        with engine.connect() as connection:
            assert migrations.read_version(connection, revisions).number == newest
            assert connection.execute(text("SELECT name, created_at FROM users")).all() == [("alice", NOW)]


def test_an_upgrade_that_would_leave_rows_that_lead_nowhere_is_undone(url: str, tmp_path: Path, newest: int) -> None:
    revisions = and_one_more(tmp_path, newest, then='op.execute("DELETE FROM users")')
    with pytest.raises(StoreError, match="lead nowhere"):
        migrations.upgrade(Database(url), revisions)
    with closing(Store(url)) as store:
        assert store.user("alice") is not None


@on_both
def test_brokers_that_start_at_once_make_the_tables_once(empty: str) -> None:
    def open_and_close(_: int) -> None:
        Store(empty).close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(open_and_close, range(6)))
    with opened(empty) as engine, engine.connect() as connection:
        assert migrations.read_version(connection).status == "current"


@on_both
def test_a_database_that_is_newer_is_refused_with_words(url: str) -> None:
    with opened(url) as engine, engine.begin() as connection:
        connection.execute(text("UPDATE indexpass_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="is at version 9999") as caught:
        Store(url)
    assert "newer indexpass" in caught.value.hint


@on_both
def test_the_tables_of_somebody_else_are_left_alone(empty: str) -> None:
    with opened(empty) as engine, engine.begin() as connection:
        connection.execute(text("CREATE TABLE users (id INTEGER)"))
    with pytest.raises(StoreError, match="not of this broker"):
        Store(empty)
    with opened(empty) as engine:
        assert inspect(engine).get_table_names() == ["users"]
