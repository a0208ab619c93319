"""One line to the person, in a real pseudo-terminal, although the client has captured everything."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from indexpass._terminal import MARK_SECONDS

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
KEYRING = "import keyring.cli\n"  # a process like those that pip and uv start, one for each question
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


def run(script: str, *, terminal: Terminal | None = None, **environ: str) -> Said:
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
        env={**os.environ, **environ},
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


@pytest.mark.parametrize(
    ("is_on_path", "told"),
    [(True, LINE), (False, LINE.replace("→ indexpass", "→ poetry indexpass"))],
    ids=["on PATH", "not on PATH"],
)
def test_inside_poetry_the_command_to_run_is_one_that_is_there(tmp_path: Path, *, is_on_path: bool, told: str) -> None:
    if is_on_path:
        (tmp_path / "indexpass").touch(mode=0o755)
    inside_poetry = "import sys; sys.modules['indexpass.poetry_plugin.plugin'] = sys\n"
    assert run(inside_poetry + TELL, PATH=str(tmp_path)) == Said("", told, 0)


# One run of pip or uv, and many keyring processes


@pytest.fixture
def home(tmp_path: Path) -> str:
    return str(tmp_path / "home")


def marks(home: str) -> list[Path]:
    return sorted(Path(home).rglob("*.told"))


def test_the_keyring_processes_of_one_parent_tell_a_line_once(terminal: Terminal, home: str) -> None:
    for _ in range(3):
        run(KEYRING + TELL, terminal=terminal, INDEXPASS_HOME=home)
    assert terminal.shown() == LINE


def test_without_a_terminal_they_tell_it_once_too(home: str) -> None:
    said = [run(KEYRING + TELL, INDEXPASS_HOME=home).stderr for _ in range(3)]
    assert said == [LINE, "", ""]


def test_another_line_of_the_same_run_is_told(home: str) -> None:
    run(KEYRING + TELL, INDEXPASS_HOME=home)
    assert run(f"{KEYRING}{TELL.replace('nobody', 'somebody')}", INDEXPASS_HOME=home).stderr


def test_another_parent_is_another_run(home: str) -> None:
    another = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {KEYRING + TELL!r}])"
    assert [run(another, INDEXPASS_HOME=home).stderr for _ in range(2)] == [LINE, LINE]


def test_programs_that_are_a_run_of_their_own_tell_it_each_and_leave_no_mark(home: str) -> None:
    assert [run(TELL, INDEXPASS_HOME=home).stderr for _ in range(2)] == [LINE, LINE]
    assert not Path(home).exists()


def test_a_person_at_the_terminal_is_told_each_time(terminal: Terminal, home: str) -> None:
    by_hand = f"import os, sys; os.dup2(os.open(sys.argv[1], os.O_RDWR), 2)\n{KEYRING}{TELL}"
    for _ in range(2):
        run(by_hand, terminal=terminal, INDEXPASS_HOME=home)
    assert terminal.shown() == LINE * 2
    assert not Path(home).exists()


def test_a_mark_is_a_private_empty_file_that_names_nothing(home: str) -> None:
    run(KEYRING + TELL, INDEXPASS_HOME=home)
    [mark] = marks(home)
    assert (mark.read_bytes(), stat.S_IMODE(mark.stat().st_mode), len(mark.stem)) == (b"", 0o600, 40)


@pytest.mark.parametrize("age", [MARK_SECONDS + 1, -60], ids=["old", "from a future"])
def test_a_mark_whose_time_is_over_counts_no_more_and_is_removed(home: str, age: float) -> None:
    run(KEYRING + TELL, INDEXPASS_HOME=home)
    stray = marks(home)[0].with_name(f"{'0' * 40}.told")
    stray.touch()
    for mark in marks(home):
        os.utime(mark, (time.time() - age,) * 2)
    assert run(KEYRING + TELL, INDEXPASS_HOME=home).stderr == LINE
    assert stray not in marks(home)


@pytest.mark.parametrize("place", ["relative", "/dev/null/home"])
def test_where_no_mark_can_be_kept_the_line_is_told(place: str) -> None:
    assert [run(KEYRING + TELL, INDEXPASS_HOME=place).stderr for _ in range(2)] == [LINE, LINE]


def test_a_folder_that_others_may_write_to_holds_no_mark(home: str) -> None:
    folder = Path(home) / "credentials"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    assert run(KEYRING + TELL, INDEXPASS_HOME=home).stderr == LINE
    assert marks(home) == []


def test_threads_tell_a_line_once() -> None:
    many = "import threading\n" + "".join(f"    {line}\n" for line in ["def work():", *[]])
    many = (
        "import threading\nfrom indexpass._terminal import tell\n"
        "threads = [threading.Thread(target=tell, args=('busy', '')) for _ in range(20)]\n"
        "[thread.start() for thread in threads]; [thread.join() for thread in threads]"
    )
    assert run(many).stderr == "indexpass: busy\n"
