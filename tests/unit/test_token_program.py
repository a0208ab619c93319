"""Running the program of a CI system: bounded, and silent about what it says."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from indexpass._identity_token import MAX_TOKEN_BYTES
from indexpass._token_program import find_program, run_program
from indexpass.errors import IdentityError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the programs are shell scripts")


def script(folder: Path, text: str) -> str:
    file = folder / "agent"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return str(file)


def run(folder: Path, text: str, *, total_seconds: float = 20.0) -> str:
    environ = {"PATH": os.defpath}
    return run_program([script(folder, text), "one two"], environ, hint="try it", total_seconds=total_seconds)


def refuse(folder: Path, text: str, *, total_seconds: float = 20.0) -> IdentityError:
    with pytest.raises(IdentityError) as caught:
        run(folder, text, total_seconds=total_seconds)
    return caught.value


def test_what_the_program_prints_is_returned(tmp_path: Path) -> None:
    assert run(tmp_path, "echo a.b.c") == "a.b.c\n"


def test_no_shell_reads_the_words(tmp_path: Path) -> None:
    assert run(tmp_path, 'echo "$#: $1"') == "1: one two\n"


def test_the_program_is_not_given_our_own_input(tmp_path: Path) -> None:
    assert run(tmp_path, "cat; echo end") == "end\n"


@pytest.mark.timeout(30)  # the program would go on for longer
@pytest.mark.parametrize(
    "text",
    [pytest.param("exec sleep 50", id="itself"), pytest.param("sleep 50 & wait", id="what-it-has-started")],
)
def test_a_program_that_does_not_end_is_given_up_on(tmp_path: Path, text: str) -> None:
    error = refuse(tmp_path, text, total_seconds=0.2)
    assert "did not print an identity token" in error.message
    assert error.hint == "try it"


@pytest.mark.timeout(60)
def test_a_program_that_prints_without_end_is_cut_off(tmp_path: Path) -> None:
    assert isinstance(refuse(tmp_path, "exec yes canary"), IdentityError)


def test_a_long_output_is_cut_off_after_the_length_of_any_token(tmp_path: Path) -> None:
    assert len(run(tmp_path, f"head -c {MAX_TOKEN_BYTES + 1} /dev/zero")) == MAX_TOKEN_BYTES + 1


def test_a_program_that_fails_is_an_error_without_its_words(tmp_path: Path) -> None:
    error = refuse(tmp_path, "echo canary; echo canary >&2; exit 3")
    assert error.message == "agent failed to give an identity token (exit status 3)"


def test_a_program_that_cannot_be_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="agent cannot be run"):
        run_program([str(tmp_path / "agent")], {}, hint="try it")


def test_a_program_is_found_on_the_path_that_is_passed_in(tmp_path: Path) -> None:
    assert find_program("agent", {"PATH": str(tmp_path)}) is None
    place = script(tmp_path, "true")
    assert find_program("agent", {"PATH": str(tmp_path)}) == place
    assert find_program("agent", {}) is None
