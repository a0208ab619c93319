"""Every command of the real Poetry that asks an index, and what no project may obtain by them.

Poetry's keyring is off, so whatever reaches the index came from the plugin.
"""

from __future__ import annotations

import base64
import json
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from indexpass._demo.environments import find_usual_index
from indexpass._demo.search import search_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Environments, World

pytestmark = pytest.mark.e2e

TIMEOUT_SECONDS = 120
PYPROJECT = """
[project]
name = "app"
version = "1.0"
requires-python = ">=3.10"

[tool.poetry]
package-mode = false

[[tool.poetry.source]]
name = "acme"
url = "{index}"
"""
REQUIRES = """
[[tool.poetry.source]]
name = "usual"
url = "{usual}"
priority = "supplemental"

[tool.poetry.requires-plugins]
acme-hello = "*"
"""
# Everything by which a project could claim to be ours: the name, the host as a user name, and the host as a label.
HOSTILE = """
[project]
name = "app"
version = "1.0"
requires-python = ">=3.10"
dependencies = ["demo"]

[tool.poetry]
package-mode = false

[[tool.poetry.source]]
name = "acme"
url = "http://localhost:{port}/simple/"

[[tool.poetry.source]]
name = "by-user-name"
url = "http://{netloc}@localhost:{port}/simple/"
priority = "supplemental"

[[tool.poetry.source]]
name = "by-path"
url = "http://localhost:{port}/{netloc}/simple/"
priority = "supplemental"
"""


@dataclass
class Project:
    """A project with the index as its only source, and a Poetry with the plugin."""

    world: World
    poetry: Path
    folder: Path

    def write(self, text: str) -> None:
        (self.folder / "pyproject.toml").write_text(text)

    def run(self, *words: str, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        """Run Poetry without a terminal, so that our lines are in its error output."""
        environ = {"POETRY_KEYRING_ENABLED": "false", "POETRY_VIRTUALENVS_IN_PROJECT": "true", **more}
        done = subprocess.run(
            [self.poetry, "--no-interaction", "--no-ansi", *words],
            cwd=cwd or self.folder,
            env=self.world.environ(**environ),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # without a terminal
            timeout=TIMEOUT_SECONDS,
            check=False,
            encoding="utf-8",
        )
        self.world.stage.log(["poetry", *words], done.stdout + done.stderr)
        return done

    def does(self, *words: str, **more: str) -> str:
        done = self.run(*words, **more)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def project(world: World, environments: Environments) -> Project:
    folder = world.stage.folder / "project"
    folder.mkdir()
    poetry = environments("poetry>=2.0", "poetry-plugin-export", ours="") / "poetry"
    project = Project(world, poetry, folder)
    project.write(PYPROJECT.format(index=world.index))
    return project


def test_every_command_is_served_by_one_token_and_leaves_no_secret(project: Project, world: World, built: Path) -> None:
    world.sign_in()
    project.does("add", "acme-hello")
    project.does("lock", "--regenerate")
    project.does("update")
    project.does("sync")
    assert "acme-hello" in project.does("show", "--latest")
    project.does("show", "--outdated")
    assert "acme-hello" in project.does("search", "acme-hello")
    assert (world.minted(), world.minted("upload")) == (1, 0)
    for file in world.shelf.glob("acme_hello*"):
        file.unlink()
    (project.folder / "dist").mkdir()
    wheel = next(built.glob("acme_hello*"))
    (project.folder / "dist" / wheel.name).write_bytes(wheel.read_bytes())
    publish_package(project, world, wheel)
    assert (world.minted(), world.minted("upload")) == (1, 1)
    world.assert_no_secret_is_anywhere()


def test_a_plugin_that_the_project_requires_comes_from_its_private_source(
    project: Project, world: World, environments: Environments
) -> None:
    # Poetry looks up all that is in its own environment again, so the usual index has to be a source as well.
    usual = find_usual_index(environments("pip"))
    world.sign_in()
    project.write(PYPROJECT.format(index=world.index) + REQUIRES.format(usual=usual))
    assert "acme-hello" in project.does("install")
    assert list((project.folder / ".poetry" / "plugins").glob("acme_hello*"))
    assert world.minted() == 1


def publish_package(project: Project, world: World, wheel: Path) -> None:
    name, version = wheel.name.split("-")[:2]
    project.write(
        PYPROJECT.format(index=world.index)
        .replace('name = "app"', f'name = "{name}"')
        .replace('version = "1.0"', f'version = "{version}"')
        .replace("package-mode = false", "package-mode = true")
    )
    project.does("publish", "--repository", "up", POETRY_REPOSITORIES_UP_URL=world.upload_url)
    assert list(world.shelf.glob("acme_hello*"))


def test_a_hostile_project_obtains_nothing(project: Project, world: World) -> None:
    world.sign_in()
    with listening() as stranger:
        netloc = world.issuer.removeprefix("https://")
        project.write(HOSTILE.format(port=stranger.server_port, netloc=netloc))
        done = project.run("lock", POETRY_REPOSITORIES_ACME_URL=f"http://localhost:{stranger.server_port}/env/simple/")
    assert done.returncode != 0
    assert stranger.asked
    sent = [base64.b64decode(value.partition(" ")[2]).decode() for value in stranger.authorizations]
    secrets = [secret.reveal() for secret in world.watch.secrets]
    assert not [text for text in sent for secret in secrets if secret in text]
    assert {text.partition(":")[0] for text in sent} <= {"127.0.0.1"}  # its own user name
    assert (world.minted(), world.minted("upload")) == (0, 0)


def test_what_is_exported_and_locked_holds_no_secret(project: Project, world: World) -> None:
    world.sign_in()
    project.does("add", "acme-hello")
    project.does("export", "--output", "requirements.txt", "--with-credentials")
    assert f"--index-url {world.index.rstrip('/')}" in (project.folder / "requirements.txt").read_text()
    world.watch.look_at_files()
    assert world.watch.secrets
    assert search_files(project.folder, world.watch.secrets, private=()).leaks == ()


def test_our_own_commands_do_what_the_cli_does(project: Project, world: World) -> None:
    assert "indexpass doctor" in project.does("list")
    added = project.run("indexpass", "add", world.brief_index, "--name=other", "--yes")
    assert (added.returncode, "Next: poetry indexpass login other" in added.stderr) == (0, True)
    assert json.loads(project.does("indexpass", "status", "other", "--json"))[0]["url"] == world.brief_index
    (world.stage.home / "indexpass" / "config.toml").unlink()
    world.sign_in()
    found = {each["part"]: each["verdict"] for each in json.loads(project.does("indexpass", "doctor", "--json"))}
    general = dict.fromkeys(("config", "broker", "clock", "acme"), "ok")
    assert found == {"plugin": "ok", "keyring": "ok", "source acme": "ok", **general}
    assert json.loads(project.does("indexpass", "status", "acme", "--json"))[0]["name"] == "acme"
    assert "Signed out" in project.run("indexpass", "logout", "acme").stderr
    after = project.run("indexpass", "doctor")
    assert (after.returncode, "poetry indexpass login acme" in after.stdout) == (3, True)
    assert project.run("indexpass", "status", "nonsense").returncode == 1


def test_a_credential_in_a_url_is_told_once_with_the_command_that_removes_it(project: Project, world: World) -> None:
    index = world.index.replace("://", "://me:hunter2@")
    text = PYPROJECT.format(index=index).replace('"1.0"', '"1.0"\ndependencies = ["acme-hello"]')
    project.write(text)
    number = 1 + next(number for number, line in enumerate(text.splitlines()) if "hunter2" in line)
    # From elsewhere, because what counts is the project's folder and not the person's.
    first = project.run("lock", "--project", str(project.folder), cwd=world.stage.home)
    second = project.run("lock")
    line = (
        f"indexpass: pyproject.toml carries a credential in the URL in line {number}: remove it, and revoke it where "
        f"it was issued → poetry source add acme {world.index}\n"
    )
    assert (first.stderr.count(line), second.stderr.count("carries a credential")) == (1, 0)
    assert "hunter2" not in "".join(line for line in first.stderr.splitlines() if "indexpass" in line)


class Stranger(ThreadingHTTPServer):
    """A server of somebody else's that remembers what it was sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []
        self.authorizations: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: Stranger

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if authorization := self.headers.get("Authorization"):
            self.server.authorizations.append(authorization)
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="index"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def listening() -> Iterator[Stranger]:
    with Stranger() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
