from __future__ import annotations

import json
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from indexpass._cli import main
from indexpass.broker.service import Broker
from indexpass.broker.settings import starter
from indexpass.broker.settings.file import load
from indexpass.broker.state.store import Store
from indexpass.broker.state.usage import Count, Fetch

if TYPE_CHECKING:
    from pathlib import Path

DAY = 24 * 3600.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A broker from which alice still fetches an old version, and ci a new one."""
    made = tmp_path / "broker"
    Broker.create(made, starter.text("http://127.0.0.1:8765", "acme"))
    now = time.time()
    with closing(Store(load(made).database)) as store:
        store.add_usage(
            {
                Fetch("acme", "acme-lib", "1.10", "alice"): Count(3, now - DAY),
                Fetch("acme", "acme-lib", "1.9", "bob"): Count(1, now - 200 * DAY),
                Fetch("acme", "acme-lib", "2.0", "ci:project"): Count(40, now),
                Fetch("team", "tools", "1.0", "alice"): Count(2, now),
            }
        )
    return made


def run(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["broker", "usage", str(folder), *words])


def found(folder: Path, *words: str) -> list[tuple[str, str, str | int]]:
    result = run(folder, "--json", *words)
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    return [(row["project"], row["version"], row["who"]) for row in rows]


OLD, OLDER, NEW, TOOLS = (
    ("acme-lib", "1.10", "alice"),
    ("acme-lib", "1.9", "bob"),
    ("acme-lib", "2.0", "ci:project"),
    ("tools", "1.0", "alice"),
)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], [OLD, OLDER, NEW, TOOLS]),
        (["--index", "team"], [TOOLS]),
        (["--project", "Acme_Lib"], [OLD, OLDER, NEW]),
        (["--project", "acme-lib", "--older-than", "2.0"], [OLD, OLDER]),
        (["--project", "acme-lib", "--older-than", "1.10"], [OLDER]),
        (["--version", "1.10"], [OLD]),
        (["--who", "alice"], [OLD, TOOLS]),
        (["--since", "30d"], [OLD, NEW, TOOLS]),
        (["--unused-since", "180d"], [("acme-lib", "1.9", 1)]),
    ],
    ids=lambda value: " ".join(value) if all(isinstance(word, str) for word in value) else None,
)
def test_the_filters_choose(folder: Path, words: list[str], expected: list[tuple[str, str, str | int]]) -> None:
    assert found(folder, *words) == expected


def test_the_table_names_project_version_who_index_how_often_and_when(folder: Path) -> None:
    head, *rows = run(folder, "--version", "2.0").stdout.splitlines()
    assert head.split() == ["PROJECT", "VERSION", "WHO", "INDEX", "FETCHES", "LAST", "(UTC)"]
    assert rows[0].split()[:5] == ["acme-lib", "2.0", "ci:project", "acme", "40"]


def test_who_does_not_count_is_told(folder: Path) -> None:
    file = folder / "broker.toml"
    file.write_text(file.read_text().replace("usage = true", "usage = false"))
    assert "usage = true" in run(folder).stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--older-than", "soon"], "not a version"),
        (["--version", "1.*"], "not a version"),
        (["--unused-since", "1d", "--who", "alice"], "goes with neither"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_asked_is_refused(folder: Path, words: list[str], says: str) -> None:
    result = run(folder, *words)
    assert (result.exit_code, says in result.output) == (2, True)
