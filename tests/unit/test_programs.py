"""A program that is missing skips the test that needs it, or fails it where nothing may be skipped."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from servers.programs import PROGRAMS, ProgramEntry, require

TREE = Path(__file__).resolve().parents[2]
NEEDS_ABACUS = """
import os
from servers.programs import ProgramEntry, require

def test_that_counts():
    require("abacus", os.environ, {"abacus": ProgramEntry(("abacus",), "apt-get install -y abacus")})
"""
TABLE = {"abacus": ProgramEntry(("abacus", "abacus-2"), "apt-get install -y abacus")}


@pytest.mark.parametrize("path", ["", os.pathsep, "/nowhere"], ids=["empty", "empty-parts", "no-such-folder"])
@pytest.mark.parametrize("setting", ["", "0"], ids=["unset", "0"])
def test_a_missing_program_skips_the_test_and_says_what_installs_it(path: str, setting: str) -> None:
    with pytest.raises(pytest.skip.Exception, match="abacus is not installed: apt-get install -y abacus"):
        require("abacus", {"PATH": path, "INDEXPASS_REQUIRE_ALL": setting}, TABLE)


def test_a_missing_program_fails_the_test_where_all_are_required() -> None:
    with pytest.raises(pytest.fail.Exception, match="abacus is not installed: apt-get install -y abacus"):
        require("abacus", {"PATH": "", "INDEXPASS_REQUIRE_ALL": "1"}, TABLE)


@pytest.mark.parametrize(
    ("setting", "outcome", "code"), [("0", "1 skipped", 0), ("1", "1 failed", 1)], ids=["skipped", "failed"]
)
def test_pytest_reports_a_missing_program_and_what_installs_it(
    tmp_path: Path, setting: str, outcome: str, code: int
) -> None:
    (tmp_path / "test_abacus.py").write_text(NEEDS_ABACUS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rsf", "-p", "no:cacheprovider", "-c", os.devnull, tmp_path],
        env={"PATH": "", "PYTHONPATH": str(TREE / "tests"), "INDEXPASS_REQUIRE_ALL": setting},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, outcome in done.stdout) == (code, True), done.stdout
    assert "apt-get install -y abacus" in done.stdout


@pytest.mark.parametrize("name", ["abacus", "abacus-2"], ids=["usual", "other"])
def test_a_program_is_found_under_each_of_its_names(tmp_path: Path, name: str) -> None:
    executable = make_executable(tmp_path / name)
    assert require("abacus", {"PATH": str(tmp_path)}, TABLE) == executable


def test_a_program_beside_the_path_is_found(tmp_path: Path) -> None:
    for version in ("15", "17"):
        (tmp_path / version / "bin").mkdir(parents=True)
    newest = make_executable(tmp_path / "17" / "bin" / "abacus")
    make_executable(tmp_path / "15" / "bin" / "abacus")
    table = {"abacus": ProgramEntry(("abacus",), "", (f"{tmp_path}/*/bin",))}
    assert require("abacus", {"PATH": ""}, table) == newest


def test_the_working_directory_is_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_executable(tmp_path / "abacus")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pytest.skip.Exception):
        require("abacus", {"PATH": os.pathsep}, TABLE)


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_of_the_table_says_how_to_install_it(name: str) -> None:
    assert PROGRAMS[name].install.startswith("apt-get install -y ")


def make_executable(path: Path) -> Path:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path
