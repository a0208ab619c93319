"""How the database is opened, and what happens when it does not answer."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import stat
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from indexpass.broker.settings import Database
from indexpass.broker.state import database, devices, sessions
from indexpass.broker.state.database import DatabaseAway
from indexpass.broker.state.store import AWAY_SECONDS, Store
from indexpass.errors import StoreError
from servers.postgres import OWNER, on_both

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.postgres import Postgres

NOW = 1_800_000_000.0


class Ticks:
    """A steady clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "broker.sqlite3"


@pytest.fixture
def on_disk(file: Path, ticks: Ticks) -> Iterator[Store]:
    """A store in a SQLite file, with one user, alice."""
    with closing(Store(f"sqlite:///{file}", monotonic=ticks)) as store:
        store.add_user("alice", "a hash", NOW)
        yield store


# SQLite


@pytest.mark.skipif(os.name != "posix", reason="modes are a POSIX matter")
@pytest.mark.usefixtures("on_disk")
def test_the_database_and_its_journals_are_for_their_owner_only(tmp_path: Path) -> None:
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.glob("broker.sqlite3*")} == {0o600}


def test_sqlite_is_in_wal_with_foreign_keys(on_disk: Store) -> None:
    with on_disk.reading() as connection:
        assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
        assert connection.scalar(text("PRAGMA foreign_keys")) == 1


@pytest.mark.parametrize("name", ["a b", "100%", "#1", "q?mode=memory", "ä"])
def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    with closing(Store(Database(f"sqlite:///{tmp_path / name}".replace("?", "%3F")))) as store:
        assert store.is_reachable()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"missing/broker\.sqlite3 cannot be opened"):
        Store(f"sqlite:///{tmp_path / 'missing' / 'broker.sqlite3'}")


def test_a_file_that_is_no_database_is_named(file: Path) -> None:
    file.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError, match="not a database"):
        Store(f"sqlite:///{file}")


def test_a_file_that_was_removed_takes_nothing_and_is_not_made_anew(on_disk: Store, file: Path) -> None:
    file.unlink()
    with pytest.raises(DatabaseAway):
        on_disk.add_user("bob", "a hash", NOW)
    assert not file.exists()


def test_a_file_that_was_replaced_by_a_backup_is_the_one_that_is_read(on_disk: Store, file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"VACUUM INTO '{file}.backup'")
    on_disk.add_user("bob", "a hash", NOW)
    for each in file.parent.glob(f"{file.name}-*"):
        each.unlink()
    shutil.move(f"{file}.backup", file)
    assert [on_disk.user(name) is not None for name in ("alice", "bob")] == [True, False]


def test_no_token_and_no_code_is_in_the_database(on_disk: Store, tmp_path: Path) -> None:
    with on_disk.writing() as connection:
        device_code, _ = devices.begin(connection, client_id="c", resource="r", scope="s", address="::1", now=NOW)
        _, refresh_token = sessions.begin(connection, "alice", client_id="c", seconds=60, now=NOW)
    written = b"".join(file.read_bytes() for file in tmp_path.glob("broker.sqlite3*"))
    assert b"alice" in written
    assert not any(token.reveal().encode() in written for token in (device_code, refresh_token))


# When it does not answer


def test_a_database_that_did_not_answer_is_left_alone_for_a_second(on_disk: Store, file: Path, ticks: Ticks) -> None:
    aside = file.rename(file.with_name("aside"))
    assert not on_disk.is_reachable()
    aside.rename(file)
    with pytest.raises(DatabaseAway, match="a moment ago"):
        on_disk.user("alice")
    ticks.now += AWAY_SECONDS
    assert on_disk.user("alice") is not None


def test_an_outage_is_logged_once_and_so_is_its_end(
    on_disk: Store, file: Path, ticks: Ticks, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="indexpass.broker")
    aside = file.rename(file.with_name("aside"))
    for _ in range(3):
        assert not on_disk.is_reachable()
        ticks.now += AWAY_SECONDS
    aside.rename(file)
    for _ in range(3):
        assert on_disk.is_reachable()
    assert [record.message for record in caplog.records] == [
        "the database does not answer: unable to open database file",
        "the database answers again",
    ]


def test_what_is_refused_names_no_value_of_any_row(on_disk: Store) -> None:
    with pytest.raises(IntegrityError) as caught, on_disk.writing() as connection:
        connection.execute(text("INSERT INTO users (name) VALUES (:name)"), {"name": "the-secret"})
    assert "the-secret" not in f"{caught.value} {database.reason(caught.value)}"


def test_a_failure_within_a_transaction_undoes_it(on_disk: Store) -> None:
    with pytest.raises(ZeroDivisionError), on_disk.writing() as connection:  # noqa: PT012  # it fails inside
        connection.execute(text("DELETE FROM users"))
        raise ZeroDivisionError
    assert on_disk.user("alice") is not None


# PostgreSQL


@pytest.fixture
def role(postgres: Postgres) -> Iterator[str]:
    """A user of PostgreSQL with the password "first"."""
    postgres.execute("CREATE ROLE broker LOGIN PASSWORD 'first' IN ROLE pg_write_all_data, pg_read_all_data")
    yield "broker"
    postgres.execute("DROP ROLE broker")


def as_role(postgres: Postgres, role: str, password_file: Path | None) -> Database:
    name = postgres.prepared().partition("@/")[2].partition("?")[0]
    return Database(postgres.url(name, by_network=True).replace(OWNER, role), password_file)


def test_the_password_comes_from_a_file_and_may_change_meanwhile(postgres: Postgres, role: str, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("first\n")
    with closing(Store(as_role(postgres, role, file))) as store:
        assert store.is_reachable()
        postgres.execute("ALTER ROLE broker PASSWORD 'second'")
        file.write_text("second")
        postgres.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'broker'")
        assert store.is_reachable()


@pytest.mark.parametrize(
    ("content", "words"),
    [("let-me-in", "password authentication failed"), (None, "cannot be read"), ("", "no password supplied")],
    ids=["wrong", "missing", "empty"],
)
def test_a_password_that_does_not_fit_is_explained_and_never_shown(
    postgres: Postgres, role: str, tmp_path: Path, content: str | None, words: str
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_text(content)
    with pytest.raises(StoreError, match=words) as caught:
        Store(as_role(postgres, role, file))
    assert "psql 'postgresql://broker@" in caught.value.hint
    assert "let-me-in" not in f"{caught.value} {caught.value.hint}"


def test_every_wait_for_postgresql_is_bounded(postgres: Postgres) -> None:
    with closing(Store(f"{postgres.prepared()}&options=-c%20work_mem%3D1MB")) as store, store.reading() as connection:
        found = {
            name: connection.scalar(text(f"SHOW {name}"))
            for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "work_mem")
        }
    assert found == {
        "statement_timeout": "5s",
        "lock_timeout": "3s",
        "idle_in_transaction_session_timeout": "10s",
        "work_mem": "1MB",
    }


def test_a_restart_of_postgresql_costs_nothing(stoppable_postgres: Postgres) -> None:
    with closing(Store(stoppable_postgres.prepared())) as store:
        store.add_user("alice", "a hash", NOW)
        stoppable_postgres.stop()
        stoppable_postgres.start()
        assert store.user("alice") is not None


@on_both
def test_a_lock_that_is_held_for_long_is_waited_for_in_vain_but_not_for_ever(store: Store) -> None:
    """What is measured is that it ends at all: the test's own time limit says so."""
    is_locked, is_over = threading.Event(), threading.Event()

    def hold() -> None:
        with store.writing() as connection:
            connection.execute(text("UPDATE users SET created_at = 1"))
            is_locked.set()
            is_over.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    assert is_locked.wait(30)
    try:
        with pytest.raises(DatabaseAway), store.writing() as connection:
            connection.execute(text("UPDATE users SET created_at = 2"))
    finally:
        is_over.set()
        holder.join()
