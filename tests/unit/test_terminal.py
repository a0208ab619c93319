"""One line to the person, in a real pseudo-terminal, although the client has captured everything."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

if sys.platform == "win32":
    pytest.skip("pseudo-terminals are those of POSIX", allow_module_level=True)

import pty
import termios
import tty

TELL = """
from indexpass._terminal import tell
tell("nobody is signed in", "indexpass login acme")
"""
# The first terminal that the leader of a session opens becomes its controlling terminal.
IN_A_TERMINAL = "import os, sys; os.open(sys.argv[1], os.O_RDWR)\n"
LINE = "indexpass: nobody is signed in → indexpass login acme\n"


class Terminal(NamedTuple):
    """Both ends of a pseudo-terminal: the one that a person sees, and the one that programs open."""

    screen: int
    device: int

    def shown(self) -> str:
        os.set_blocking(self.screen, False)
        try:
            return os.read(self.screen, 65_536).decode()
        except BlockingIOError:
            return ""


class Said(NamedTuple):
    stdout: str
    stderr: str
    status: int


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal(*pty.openpty())
    tty.setraw(terminal.device)  # no carriage returns are added to what is written
    yield terminal
    os.close(terminal.device)
    os.close(terminal.screen)


def run(script: str, *, terminal: Terminal | None = None) -> Said:
    """Run a script as pip runs keyring: stdin null, stdout and stderr captured."""
    child = subprocess.run(
        [sys.executable, "-c", (IN_A_TERMINAL if terminal else "") + script]
        + ([os.ttyname(terminal.device)] if terminal else []),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        start_new_session=True,  # without a controlling terminal, until one is opened
        timeout=60,
        encoding="utf-8",
    )
    return Said(child.stdout, child.stderr, child.returncode)


def test_the_line_reaches_the_terminal_although_stdout_and_stderr_are_captured(terminal: Terminal) -> None:
    run(TELL, terminal=terminal)
    assert terminal.shown() == LINE


def test_with_a_terminal_nothing_is_on_stdout_and_stderr(terminal: Terminal) -> None:
    assert run(TELL, terminal=terminal) == Said("", "", 0)


def test_without_a_terminal_the_line_is_on_stderr_and_nothing_on_stdout() -> None:
    assert run(TELL) == Said("", LINE, 0)


def test_the_same_line_is_told_once(terminal: Terminal) -> None:
    run(TELL + TELL, terminal=terminal)
    assert terminal.shown() == LINE


def test_another_line_is_told_too(terminal: Terminal) -> None:
    run(TELL + 'tell("something else", "")', terminal=terminal)
    assert terminal.shown() == f"{LINE}indexpass: something else\n"


def test_a_line_that_cannot_be_encoded_is_told_as_well_as_it_can_be(terminal: Terminal) -> None:
    run('from indexpass._terminal import tell; tell("a\\udcffb", "")', terminal=terminal)
    assert terminal.shown() == "indexpass: a?b\n"


@pytest.mark.parametrize("stderr", ["None", "__import__('io').StringIO()"])
def test_a_program_without_a_usable_stderr_is_not_disturbed(stderr: str) -> None:
    assert run(f"import sys; sys.stderr = {stderr}\n{TELL}") == Said("", "", 0)


def test_a_closed_stderr_is_not_an_error() -> None:
    assert run(f"import os; os.close(2)\n{TELL}").status == 0


@pytest.mark.timeout(30)
def test_a_stopped_terminal_does_not_hold_up_the_client(terminal: Terminal) -> None:
    termios.tcflow(terminal.device, termios.TCOOFF)
    assert run(TELL, terminal=terminal) == Said("", "", 0)
    termios.tcflow(terminal.device, termios.TCOON)
