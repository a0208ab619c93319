"""The tutorial, typed line by line at two terminals as it stands on its page; a person answers what is asked."""

from __future__ import annotations

import os
import re
import secrets
import select
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from indexpass._demo.approve import approve
from indexpass._demo.environments import make_environment, with_extra
from indexpass._demo.stage import Stage
from indexpass._secret import Secret
from servers.loopback import free_port

if sys.platform == "win32":
    pytest.skip("pseudo-terminals are those of POSIX", allow_module_level=True)

import pty

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from conftest import Environments

pytestmark = pytest.mark.e2e

PAGE = Path(__file__).resolve().parents[2] / "plugin-docs/tutorial/first-install.md"
# What the test sets up in its own way, with the wheel of this tree; what is installed into Poetry, others test.
SET_UP = re.compile(
    r"git clone |mkdir private-index|python3 -m venv |pip install (--upgrade pip|'\.\./indexpass)|poetry self add "
)
FAILING = "pip download "  # the page says of each of them that it fails
SERVING = "indexpass broker serve "
SECONDS = 120


class Terminal:
    """A shell at a terminal of its own; ``answers`` has what a person types where a text appears."""

    def __init__(self, folder: Path, environ: Mapping[str, str], answers: Mapping[str, Callable[[str], str]]) -> None:
        self._answers = answers
        self._mark = f"<{secrets.token_hex(8)}:"
        mine, theirs = pty.openpty()
        self._end = mine
        self._shell = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "--noediting", "-i"],
            cwd=folder,
            env={**environ, "PS1": f"{self._mark}$?>", "VIRTUAL_ENV_DISABLE_PROMPT": "1", "TERM": "dumb"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._read(self._mark + "0>")

    def run(self, line: str) -> tuple[int, str]:
        """Type a command, wait until the shell asks for the next one, and return the exit code and what was shown."""
        shown = self.type(line, until=f"{self._mark}\\d+>")
        return int(shown.rpartition(self._mark)[2].rstrip(">")), shown

    def type(self, line: str, *, until: str) -> str:
        """Type a line, and return what is shown until a text that matches ``until``."""
        os.write(self._end, f"{line}\n".encode())
        return self._read(until, echo=line)

    def interrupt(self) -> None:
        """Press Ctrl-C, and wait until the command has ended."""
        os.write(self._end, b"\x03")
        self._read(f"{self._mark}\\d+>")

    def close(self) -> None:
        self._shell.kill()
        self._shell.wait(10)
        os.close(self._end)

    def _read(self, until: str, *, echo: str = "") -> str:
        shown, answered = "", 0
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            if select.select([self._end], [], [], 1)[0]:
                shown += os.read(self._end, 65536).decode(errors="replace").replace("\r", "")
            for prompt, answer in self._answers.items():
                if found := re.search(prompt, shown[answered:]):
                    answered += found.end()
                    if words := answer(found[0]):
                        os.write(self._end, f"{words}\n".encode())
            if re.search(until, shown.removeprefix(f"{echo}\n")):
                return shown
        raise AssertionError(f"{echo!r} did not end, and has shown: {shown}")


def read_lines(port: int) -> list[tuple[str, list[str]]]:
    """Return each command of the page, with the lines that it is said to show."""
    text = PAGE.read_text(encoding="utf-8").partition("\n## What `make demo` does")[0].replace("8443", str(port))
    lines: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                lines.append((line[2:], []))
            else:
                lines[-1][1].append(line)
    return [(line, shown) for line, shown in lines if not SET_UP.match(line)]


def test_who_types_the_tutorial_ends_with_a_private_package_installed(
    tmp_path: Path, environments: Environments, requirement: str
) -> None:
    stage, password = Stage(tmp_path / "stage", say=print), Secret(secrets.token_urlsafe(16))
    make_environment(stage.folder / "private-index/.venv", ["pip", with_extra(requirement, "[broker]")])
    # pip fetches what builds a package from where it does so on this machine, and has no browser to open.
    usual = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    environ = stage.environ(path=[environments("poetry>=2.0", ours="")], SSH_TTY="yes", **usual)
    if "PIP_CONFIG_FILE" not in usual:
        del environ["PIP_CONFIG_FILE"]

    def sign_in(page: str) -> str:
        approve(page.split()[1], user="alice", password=password)
        return ""

    answers = {
        r"(Password|Repeat for confirmation): ?": lambda _: password.reveal(),
        r"\[y/N\]:? ?": lambda _: "y",
        r"Open http://\S+\n": sign_in,
    }
    with free_port() as probe:
        port = probe.getsockname()[1]
    with ExitStack() as stack:
        first = Terminal(stage.folder, environ, answers)
        stack.callback(first.close)
        at = first
        for line, said in read_lines(port):
            if line.startswith(SERVING):
                at.type(line, until=f"http://127.0.0.1:{port}")
                at = Terminal(stage.folder, environ, answers)
                stack.callback(at.close)
                continue
            code, shown = at.run(line)
            assert (code == 0) is not line.startswith(FAILING), f"{line}: {shown}"
            words = [word for each in said for word in each.split() if not re.search(r"\d", word)]
            assert [word for word in words if word not in shown] == [], f"{line}: {shown}"
        assert at is not first
        first.interrupt()
