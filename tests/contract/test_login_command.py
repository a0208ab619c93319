"""``indexpass login`` as a process of its own, with a real broker: which way it takes, and what it says meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from servers.visitors import PASSWORD, VisitorBrowser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.brokers import RunningBroker, StartBroker

SECONDS = 60
# A person and their browser in one: opens the page, signs in, approves, and follows the browser home.
PERSON = f"""#!{sys.executable}
import sys
from indexpass._demo.approve import approve
from indexpass._secret import Secret
approve(sys.argv[1], user="alice", password=Secret({PASSWORD!r}))
"""
BROKEN = """#!/bin/sh
exit 1
"""


class Desk:
    """A user's folder with two indexes of one broker, and the commands that are started there."""

    def __init__(self, folder: Path, broker: RunningBroker, running: ExitStack) -> None:
        self.folder = folder
        self.broker = broker
        self._running = running
        indexes = (("acme", broker.index), ("second", f"{broker.url}/second/simple/"))
        tables = [f'[[index]]\nname = "{name}"\nurl = "{url}"\nbroker = "{broker.url}"\n' for name, url in indexes]
        (folder / "config.toml").write_text("\n".join(tables), encoding="utf-8")

    def browser(self, script: str) -> str:
        """Install a browser, and return what BROWSER has to be."""
        path = self.folder / "browser"
        path.write_text(script, encoding="utf-8")
        path.chmod(0o700)
        return str(path)

    def start(self, *words: str, **environ: str) -> subprocess.Popen[str]:
        process = self._running.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", "from indexpass._cli import main; main()", *words],
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": str(self.folder),
                    "INDEXPASS_HOME": str(self.folder),
                    "XDG_CONFIG_DIRS": str(self.folder),
                    "INDEXPASS_SESSION_STORE": "file",
                    **environ,
                },
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
            )
        )
        self._running.callback(process.kill)
        return process

    def run(self, *words: str, **environ: str) -> tuple[int, str, str]:
        process = self.start(*words, **environ)
        stdout, stderr = process.communicate(timeout=SECONDS)
        return process.returncode, stdout, stderr

    def approve(self, process: subprocess.Popen[str]) -> None:
        """Approve the code that the command shows."""
        self.broker.decide(read_until(process, "Open http").rpartition("user_code=")[2].strip())


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """Read lines of stderr until one contains the words."""
    said = ""
    deadline = time.monotonic() + SECONDS
    assert process.stderr
    while words not in said and time.monotonic() < deadline:
        line = process.stderr.readline()
        if not line:
            break
        said += line
    assert words in said
    return said


@pytest.fixture
def desk(start_broker: StartBroker, tmp_path: Path) -> Iterator[Desk]:
    second = '[[index]]\nname = "second"\nurl = "{url}/second/simple/"\n'
    policy = '[[policy]]\nname = "second"\nindex = "second"\noperations = ["read"]\nusers = ["*"]\n'
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    with ExitStack() as running:
        broker = start_broker(second + policy)
        running.enter_context(closing(VisitorBrowser(broker)))  # alice has a password from here on
        yield Desk(folder, broker, running)


def test_login_opens_the_browser_and_ends_signed_in(desk: Desk) -> None:
    code, stdout, stderr = desk.run("login", "acme", BROWSER=desk.browser(PERSON))
    assert (code, stdout) == (0, ""), stderr
    assert stderr.endswith(f"Signed in at {desk.broker.url} as alice.\n")
    assert desk.run("token", "acme")[0] == 0


def test_login_shows_the_page_although_a_browser_opens_and_how_to_go_on_without_one(desk: Desk) -> None:
    _, _, stderr = desk.run("login", "acme", BROWSER=desk.browser(PERSON))
    assert f"\n  {desk.broker.url}/oauth/authorize?" in stderr
    assert "indexpass login --device acme" in stderr


def test_a_browser_that_does_not_start_leads_to_a_code(desk: Desk) -> None:
    process = desk.start("login", "acme", BROWSER=desk.browser(BROKEN))
    desk.approve(process)
    assert process.wait(SECONDS) == 0


@pytest.mark.parametrize(
    ("words", "environ"),
    [
        pytest.param(["--device"], {}, id="asked-for"),
        pytest.param([], {"CI": "true"}, id="ci"),
        pytest.param([], {"SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22"}, id="ssh"),
        pytest.param([], {"BROWSER": "w3m"}, id="text-browser"),
    ],
)
def test_login_shows_a_code_where_there_is_no_browser_to_open(
    desk: Desk, words: list[str], environ: dict[str, str]
) -> None:
    browser = {"BROWSER": desk.browser(PERSON), **environ}
    said = read_until(desk.start("login", "acme", *words, **browser), "Open http")
    assert "/oauth/authorize" not in said


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a desktop is always there")
def test_login_shows_a_code_without_a_desktop(desk: Desk) -> None:
    assert "/oauth/authorize" not in read_until(desk.start("login", "acme"), "Open http")


def test_a_second_login_waits_for_the_first_and_is_served_by_it(desk: Desk) -> None:
    first = desk.start("login", "--device", "acme")
    said = read_until(first, "Open http")
    second = desk.start("login", "second", BROWSER=desk.browser(PERSON))
    assert "Another indexpass login" in read_until(second, "Waiting for it")
    desk.broker.decide(said.rpartition("user_code=")[2].strip())
    assert (first.wait(SECONDS), second.wait(SECONDS)) == (0, 0)
    assert second.stderr
    assert second.stderr.read() == f"Signed in at {desk.broker.url} as alice.\n"
    assert desk.run("token", "second")[0] == 0


@pytest.mark.parametrize("has_session", [False, True], ids=["nobody-signed-in", "an-older-session"])
def test_a_second_login_signs_in_itself_if_the_first_gives_up(desk: Desk, *, has_session: bool) -> None:
    if has_session:
        desk.run("login", "acme", BROWSER=desk.browser(PERSON))
    first = desk.start("login", "--device", "acme")
    read_until(first, "Open http")
    second = desk.start("login", "--device", "acme")
    read_until(second, "Waiting for it")
    first.kill()
    desk.approve(second)
    assert second.wait(SECONDS) == 0


def test_a_sign_in_when_nobody_else_does_replaces_the_session(desk: Desk) -> None:
    for _ in range(2):
        code, _, stderr = desk.run("login", "acme", BROWSER=desk.browser(PERSON))
        assert (code, "Another" in stderr) == (0, False)
    assert len(list((desk.folder / "sessions").glob("*.session"))) == 1
