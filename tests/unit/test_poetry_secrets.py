"""Credentials in URLs: where they are found, what removes them, and that they are never shown."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from indexpass.poetry_plugin.secrets_in_files import MAX_BYTES, WARN_SECONDS, find_leaks, has_secret, warn

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "canary-51c7"
DIRTY = f"https://me:{SECRET}@packages.acme.example/simple/"
CLEAN = "https://packages.acme.example/simple/"
TOKEN = "glpat-0123456789abcdefghij"
SOURCE = '[[tool.poetry.source]]\nname = "{name}"\nurl = "{url}"\n'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


@pytest.fixture
def poetry_folder(tmp_path: Path) -> Path:
    (tmp_path / "pypoetry").mkdir()
    return tmp_path / "pypoetry"


@pytest.mark.parametrize(
    ("url", "is_one"),
    [
        (DIRTY, True),
        ("http://me:x@127.0.0.1:8080/simple/", True),
        (f"https://{TOKEN}@git.example/a.git", True),
        (f"https://:{SECRET}@packages.acme.example/", True),
        (CLEAN, False),
        ("https://me@packages.acme.example/simple/", False),
        ("https://me:${ACME_TOKEN}@packages.acme.example/simple/", False),
        ("https://packages.acme.example/a:b@c/", False),
        ("ssh://git:x@git.example/a.git", False),
    ],
)
def test_what_counts_as_a_credential_in_a_url(url: str, *, is_one: bool) -> None:
    assert has_secret(url) is is_one


@pytest.mark.parametrize(
    ("file", "text", "hint"),
    [
        ("pyproject.toml", SOURCE.format(name="acme", url=DIRTY), f"poetry source add acme {CLEAN}"),
        (
            "pyproject.toml",
            SOURCE.format(name="acme", url=DIRTY) + 'priority = "explicit"\n',
            f"poetry source add --priority=explicit acme {CLEAN}",
        ),
        ("poetry.toml", f'[repositories.up]\nurl = "{DIRTY}"\n', f"poetry config --local repositories.up {CLEAN}"),
        (
            "pyproject.toml",
            f'[tool.poetry.dependencies]\na = {{ git = "https://{TOKEN}@git.example/a.git" }}\n',
            "remove user name and password from line 2 of pyproject.toml",
        ),
        ("pyproject.toml", f"# {DIRTY}\n[not TOML", "remove user name and password from line 1 of pyproject.toml"),
        ("poetry.lock", f'url = "{DIRTY}"\n', "once pyproject.toml is clean: poetry lock"),
    ],
    ids=["source", "explicit source", "repository", "git", "no TOML", "lock"],
)
def test_what_removes_a_credential(project: Path, poetry_folder: Path, file: str, text: str, hint: str) -> None:
    (project / file).write_text(text)
    (leak,) = find_leaks(project, poetry_folder)
    assert (leak.file, leak.hint) == (project / file, hint)
    assert SECRET not in f"{leak!r} {leak}"


@pytest.mark.parametrize("file", ["config.toml", "auth.toml"])
def test_poetrys_own_files_are_searched_too(poetry_folder: Path, file: str) -> None:
    (poetry_folder / file).write_text(f'[repositories.up]\nurl = "{DIRTY}"\n')
    assert [leak.hint for leak in find_leaks(None, poetry_folder)] == [f"poetry config repositories.up {CLEAN}"]


@pytest.mark.parametrize(
    ("name", "url"),
    [("a; touch x", DIRTY), ("acme", f"https://me:{SECRET}@host.example/$(touch x)"), ("-n", DIRTY)],
)
def test_no_command_for_pasting_is_made_of_what_a_hostile_project_says(
    project: Path, poetry_folder: Path, name: str, url: str
) -> None:
    (project / "pyproject.toml").write_text(SOURCE.format(name=name, url=url))
    (leak,) = find_leaks(project, poetry_folder)
    assert "touch x" not in leak.hint
    assert "add -" not in leak.hint


def test_a_line_that_allows_it_is_not_told(project: Path, poetry_folder: Path) -> None:
    (project / "pyproject.toml").write_text(f"# {DIRTY} indexpass: allow\n# {DIRTY}\n")
    assert [leak.hint for leak in find_leaks(project, poetry_folder)] == [
        "remove user name and password from line 2 of pyproject.toml"
    ]


def test_a_file_without_end_is_read_no_further(project: Path, poetry_folder: Path) -> None:
    (project / "poetry.lock").write_text("\n" * MAX_BYTES + DIRTY)
    assert find_leaks(project, poetry_folder) == ()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes in folders are those of POSIX")
def test_a_named_pipe_does_not_hold_up_poetry(project: Path, poetry_folder: Path) -> None:
    os.mkfifo(project / "pyproject.toml")
    assert find_leaks(project, poetry_folder) == ()


def test_a_day_later_and_after_a_change_it_is_told_again(
    project: Path, poetry_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    marks, file = tmp_path / "marks", project / "pyproject.toml"
    file.write_text(SOURCE.format(name="acme", url=DIRTY))
    warn(project, poetry_folder, marks, file.stat().st_mtime + 1)
    assert len(list(marks.iterdir())) == 1
    (mark,) = marks.iterdir()
    now = mark.stat().st_mtime
    warn(project, poetry_folder, marks, now)
    assert [mark] == list(marks.iterdir())
    file.write_text(SOURCE.format(name="acme", url=DIRTY) + SOURCE.format(name="other", url=DIRTY))
    warn(project, poetry_folder, marks, now)
    assert len(list(marks.iterdir())) == 2
    warn(project, poetry_folder, marks, now + WARN_SECONDS + 60)
    assert len(list(marks.iterdir())) == 1
    assert SECRET not in "".join(capfd.readouterr())


def test_where_nothing_is_found_nothing_is_written(project: Path, poetry_folder: Path, tmp_path: Path) -> None:
    (project / "pyproject.toml").write_text(SOURCE.format(name="acme", url=CLEAN))
    warn(project, poetry_folder, tmp_path / "marks", 0.0)
    assert not (tmp_path / "marks").exists()
