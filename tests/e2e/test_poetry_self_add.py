"""``poetry self`` as a user meets it: indexpass from the index that it opens, or from a wheel; then other packages.

Each test has a Poetry of its own, because it changes the environment that Poetry runs in. Poetry's keyring is off.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from indexpass._demo.environments import find_usual_index, make_environment
from indexpass._demo.search import search_files
from indexpass._demo.stage import StageError

if TYPE_CHECKING:
    from conftest import Environments, World

pytestmark = pytest.mark.e2e

PAGE = Path(__file__).parents[2] / "plugin-docs" / "how-to" / "poetry.md"


@dataclass
class Poetry:
    """A Poetry without indexpass, whose own sources are the usual index and the private one."""

    world: World
    folder: Path

    def run(self, *words: str | Path) -> str:
        return self._start(self.folder / "poetry", *words)

    def run_script(self, text: str) -> str:
        return self._start("sh", "-ec", text)

    def _start(self, *words: str | Path) -> str:
        settings = {"POETRY_KEYRING_ENABLED": "false", "POETRY_NO_INTERACTION": "1"}
        return self.world.run(*words, path=(self.folder, self.world.ours), **settings)

    @property
    def own_project(self) -> Path:
        return self.world.stage.home / "poetry-config"

    def has_indexpass(self) -> bool:
        """Is anything of it in Poetry's environment?"""
        return any(self.folder.parent.rglob("*indexpass*"))


@pytest.fixture
def poetry(world: World, environments: Environments) -> Poetry:
    """A Poetry in an environment of its own, and a person who is signed in."""
    world.sign_in()
    poetry = Poetry(world, make_environment(world.stage.folder / "poetry", ["poetry>=2.0"]))
    poetry.run("self", "show", "plugins")  # which writes Poetry's own pyproject.toml
    # By itself Poetry asks the public index through an interface that mirrors do not have.
    if usual := find_usual_index(environments("pip")):
        poetry.run("-C", poetry.own_project, "source", "add", "usual", usual)
    poetry.run("-C", poetry.own_project, "source", "add", "--priority", "explicit", "acme", world.index)
    return poetry


@pytest.fixture
def shelved(world: World, requirement: str) -> Path:
    """The wheel of indexpass on the shelf of the private index."""
    return Path(shutil.copy(requirement, world.shelf))


def read_script(line: str) -> str:
    """Return the one block of commands on the page on Poetry that contains ``line``."""
    (block,) = (block for block in re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL) if line in block)
    return re.sub(r"^\$ ", "", block, flags=re.MULTILINE)


@pytest.mark.usefixtures("shelved")
def test_after_one_token_in_a_variable_the_plugin_opens_the_index_it_came_from(world: World, poetry: Poetry) -> None:
    with pytest.raises(StageError, match="Authorization error"):
        poetry.run("self", "add", "--source", "acme", "indexpass")
    poetry.run_script(read_script("indexpass token acme"))
    assert "indexpass (" in poetry.run("self", "show", "plugins")
    poetry.run("self", "update")
    assert "Installing acme-hello" in poetry.run("self", "add", "--source", "acme", "acme-hello")
    assert "Removing" not in poetry.run("self", "sync")
    assert world.minted() == 1
    private = [world.stage.home / "indexpass" / place for place in ("credentials", "sessions")]
    world.watch.look_at_files()
    assert search_files(world.stage.folder, world.watch.secrets, private=private).leaks == ()


def test_a_wheel_gives_way_to_the_index_and_goes_without_a_trace(world: World, poetry: Poetry, shelved: Path) -> None:
    wheel = Path(shutil.copy(shelved, world.stage.folder))
    poetry.run("self", "add", wheel)
    # The running plugin signs for what replaces it.
    assert "Updating indexpass" in poetry.run("self", "add", "--source", "acme", "indexpass@latest")
    wheel.unlink()
    assert "Installing acme-hello" in poetry.run("self", "add", "--source", "acme", "acme-hello")
    assert poetry.has_indexpass()
    poetry.run("self", "remove", "indexpass", "acme-hello")
    assert not poetry.has_indexpass()
    assert poetry.run("self", "show", "plugins").strip() == ""
    assert world.minted() == 1
    world.assert_no_secret_is_anywhere()
