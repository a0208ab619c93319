"""What a person reads when something fails: the same one line from pip in both modes and from Poetry.

Each client runs as users meet it: at a terminal, with what it starts captured. Here its own output is captured as well,
so that all that reaches the terminal is ours.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import pytest
import requests

if sys.platform == "win32":
    pytest.skip("pseudo-terminals are those of POSIX", allow_module_level=True)

import pty
import tty

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Environments, World

pytestmark = pytest.mark.e2e

# The first terminal that the leader of a session opens becomes its controlling terminal, and stays it for its children.
AT_A_TERMINAL = "import os, sys; os.open(sys.argv[1], os.O_RDWR); os.execv(sys.argv[2], sys.argv[2:])"
TIMEOUT_SECONDS = 120
REVOCATION_SECONDS = 30  # the broker reads its list every five


class Said(NamedTuple):
    """What a failed command left on the terminal, and what it printed itself."""

    terminal: str
    printed: str


@dataclass
class Desk:
    """A person at a terminal, with the three clients, in a world."""

    world: World
    environments: Environments

    def fails(self, *argv: str | Path, cwd: Path | None = None, path: tuple[Path, ...] = ()) -> Said:
        """Run a command that fails at a terminal of its own."""
        screen, device = pty.openpty()
        tty.setraw(device)  # no carriage returns are added to what is written
        try:
            done = subprocess.run(
                [sys.executable, "-c", AT_A_TERMINAL, os.ttyname(device), *argv],
                env=self.world.environ(*path),
                cwd=cwd or self.world.stage.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                timeout=TIMEOUT_SECONDS,
                check=False,
                encoding="utf-8",
            )
            os.set_blocking(screen, False)
            try:
                shown = os.read(screen, 65_536).decode()
            except BlockingIOError:
                shown = ""
        finally:
            os.close(device)
            os.close(screen)
        self.world.stage.log([str(word) for word in argv], f"{done.stdout}{shown}")
        assert done.returncode != 0, done.stdout
        return Said(shown, done.stdout)

    def pip(self, index: str, mode: str, *more: str) -> Said:
        ours = {"ours": ""} if mode == "import" else {}
        python = self.environments("pip", "poetry-core>=2.0", **ours) / "python"
        words = ("install", "--no-input", "--no-cache-dir", "--keyring-provider", mode, "--index-url", index)
        target = ("--target", str(self.world.stage.folder / "target"), "acme-hello")
        return self.fails(python, "-m", "pip", *words, *more, *target, path=(self.world.ours,))

    def poetry(self, index: str) -> Said:
        poetry = self.environments("poetry>=2.0", ours="") / "poetry"
        project = self.world.stage.folder / "project"
        shutil.rmtree(project, ignore_errors=True)
        self.world.run(poetry, "new", "--no-interaction", project)
        self.world.run(poetry, "source", "add", "--priority", "explicit", "private", index, cwd=project)
        words = ("add", "--no-interaction", "--source", "private", "acme-hello")
        return self.fails(poetry, *words, cwd=project, path=(self.world.ours,))

    def shown(self, index: str, *for_pip: str) -> dict[str, str]:
        """Return what each client left on the terminal; each begins where the others have not been."""
        home = self.world.stage.home / "indexpass"
        before = self.world.stage.folder / "home-before"
        shutil.copytree(home, before)
        clients: dict[str, Callable[[], Said]] = {
            "pip, import": lambda: self.pip(index, "import", *for_pip),
            "pip, subprocess": lambda: self.pip(index, "subprocess", *for_pip),
            "Poetry": lambda: self.poetry(index),
        }
        shown = {}
        for name, ask in clients.items():
            said = ask()
            assert "indexpass:" not in said.printed
            shown[name] = said.terminal
            shutil.rmtree(home)
            shutil.copytree(before, home)
        return shown

    def add(self, name: str, url: str) -> None:
        with (self.world.stage.home / "indexpass" / "config.toml").open("a") as file:
            file.write(f'\n[[index]]\nname = "{name}"\nurl = "{url}"\nbroker = "{self.world.issuer}"\n')

    def end_session(self) -> None:
        """End the session at the broker, while this machine goes on believing in it."""
        home = self.world.stage.home / "indexpass"
        kept = self.world.stage.folder / "home-kept"
        shutil.copytree(home, kept)
        self.world.indexpass("logout", "acme")
        shutil.rmtree(home)
        kept.rename(home)


@pytest.fixture
def desk(world: World, environments: Environments) -> Desk:
    return Desk(world, environments)


def each_client(line: str) -> dict[str, str]:
    return dict.fromkeys(("pip, import", "pip, subprocess", "Poetry"), f"indexpass: {line}\n")


def test_not_signed_in(desk: Desk) -> None:
    desk.world.indexpass("add", desk.world.index, "--name", "acme", "--yes")
    assert desk.shown(desk.world.index) == each_client(
        f"nobody is signed in at {desk.world.issuer} → indexpass login acme"
    )


def test_the_session_has_ended(desk: Desk) -> None:
    desk.world.sign_in()
    desk.end_session()
    assert desk.shown(desk.world.index) == each_client(
        f"your session at {desk.world.issuer} has ended → indexpass login acme"
    )


def test_no_policy_allows_it(desk: Desk) -> None:
    desk.world.sign_in()
    desk.add("sealed", desk.world.sealed_index)
    shown = desk.shown(desk.world.sealed_index)
    assert shown == each_client(
        "the broker refused: no policy lets alice read sealed → "
        f"ask who runs {desk.world.issuer} for a policy that allows read on {desk.world.sealed_index}"
    )


def test_the_credential_was_revoked(desk: Desk) -> None:
    desk.world.sign_in()
    token = desk.world.indexpass("token", "acme").strip()
    [held] = (desk.world.stage.home / "indexpass" / "credentials").glob("*.credential")
    entry = json.loads(held.read_text())
    held.write_text(json.dumps({**entry, "issued_at": entry["issued_at"] - 60}))
    desk.end_session()
    deadline = time.monotonic() + REVOCATION_SECONDS
    while is_taken(desk.world, token):
        assert time.monotonic() < deadline, "the broker still takes it"
        time.sleep(0.2)
    # pip shows nobody its first refusal; it asks again for the second page that it needs, and that tells us.
    assert desk.shown(desk.world.index, "--find-links", desk.world.index) == each_client(
        f"your session at {desk.world.issuer} has ended → indexpass login acme"
    )


def test_the_credential_is_for_another_index(desk: Desk) -> None:
    desk.world.sign_in()
    desk.add("alias", desk.world.alias_index)
    assert desk.shown(desk.world.alias_index, "--find-links", desk.world.alias_index) == each_client(
        f"{desk.world.issuer} issued the credential for {desk.world.alias_index}, "
        f"but the index there expects one for {desk.world.index} → "
        f"use the index by that URL: indexpass add {desk.world.index}"
    )


def is_taken(world: World, token: str) -> bool:
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(world.authorities)
        return session.get(world.index, auth=("__token__", token), timeout=30).ok
