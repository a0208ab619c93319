from __future__ import annotations

import hashlib
import json
import time
from contextlib import closing
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from indexpass._cli import main
from indexpass._table import indented, render
from indexpass.broker.commands import audit as command
from indexpass.broker.commands.moments import parse_moment
from indexpass.broker.service import Broker
from indexpass.broker.settings import starter
from indexpass.broker.settings.file import load
from indexpass.broker.state import audit
from indexpass.broker.state.audit import Entry, Search
from indexpass.broker.state.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "a.token.that-leaked"
NOW = time.time()
ENTRIES = (
    Entry(NOW - 7200, "sign-in", "denied", who="bob", reason="wrong password", address="10.0.0.7"),
    Entry(
        NOW - 60,
        "identity-exchange",
        "granted",
        who="ci:repo:acme/lib:ref:refs/heads/main",
        index="acme",
        operation="upload",
        policy="release",
        token_sha256=hashlib.sha256(TOKEN.encode()).hexdigest(),
    ),
    Entry(NOW - 30, "user-removed", "granted", who="@root", about="bob"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A broker in which three things have happened."""
    made = tmp_path / "broker"
    Broker.create(made, starter.text("http://127.0.0.1:8765", "acme"))
    write(made, *ENTRIES)
    return made


def write(folder: Path, *entries: Entry) -> None:
    with closing(Store(load(folder).database)) as store, store.writing() as connection:
        for entry in entries:
            audit.write(connection, entry)


def run(folder: Path, *words: str, typed: str = "") -> Result:
    return CliRunner().invoke(main, ["broker", "audit", str(folder), *words], input=typed)


def events(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [json.loads(line)["event"] for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ["sign-in", "identity-exchange", "user-removed"]),
        (["--since", "1h"], ["identity-exchange", "user-removed"]),
        (["--until", "1h"], ["sign-in"]),
        (["--who", "bob"], ["sign-in", "user-removed"]),
        (["--index", "acme"], ["identity-exchange"]),
        (["--event", "sign-in"], ["sign-in"]),
        (["--result", "denied"], ["sign-in"]),
        (["--policy", "release"], ["identity-exchange"]),
        (["--token-sha256", ENTRIES[1].token_sha256], ["identity-exchange"]),
        (["--limit", "1"], ["user-removed"]),
        (["--all"], ["sign-in", "identity-exchange", "user-removed"]),
        (["--who", "nobody"], []),
    ],
    ids=" ".join,
)
def test_the_filters_choose(folder: Path, words: list[str], expected: list[str]) -> None:
    assert events(run(folder, "--json", *words)) == expected


def test_json_has_all_that_is_known_with_the_time_in_rfc_3339(folder: Path) -> None:
    lines = run(folder, "--json", "--event", "user-removed").stdout.splitlines()
    assert json.loads(lines[0]) == ENTRIES[2].to_json()


def test_what_a_leaked_token_did_is_found_by_the_token_itself_which_is_not_shown(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "leaked.txt").write_text(f"{TOKEN}\n")
    by_file = run(folder, "--json", "--token-file", str(tmp_path / "leaked.txt"))
    by_input = run(folder, "--json", "--token-file", "-", typed=TOKEN)
    assert events(by_file) == events(by_input) == ["identity-exchange"]
    assert TOKEN not in by_file.output + by_input.output


def test_the_table_says_what_happened_and_why_not(folder: Path) -> None:
    lines = run(folder).stdout.splitlines()
    assert lines[0].split() == ["TIME", "(UTC)", "RESULT", "EVENT", "WHO", "WHAT"]
    assert lines[1].split()[2:] == ["denied", "sign-in", "bob", "from", "10.0.0.7"]
    assert lines[2] == "    wrong password"
    assert lines[3].split()[2:] == ["granted", "identity-exchange", ENTRIES[1].who, "upload", "acme"]
    assert lines[4].split()[2:] == ["granted", "user-removed", "@root", "bob"]


def test_nothing_found_is_said_and_no_failure(folder: Path) -> None:
    result = run(folder, "--who", "nobody")
    assert (result.exit_code, result.stdout, bool(result.stderr)) == (0, "", True)


def test_a_long_table_has_one_head(folder: Path) -> None:
    write(folder, *(replace(ENTRIES[2], about=str(number)) for number in range(command.ROWS_IN_TABLE + 10)))
    lines = run(folder, "--all").stdout.splitlines()
    assert sum("WHAT" in line for line in lines) == 1
    assert len(lines) == command.ROWS_IN_TABLE + 10 + 5


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--since", "yesterday"], 2, "so long ago"),
        (["--since", "99999-01-01"], 2, "so long ago"),
        (["--all", "--limit", "3"], 2, "--all goes with neither"),
        (["--token-sha256", "12"], 1, "64 hexadecimal digits"),
        (["--token-sha256", "0" * 64, "--token-file", "-"], 2, "exclude each other"),
        (["--token-file", "-"], 1, "does not hold one token"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_asked_is_refused(folder: Path, words: list[str], code: int, says: str) -> None:
    result = run(folder, *words)
    assert (result.exit_code, says in result.output) == (code, True)


def test_following_shows_each_new_entry_once_also_one_that_was_committed_late(folder: Path) -> None:
    late = replace(ENTRIES[0], time=NOW - 5, event="late")
    naps: Iterator[int] = count()

    def sleep(_seconds: float) -> None:
        nap = next(naps)
        if nap < 2:
            write(folder, replace(late, event=f"late-{nap}", time=NOW - 5 - nap))

    with closing(Store(load(folder).database)) as store:
        shown = {row_id: entry.time for row_id, entry in Search().newest(store, 10)}
        following = command.follow_entries(Search(), store, shown, now=lambda: NOW, sleep=sleep)
        assert [next(following).event, next(following).event] == ["late-0", "late-1"]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-22", 1795305600),
        ("2026-11-22T10:30:00Z", 1795343400),
        ("2026-11-22T10:30", 1795343400),
        ("2026-11-22T11:30:00+01:00", 1795343400),
    ],
)
def test_a_date_is_in_utc_unless_it_says_otherwise(text: str, moment: float) -> None:
    assert parse_moment(text) == moment


def test_so_long_ago_is_counted_from_now() -> None:
    assert parse_moment("2h") == pytest.approx(time.time() - 7200, abs=60)


# The table


def test_a_table_that_is_too_wide_is_cut_where_that_is_allowed() -> None:
    lines = render(("WHO", "WHAT"), [("a" * 30, "exact")], cut=(0,), width=20)
    assert lines == ["WHO            WHAT", f"{'a' * 12}…  exact"]


def test_a_program_is_given_whole_texts() -> None:
    assert render(("WHO",), [("a" * 300,)], cut=(0,), width=None)[1] == "a" * 300


def test_what_belongs_to_a_row_is_indented_and_wrapped() -> None:
    assert indented("why it was denied", 16) == "    why it was\n    denied"
    assert indented("why it was denied", None) == "    why it was denied"


def test_no_text_moves_the_cursor() -> None:
    assert render(("WHO",), [("a\x1b[2Jb\n\ud800é",)], cut=(), width=None)[1] == r"a\x1b[2Jb\n\ud800é"
