"""``indexpass broker user``: what each command changes, says, and writes into the audit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import insert, select

from indexpass._cli import main
from indexpass._secret import Secret
from indexpass.broker import people
from indexpass.broker.service import Broker
from indexpass.broker.settings import starter
from indexpass.broker.settings.file import load
from indexpass.broker.state import invitations, schema, sessions, users
from indexpass.broker.state.store import Store
from indexpass.broker.state.users import User

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSWORD = "correct horse battery"
NEW = "four plain words here"
NOW = 1_800_000_000.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A broker with nobody in it."""
    made = tmp_path / "broker"
    Broker.create(made, starter.text("http://127.0.0.1:8765", "acme"))
    return made


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    with closing(Store(load(folder).database)) as opened:
        yield opened


def run(folder: Path, *words: str, typed: str = "") -> Result:
    return CliRunner().invoke(main, ["broker", "user", *words, str(folder)], input=typed)


def add(folder: Path, name: str = "alice") -> None:
    assert run(folder, "add", name, "--password-stdin", typed=f"{PASSWORD}\n").exit_code == 0


def add_from_company(store: Store, name: str = "carol") -> None:
    with store.writing() as connection:
        row = {"name": name, "issuer": "https://login.acme.example", "subject": "1", "created_at": NOW}
        connection.execute(insert(schema.users).values(**row))


def begin_session(store: Store, user: str = "alice") -> str:
    with store.writing() as connection:
        session, _ = sessions.begin(connection, user, client_id="indexpass", seconds=10**10, now=NOW)
    return session.session_id


def revoked(store: Store) -> list[str]:
    with store.reading() as connection:
        return list(connection.scalars(select(schema.revocations.c.id)))


def audited(store: Store) -> list[tuple[str, str]]:
    table = schema.audit
    with store.reading() as connection:
        return [tuple(row) for row in connection.execute(select(table.c.event, table.c.about))]


def test_an_invitation_prints_the_code_alone_and_the_words_beside_it(folder: Path, store: Store) -> None:
    result = run(folder, "invite", "alice")
    assert result.exit_code == 0
    code = Secret(result.stdout.strip())
    assert people.accept_invitation(store, code, Secret(NEW), time.time()) == "alice"
    assert "http://127.0.0.1:8765/invitation" in result.stderr


def test_an_invitation_as_json_says_code_page_and_end(folder: Path) -> None:
    document = json.loads(run(folder, "invite", "alice", "--json").stdout)
    assert set(document) == {"user", "code", "url", "expires_at"}


def test_who_is_invited_keeps_their_password_until_then(folder: Path, store: Store) -> None:
    add(folder)
    run(folder, "invite", "alice")
    assert isinstance(people.sign_in(store, "alice", Secret(PASSWORD), is_known=False, now=NOW), User)


@pytest.mark.parametrize("days", ["0", "31", "x"])
def test_an_invitation_is_for_one_to_thirty_days(folder: Path, days: str) -> None:
    assert run(folder, "invite", "alice", "--days", days).exit_code == 2


def test_the_list_shows_who_is_there_since_when_and_in_what_state(folder: Path, store: Store) -> None:
    add(folder)
    add(folder, "bob")
    add_from_company(store)
    run(folder, "invite", "dave")
    with store.writing() as connection:
        while users.take_try(connection, "bob", NOW * 2):
            pass
    lines = run(folder, "list").stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["NAME", "KIND"],
        ["alice", "local"],
        ["bob", "local"],
        ["carol", "company"],
        ["dave", "local"],
    ]
    assert ["locked for" in lines[2], "invited until" in lines[4]] == [True, True]
    assert max(map(len, lines)) <= 80


def test_the_list_as_json_has_no_hash_and_no_code(folder: Path) -> None:
    add(folder)
    code = run(folder, "invite", "dave").stdout.strip()
    text = run(folder, "list", "--json").stdout
    alice, dave = json.loads(text)
    assert (alice["user"], alice["kind"], alice["has_password"], alice["invited_until"]) == (
        "alice",
        "local",
        True,
        None,
    )
    assert (dave["has_password"], dave["invited_until"] is not None) == (False, True)
    assert ["argon2" in text, code in text] == [False, False]


def test_a_person_is_removed_with_sessions_and_tokens(folder: Path, store: Store) -> None:
    add(folder)
    session = begin_session(store)
    result = run(folder, "remove", "alice", "--yes")
    assert (result.exit_code, result.stdout) == (0, "Removed alice. 1 session was ended.\n")
    assert (store.user("alice"), revoked(store)) == (None, [session])


@pytest.mark.parametrize(("typed", "is_there"), [("n\n", True), ("", True), ("y\n", False)], ids=["no", "eof", "yes"])
def test_removing_asks_first(folder: Path, store: Store, typed: str, *, is_there: bool) -> None:
    add(folder)
    run(folder, "remove", "alice", typed=typed)
    assert (store.user("alice") is not None) is is_there


def test_another_password_ends_the_sessions(folder: Path, store: Store) -> None:
    add(folder)
    session = begin_session(store)
    result = run(folder, "password", "alice", "--password-stdin", "--json", typed=f"{NEW}\n")
    assert json.loads(result.stdout) == {"user": "alice", "sessions_ended": 1}
    assert revoked(store) == [session]
    assert isinstance(people.sign_in(store, "alice", Secret(NEW), is_known=False, now=NOW), User)


@pytest.mark.parametrize(("is_locked", "says"), [(True, "Unlocked alice."), (False, "alice was not locked.")])
def test_unlock_says_whether_there_was_a_lock(folder: Path, store: Store, says: str, *, is_locked: bool) -> None:
    add(folder)
    with store.writing() as connection:
        while is_locked and users.take_try(connection, "alice", NOW * 2):
            pass
    assert run(folder, "unlock", "alice").stdout == f"{says}\n"
    found = store.user("alice")
    assert found is not None
    assert not found.is_locked(NOW * 2)


def test_removing_a_person_where_nobody_can_answer_names_the_way_without_a_question(folder: Path, store: Store) -> None:
    add(folder)
    result = run(folder, "remove", "alice")
    assert result.exit_code == 1
    assert "--yes" in result.stderr
    with store.reading() as connection:
        assert users.find(connection, "alice")


@pytest.mark.skipif(os.name != "posix", reason="getpass asks the console there")
def test_a_password_is_never_asked_for_where_it_would_be_shown(folder: Path) -> None:
    command = [sys.executable, "-c", "from indexpass._cli import main; main()"]
    done = subprocess.run(
        [*command, "broker", "user", "add", "alice", folder],
        input=f"{PASSWORD}\n" * 2,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        start_new_session=True,
    )
    assert done.returncode == 1
    assert "--password-stdin" in done.stderr
    assert PASSWORD not in done.stdout + done.stderr


@pytest.mark.parametrize("words", [("remove", "--yes"), ("password",), ("unlock",)], ids=lambda words: words[0])
def test_a_name_that_nobody_has_is_refused_with_the_nearest(folder: Path, words: tuple[str, ...]) -> None:
    add(folder)
    command, *options = words
    result = run(folder, command, "alicf", *options)
    assert (result.exit_code, "did you mean alice?" in result.stderr) == (1, True)


@pytest.mark.parametrize("command", ["password", "invite"])
def test_a_person_of_the_company_gets_no_password_here(folder: Path, store: Store, command: str) -> None:
    add_from_company(store)
    result = run(folder, command, "carol")
    assert (result.exit_code, "signs in through the company" in result.stderr) == (1, True)
    with store.reading() as connection:
        assert invitations.list_ends(connection) == {}


def test_every_change_is_audited_with_whom_it_is_about(folder: Path, store: Store) -> None:
    add(folder)
    run(folder, "invite", "alice")
    run(folder, "unlock", "alice")
    run(folder, "password", "alice", "--password-stdin", typed=f"{NEW}\n")
    run(folder, "remove", "alice", "--yes")
    events = ["user-added", "user-invited", "user-unlocked", "user-password", "user-removed"]
    assert [entry for entry in audited(store) if entry[1]] == [(event, "alice") for event in events]


@pytest.mark.parametrize("command", [[], ["add"], ["invite"], ["list"], ["remove"], ["password"], ["unlock"]], ids=str)
def test_help_of_each_command_shows_an_example(command: list[str]) -> None:
    assert "Example:" in CliRunner().invoke(main, ["broker", "user", *command, "--help"]).output
