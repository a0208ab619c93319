"""``broker database``: what it prints, and what it leaves alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from sqlalchemy import inspect, text

from indexpass._cli import main
from indexpass.broker.service import Broker
from indexpass.broker.settings import Database, starter
from indexpass.broker.state import database
from servers.postgres import on_both

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    from servers.postgres import Postgres


@pytest.fixture
def url(new_database: Callable[[Path], str], tmp_path: Path) -> str:
    return new_database(tmp_path)


@pytest.fixture
def folder(url: str, tmp_path: Path) -> Path:
    """The folder of a broker with this database."""
    folder = tmp_path / "broker"
    settings = starter.text("http://127.0.0.1:8765", "acme")
    Broker.create(folder, f'database = "{url}"\n{settings}')
    return folder


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["broker", "database", *map(str, words)])


def set_version(url: str, version: str) -> None:
    engine = database.create(Database(url))
    with engine.begin() as connection:
        connection.execute(text("UPDATE indexpass_version SET version_num = :version"), {"version": version})
    engine.dispose()


@on_both
def test_the_status_is_read_by_people_and_by_programs(folder: Path, url: str) -> None:
    shown = run("status", folder).output.splitlines()
    facts = json.loads(run("status", "--json", folder).output)
    assert shown[0] == facts["database"] == url
    assert shown[1].endswith(": it is up to date")
    assert (facts["version"], facts["status"]) == (facts["newest"], "current")


@on_both
def test_the_status_of_a_newer_database_says_so(folder: Path, url: str) -> None:
    set_version(url, "9999")
    assert "version 9999 of " in run("status", folder).output
    assert "newer indexpass" in run("status", folder).output


def test_a_status_makes_no_tables(folder: Path, postgres: Postgres) -> None:
    url = postgres.database()
    settings = (folder / "broker.toml").read_text().partition("\n")[2]
    (folder / "broker.toml").write_text(f'database = "{url}"\n{settings}')
    assert json.loads(run("status", "--json", folder).output)["status"] == "empty"
    engine = database.create(Database(url))
    assert inspect(engine).get_table_names() == []
    engine.dispose()


@on_both
def test_an_upgrade_that_is_not_needed_says_so(folder: Path) -> None:
    done = run("upgrade", folder)
    assert (done.exit_code, done.output.startswith("Nothing to do")) == (0, True)


def test_an_upgrade_makes_what_is_missing(folder: Path, postgres: Postgres) -> None:
    settings = (folder / "broker.toml").read_text().partition("\n")[2]
    (folder / "broker.toml").write_text(f'database = "{postgres.database()}"\n{settings}')
    assert run("upgrade", folder).output.startswith("Brought the database from version 0 to ")
    assert run("upgrade", folder).output.startswith("Nothing to do")


def test_a_database_that_is_away_is_an_error_with_a_hint(folder: Path) -> None:
    settings = (folder / "broker.toml").read_text().partition("\n")[2]
    (folder / "broker.toml").write_text(f'database = "postgresql://nobody@127.0.0.1:1/nothing"\n{settings}')
    done = run("status", folder)
    assert done.exit_code == 1
    assert "Connection refused" in done.output
    assert "psql 'postgresql://nobody@127.0.0.1:1/nothing'" in done.output
