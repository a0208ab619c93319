"""The real Poetry on a desktop with a keyring: GNOME's, on a bus of its own, where each question is noted.

``keyring.enabled`` is true, as it is by default.
"""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Environments
    from servers.desktops import Desktop, Keyring

pytestmark = [
    pytest.mark.e2e,
    # The index runs in this process, and pypiserver leaves it to the collector to close a file that it has sent.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PYPROJECT = """
[project]
name = "{name}"
version = "1.0.0"
requires-python = ">=3.10"

[tool.poetry]
package-mode = {is_package}

[[tool.poetry.source]]
name = "acme"
url = "{index}"
"""


class Person:
    """Somebody at the desktop, signed in at the broker, with a project whose only source is the private index."""

    def __init__(self, desktop: Desktop, poetry: Path, folder: Path, built: Path) -> None:
        self.desktop, self.poetry, self.folder = desktop, poetry, folder
        self.shelf = desktop.broker.packages / "acme"
        self.wheel = next(built.glob("acme_hello*.whl"))
        (self.shelf / self.wheel.name).write_bytes(self.wheel.read_bytes())
        self.upload_url = f"{desktop.broker.url}/legacy/"
        with (desktop.home / "config.toml").open("a", encoding="utf-8") as config:
            config.write(f'upload-url = "{self.upload_url}"\n')
        folder.mkdir()
        self.write("app", is_package="false")

    def write(self, name: str, *, is_package: str) -> None:
        text = PYPROJECT.format(name=name, is_package=is_package, index=self.desktop.broker.index)
        (self.folder / "pyproject.toml").write_text(text)

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.poetry, "--no-interaction", *words],
            cwd=self.folder,
            env={**self.desktop.environ, "POETRY_VIRTUALENVS_IN_PROJECT": "true", **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,  # a bound for what would hang for ever
            check=False,
            start_new_session=True,  # without a terminal
        )

    def does(self, *words: str, **more: str) -> None:
        done = self.run(*words, **more)
        assert done.returncode == 0, done.stdout + done.stderr

    def publish(self) -> None:
        for file in self.shelf.glob("acme_hello*"):
            file.unlink()
        (self.folder / "dist").mkdir()
        (self.folder / "dist" / self.wheel.name).write_bytes(self.wheel.read_bytes())
        self.write("acme-hello", is_package="true")
        self.does("publish", "--repository", "up", POETRY_REPOSITORIES_UP_URL=self.upload_url)
        assert list(self.shelf.glob("acme_hello*"))


@pytest.fixture
def person(desktop: Desktop, environments: Environments, built: Path, tmp_path: Path) -> Person:
    return Person(desktop, environments("poetry>=2.0", ours="") / "poetry", tmp_path / "project", built)


def test_a_locked_keyring_is_asked_nothing_and_the_private_source_works(
    person: Person, desktop: Desktop, keyring: Keyring, monitor: Path
) -> None:
    keyring()
    desktop.lock()
    desktop.sign_in()
    person.does("add", "acme-hello")
    person.does("lock", "--no-cache", "--regenerate")
    person.does("sync")
    person.does("search", "acme-hello")
    person.publish()
    assert desktop.questions(monitor) == 0


def test_a_project_that_needs_more_than_our_indexes_may_open_the_keyring(
    person: Person, desktop: Desktop, keyring: Keyring, monitor: Path
) -> None:
    keyring()
    desktop.lock()
    desktop.sign_in()
    person.does("source", "add", "--priority=explicit", "other", "http://127.0.0.1:9/simple/")
    person.does("add", "--source=acme", "acme-hello")
    assert desktop.questions(monitor) > 0


def test_a_keyring_that_hangs_does_not_hang_poetry(person: Person, desktop: Desktop, keyring: Keyring) -> None:
    process = keyring()
    desktop.sign_in(INDEXPASS_SESSION_STORE="file")
    process.send_signal(signal.SIGSTOP)
    person.does("add", "acme-hello")


def test_credentials_that_the_person_gave_to_an_open_keyring_win(
    person: Person, desktop: Desktop, keyring: Keyring
) -> None:
    keyring()
    desktop.sign_in()
    person.does("config", "http-basic.acme", "me", "not the password")
    assert "not the password" in [secret.reveal() for secret in desktop.items().values()]
    assert person.run("add", "acme-hello").returncode != 0
    assert list((desktop.home / "credentials").glob("*.credential")) == []
