"""One run costs one token: each client, set up as the page on clients says, cold and then warm."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from indexpass._demo.environments import BIN, run_uv

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Environments, World

pytestmark = pytest.mark.e2e

UV_PROJECT = """
[project]
name = "app"
version = "1.0"
requires-python = ">=3.10"
dependencies = ["acme-hello"]

[tool.uv.sources]
acme-hello = {{ index = "acme" }}

[[tool.uv.index]]
name = "acme"
url = "{index}"
authenticate = "always"
explicit = true
"""
UV_PIP = """
[project]
name = "app"
version = "1.0"

[[tool.uv.index]]
name = "acme"
url = "{index}"
authenticate = "always"
default = true
"""
PDM_PROJECT = """
[project]
name = "app"
version = "1.0"
requires-python = ">=3.10"
dependencies = []

[tool.pdm]
distribution = false

[[tool.pdm.source]]
name = "pypi"
url = "{index}"
"""


def test_uv_sync_and_lock(world: World, environments: Environments) -> None:
    project = make_project(world, UV_PROJECT)
    uv, ours = environments("uv") / "uv", {"path": (world.ours,), "UV_KEYRING_PROVIDER": "subprocess"}
    world.run(uv, "sync", "--no-cache", cwd=project, **ours)
    assert world.minted() == 1
    (project / "uv.lock").unlink()
    world.run(uv, "sync", "--no-cache", "--reinstall", cwd=project, **ours)
    assert says_hello(world, project)
    assert world.minted() == 1


@pytest.mark.parametrize("user", ["", "__token__@"], ids=["without-a-user-name", "with-a-user-name"])
def test_uv_pip_install(world: World, environments: Environments, user: str) -> None:
    project = make_project(world, "" if user else UV_PIP)
    uv, target = environments("uv") / "uv", world.stage.folder / "target"
    index = ("--index-url", world.index.replace("://", f"://{user}")) if user else ()
    words = ("pip", "install", "--no-cache", "--keyring-provider", "subprocess", "--target", target, *index)
    for _ in ("cold", "warm"):
        world.run(uv, *words, "--reinstall", "acme-hello", cwd=project, path=(world.ours,))
        assert (target / "acme_hello.py").exists()
        assert world.minted() == 1


@pytest.mark.parametrize(
    ("keyring", "plugins"),
    [
        pytest.param("true", (), id="plugin-and-keyring"),
        pytest.param("false", (), id="plugin-alone"),
        pytest.param("true", ("--no-plugins",), id="keyring-alone"),
    ],
)
def test_poetry_add(world: World, environments: Environments, keyring: str, plugins: tuple[str, ...]) -> None:
    world.sign_in()
    poetry, project = environments("poetry>=2.0", ours="") / "poetry", world.stage.folder / "project"
    world.run(poetry, "config", "keyring.enabled", keyring)
    world.run(poetry, "new", "--no-interaction", project)
    world.run(poetry, "source", "add", "--priority", "explicit", "acme", world.index, cwd=project)
    for _ in ("cold", "warm"):
        world.run(poetry, "add", *plugins, "--no-interaction", "--no-cache", "--source=acme", "acme-hello", cwd=project)
        assert world.minted() == 1
        world.run(poetry, "remove", *plugins, "--no-interaction", "acme-hello", cwd=project)
    assert world.minted() == 1


@pytest.mark.parametrize("asks", ["module", "command"])
def test_pdm_add_and_install(world: World, environments: Environments, asks: str) -> None:
    project = make_project(world, PDM_PROJECT)
    pdm = environments("pdm[locked]", ours="" if asks == "module" else None) / "pdm"
    ours = {"path": (world.ours,) if asks == "command" else (), "PDM_CHECK_UPDATE": "0"}
    world.run(pdm, "add", "acme-hello", cwd=project, **ours)
    assert says_hello(world, project)
    assert world.minted() == 1
    world.run(pdm, "remove", "acme-hello", "--no-sync", cwd=project, **ours)
    world.run(pdm, "add", "acme-hello", "--no-sync", cwd=project, **ours)
    world.run(pdm, "install", cwd=project, **ours)
    assert world.minted() == 1
    world.assert_no_secret_is_anywhere()


def test_twine_upload(world: World, environments: Environments, built: Path) -> None:
    twine = environments("twine", ours="") / "twine"
    words = ("upload", "--non-interactive", "--disable-progress-bar", "--repository-url", world.upload_url)
    upload_twice(world, built, twine, *words)


def test_uv_publish(world: World, environments: Environments, built: Path) -> None:
    uv = environments("uv") / "uv"
    words = ("publish", "--publish-url", world.upload_url, "--trusted-publishing", "never", "--username", "__token__")
    upload_twice(world, built, uv, *words, "--keyring-provider", "subprocess")


def test_hatch_publish(world: World, environments: Environments, built: Path) -> None:
    hatch = environments("hatch", ours="") / "hatch"
    upload_twice(world, built, hatch, "publish", "--no-prompt", "--repo", world.upload_url, "--user", "__token__")
    world.assert_no_secret_is_anywhere()


def make_project(world: World, text: str) -> Path:
    """Sign in, and make a project with a virtual environment of its own."""
    world.sign_in()
    project = world.stage.folder / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text(text.format(index=world.index))
    run_uv("venv", "--quiet", "--python", sys.executable, project / ".venv")
    return project


def says_hello(world: World, project: Path) -> bool:
    python = project / ".venv" / BIN / "python"
    return world.run(python, "-m", "acme_hello", cwd=project).strip() == "Hello from acme-hello."


def upload_twice(world: World, built: Path, *words: str | Path) -> None:
    """Upload the same file twice, and remove it between."""
    world.sign_in()
    for _ in ("cold", "warm"):
        for file in world.shelf.glob("acme_hello*"):
            file.unlink()
        world.run(*words, next(built.glob("acme_hello*")), path=(world.ours,))
        assert list(world.shelf.glob("acme_hello*"))
        assert (world.minted("upload"), world.minted("read")) == (1, 0)
