"""After ``indexpass setup`` the real clients ask keyring and get our credential, and ``--undo`` leaves no trace."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from indexpass._clients import files_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from conftest import Environments, World

pytestmark = pytest.mark.e2e

PROJECT = """
[project]
name = "app"
version = "1.0"
requires-python = ">=3.10"
dependencies = ["acme-hello"]

[[tool.uv.index]] # ours
name = "acme"
url = "{index}"
explicit = true

[tool.uv.sources]
acme-hello = {{ index = "acme" }}
"""


class SetUp:
    """A user's home in which one client is set up; what is in it before and after is compared."""

    def __init__(self, world: World, client: str, programs: Sequence[Path], *words: str | Path) -> None:
        self.world = world
        self.client = client
        self.programs = tuple(programs)
        self.before = self._photograph()
        self._run("--yes", *words)
        assert self._photograph() != self.before

    def run(self, *argv: str | Path, cwd: Path | None = None) -> str:
        return self.world.run(*argv, cwd=cwd, path=self.programs, PIP_CONFIG_FILE="", PDM_USE_VENV="0")

    def undo(self) -> None:
        self._run("--undo")
        assert self._photograph() == self.before

    def _run(self, *words: str | Path) -> None:
        self.run(self.world.ours / "indexpass", "setup", self.client, *words)

    def _photograph(self) -> dict[Path, bytes]:
        config = self.world.stage.home / "config"
        found = [path for path in (*config.rglob("*"), *self.world.stage.home.glob(".*")) if path.is_file()]
        return {path: path.read_bytes() for path in found}


def test_pip_asks_with_no_input(world: World, environments: Environments) -> None:
    world.sign_in()
    beside = environments("pip", "poetry-core>=2.0", ours="")  # keyring beside pip, which skips that one as a command
    for mode, programs in (("import", [beside]), ("subprocess", [environments("pip"), world.ours])):
        python = programs[0] / "python"
        done = SetUp(world, "pip", programs)
        assert f"keyring-provider='{mode}'" in done.run(python, "-m", "pip", "config", "list")
        target = world.stage.folder / mode
        install = ("install", "--no-input", "--index-url", world.index, "--target", target, "acme-hello")
        done.run(python, "-m", "pip", *install)
        assert (target / "acme_hello.py").exists()
        done.undo()
    assert world.minted() == 1
    world.assert_no_secret_is_anywhere()


def test_pip_knows_the_files_that_we_know_of(environments: Environments, tmp_path: Path) -> None:
    python = environments("pip") / "python"
    environ = {"HOME": str(tmp_path), "PATH": str(python.parent), "XDG_CONFIG_DIRS": "/etc/one:/etc/two"}
    said = subprocess.run(
        [python, "-m", "pip", "config", "debug"], env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    theirs = re.findall(r"^  (/.+), exists: ", said.stdout, flags=re.MULTILINE)
    ours = [str(file.path) for file in files_of("pip", environ)]
    assert ours
    assert set(ours) <= set(theirs)


def test_uv_asks_for_the_indexes_of_a_project_and_of_the_users_own(
    world: World, environments: Environments, built: Path
) -> None:
    world.sign_in()
    own = world.stage.home / "config" / "uv" / "uv.toml"
    own.parent.mkdir(parents=True)
    own.write_text(f'[[index]]\nname = "acme"\nurl = "{world.index}"\npublish-url = "{world.upload_url}"\n')
    project = world.stage.folder / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text(PROJECT.format(index=world.index))
    done = SetUp(world, "uv", (environments("uv"), world.ours), "--project", project)
    done.run("uv", "lock", "--no-cache", cwd=project)
    assert "acme-hello" in (project / "uv.lock").read_text()
    done.run("uv", "pip", "install", "--no-cache", "--target", world.stage.folder / "target", "acme-hello")
    assert world.minted() == 1
    (publish_url,) = re.findall(r'publish-url = "(.+)"', own.read_text())
    next(world.shelf.glob("acme_hello*")).unlink()
    wheel = next(built.glob("acme_hello*"))
    done.run("uv", "publish", "--trusted-publishing", "never", "--publish-url", publish_url, wheel)
    assert list(world.shelf.glob("acme_hello*"))
    assert world.minted("upload") == 1
    done.undo()
    assert (project / "pyproject.toml").read_text() == PROJECT.format(index=world.index)
    world.assert_no_secret_is_anywhere()


def test_what_uploads_finds_the_index_by_its_name(world: World, environments: Environments, built: Path) -> None:
    world.sign_in()
    wheel = shutil.copy(next(built.glob("acme_hello*")), world.stage.folder)
    project = world.stage.folder / "project"
    (project / "dist").mkdir(parents=True)
    (project / "pyproject.toml").write_text('[project]\nname = "acme-hello"\nversion = "1.0"\n')
    shutil.copy(wheel, project / "dist")
    for client, environment, words in (
        ("twine", "twine", ("upload", "--non-interactive", "--disable-progress-bar", "-r", "acme", wheel)),
        ("hatch", "hatch", ("publish", "--no-prompt", "-r", "acme", wheel)),
        ("pdm", "pdm[locked]", ("publish", "--no-build", "-r", "acme")),
    ):
        next(world.shelf.glob("acme_hello*")).unlink()
        done = SetUp(world, client, [environments(environment, ours="")])
        done.run(client, *words, cwd=project)
        assert list(world.shelf.glob("acme_hello*")), client
        done.undo()
    assert (world.minted("upload"), world.minted("read")) == (1, 0)
    world.assert_no_secret_is_anywhere()
