"""What the plugin loads, reads and asks in a run of the real Poetry: nothing for nothing.

Python's own audit hook notes it, so nothing of ours has to tell the truth about itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple

import pytest

from servers.desktops import Desktop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Environments
    from servers.brokers import StartBroker

pytestmark = [
    pytest.mark.e2e,
    # The index runs in this process, and pypiserver leaves it to the collector to close a file that it has sent.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

# Loaded in every run of Poetry.
PLUGIN = {
    "indexpass",
    "indexpass.poetry_plugin",
    "indexpass.poetry_plugin.plugin",
    "indexpass.poetry_plugin.seams",
}
# Loaded with the first request, whoever it goes to: to know whose it is.
MATCHING = {
    "indexpass._cache",
    "indexpass._config",
    "indexpass._credential",
    "indexpass._embedded",
    "indexpass._files",
    "indexpass._locations",
    "indexpass._match",
    "indexpass._platforms",
    "indexpass._resolve",
    "indexpass._secret",
    "indexpass._url",
    "indexpass.errors",
    "indexpass.poetry_plugin.refusals",
    "indexpass.poetry_plugin.signing",
}
# Loaded by keyring, which asks every backend.
BACKEND = {"indexpass.keyring_backend"}
# Loaded where Poetry is about to ask keyring: for a command that installs, to know whether it has to.
ASKING = {"indexpass.poetry_plugin.locked_keyring"}
NO_BUS = "/nonexistent/bus"
NOTE = """
import atexit, json, os, sys
paths, hosts = [], []

def note(event, args):
    if event in ("open", "os.listdir", "os.scandir", "os.mkdir", "os.rename"):
        if isinstance(args[0], (str, bytes, os.PathLike)):
            paths.append(os.fsdecode(args[0]))
    elif event == "socket.connect":
        hosts.append(str(args[1]))

def write():
    ours = [name for name in sys.modules if name.partition(".")[0] == "indexpass"]
    notes = json.dumps({"modules": ours, "paths": paths, "hosts": hosts})
    with open(os.environ["NOTES"], "w") as file:
        file.write(notes)

atexit.register(write)
sys.addaudithook(note)
"""
PYPROJECT = """
[project]
name = "app"
version = "1.0"
description = "A project"
authors = [{{ name = "A Person" }}]
requires-python = ">=3.10"
dependencies = {dependencies}

[tool.poetry]
package-mode = false
"""
SOURCE = """
[[tool.poetry.source]]
name = "acme"
url = "{index}"
"""


class Run(NamedTuple):
    """What was seen of a run: our modules, our files by name as often as they were opened, and who was asked."""

    modules: set[str]
    files: list[str]
    asked: list[str]


class Project:
    """A project of somebody who has configured a private index, and Poetry beside a notebook."""

    def __init__(self, poetry: Path, folder: Path, desktop: Desktop) -> None:
        self._poetry, self._folder, self._home = poetry, folder, desktop.home
        (folder / "noting").mkdir()
        (folder / "noting" / "sitecustomize.py").write_text(NOTE)
        (folder / "project").mkdir()
        self._environ = {
            **desktop.environ,
            "HOME": str(folder / "person"),
            "PYTHONPATH": str(folder / "noting"),
            "NOTES": str(folder / "notes.json"),
            "XDG_CONFIG_DIRS": str(folder / "site"),
            "POETRY_VIRTUALENVS_IN_PROJECT": "true",
        }

    def write(self, *dependencies: str, index: str = "") -> None:
        text = PYPROJECT.format(dependencies=json.dumps(dependencies)) + (SOURCE.format(index=index) if index else "")
        (self._folder / "project" / "pyproject.toml").write_text(text)

    def run(self, *words: str, keyring: bool = False) -> Run:
        done = subprocess.run(
            [self._poetry, "--no-interaction", *words],
            cwd=self._folder / "project",
            env={**self._environ, "POETRY_KEYRING_ENABLED": str(keyring).lower()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        notes = json.loads((self._folder / "notes.json").read_text())
        ours = (str(self._home), str(self._folder / "site"))
        return Run(
            modules=set(notes["modules"]),
            files=[os.path.relpath(path, self._folder) for path in notes["paths"] if path.startswith(ours)],
            asked=[host for host in notes["hosts"] if host != NO_BUS],
        )


@pytest.fixture
def desktop(tmp_path: Path, start_broker: StartBroker) -> Desktop:
    """A machine without a bus."""
    return Desktop(tmp_path, f"unix:path={NO_BUS}", start_broker())


@pytest.fixture
def project(environments: Environments, tmp_path: Path, desktop: Desktop) -> Project:
    return Project(environments("poetry>=2.0", ours="") / "poetry", tmp_path, desktop)


@pytest.fixture
def files(built: Path) -> Iterator[str]:
    """A server of somebody else's that has files for everybody."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=built)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/{next(built.glob('acme_hello*.whl')).name}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("words", [("version",), ("check",), ("config", "--list"), ("env", "info")], ids=" ".join)
def test_a_command_that_asks_nobody_costs_four_modules_and_no_file(
    project: Project, desktop: Desktop, words: tuple[str, ...]
) -> None:
    project.write(index=desktop.broker.index)
    assert project.run(*words, keyring=True) == Run(PLUGIN, [], [])


@pytest.mark.parametrize("keyring", [False, True], ids=["keyring off", "keyring on"])
def test_without_a_private_source_only_the_configuration_is_read(
    project: Project, files: str, *, keyring: bool
) -> None:
    project.write(f"acme-hello @ {files}")
    seen = project.run("lock", keyring=keyring)
    assert seen.asked
    assert seen.files == ["home/config.toml", "site/indexpass/config.toml"]
    assert seen.modules == PLUGIN | MATCHING | (ASKING | BACKEND if keyring else set())


def test_with_keyring_on_nothing_is_looked_up_twice(project: Project, desktop: Desktop, built: Path) -> None:
    wheel = next(built.glob("acme_hello*.whl"))
    (desktop.broker.packages / "acme" / wheel.name).write_bytes(wheel.read_bytes())
    project.write("acme-hello", index=desktop.broker.index)
    desktop.sign_in()
    project.run("lock")
    off, on = (project.run("lock", "--no-cache", "--regenerate", keyring=keyring) for keyring in (False, True))
    assert (on.files, on.asked) == (off.files, off.asked)
