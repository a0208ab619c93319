"""The line that says what is waited for: only on a terminal, only of a real wait, and gone when that is over."""

from __future__ import annotations

import io
import os
import sys

import pytest

from indexpass._waiting import Waiting
from servers.terminals import run_in_terminal

if sys.platform == "win32":
    pytest.skip("pseudo-terminals are those of POSIX", allow_module_level=True)

CLEAR = "\r\x1b[K"
WAIT = """
import sys, time
from indexpass._waiting import waiting
with waiting("asking the broker"):
    time.sleep({seconds})
print("the end", file=sys.stderr)
"""


def show(seconds: float, **environ: str) -> str:
    words = [sys.executable, "-c", WAIT.format(seconds=seconds)]
    return run_in_terminal(words, {"PATH": os.environ["PATH"], "TERM": "xterm", **environ}).text


def test_a_wait_is_shown_with_its_seconds_and_its_line_is_cleared() -> None:
    shown = show(1.5)
    assert shown.startswith(f"{CLEAR}asking the broker (1 s)")
    assert shown.endswith(f"{CLEAR}the end\r\n")


def test_what_takes_no_time_is_not_shown() -> None:
    assert show(0.01) == "the end\r\n"


def test_a_terminal_that_cannot_clear_a_line_gets_none() -> None:
    assert show(1.2, TERM="dumb") == "the end\r\n"


def test_somebody_else_has_the_line_for_himself_meanwhile() -> None:
    stream = io.StringIO()
    wait = Waiting("asking", stream)
    wait.show()
    wait.pause()
    wait.show()
    stream.write("a question")
    wait.go_on("waiting")
    wait.show()
    assert stream.getvalue() == f"{CLEAR}asking (0 s){CLEAR}a question{CLEAR}waiting (0 s)"


def test_a_line_that_is_too_long_is_cut_rather_than_broken() -> None:
    stream = io.StringIO()
    Waiting("x" * 500, stream).show()
    assert len(stream.getvalue().removeprefix(CLEAR)) < 500


def test_where_nobody_looks_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    wait = Waiting("asking", None)
    wait.show()
    wait.pause()
    assert capsys.readouterr() == ("", "")
