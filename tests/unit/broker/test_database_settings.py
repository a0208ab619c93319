"""Where broker.toml says that the state is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from indexpass.broker.settings import Database, starter
from indexpass.broker.settings.file import parse
from indexpass.errors import ConfigError

FILE = Path("/etc/broker/broker.toml")
PLAIN = "postgresql://indexpass@db.acme.example/indexpass"


def read(*lines: str) -> Database:
    text = starter.text("https://tokens.acme.example", "acme")
    return parse("\n".join([*lines, text]), file=FILE).database


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////var/lib/broker.sqlite3",
        PLAIN,
        "postgresql:///indexpass?host=/run/postgresql",
        f"{PLAIN}?sslmode=verify-full&sslrootcert=system&passfile=/etc/indexpass/pgpass",
    ],
    ids=["sqlite", "host", "socket", "options"],
)
def test_a_database_without_a_password_is_taken_as_it_is(url: str) -> None:
    assert read(f'database = "{url}"') == Database(url)


def test_the_file_of_the_password_is_relative_to_the_folder() -> None:
    found = read(f'database = "{PLAIN}"', 'database-password-file = "password"')
    assert found == Database(PLAIN, FILE.parent / "password")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://indexpass:hunter2@db/indexpass",
        "postgresql://:hunter2@db/indexpass",
        "postgresql://indexpass:hun@ter2@db/indexpass",
        "postgresql://db/indexpass?user=indexpass&password=hunter2",
        "postgresql://indexpass:@db/indexpass?x=hunter2",
    ],
    ids=["plain", "no-user", "at-sign", "query", "empty"],
)
def test_a_password_in_the_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match="contains a password") as caught:
        read(f'database = "{url}"')
    assert "database-password-file" in caught.value.message
    assert "hunter2" not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("url", ["mysql://x", "postgres://db/x", "postgresql+psycopg2://db/x", "sqlite://", "x"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"sqlite:///PATH or postgresql://"):
        read(f'database = "{url}"')


def test_a_password_for_sqlite_is_refused() -> None:
    with pytest.raises(ConfigError, match="SQLite has no password"):
        read('database-password-file = "password"')
