"""What keyring does not reach: the real git and pip's git by the credential helper, pip and uv by ``indexpass exec``.

No client here has indexpass in its own environment, and no keyring is asked.
"""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from indexpass._cache import Cache
from indexpass._config import read_file
from indexpass._demo.stage import StageError
from indexpass._model import Credential
from indexpass._secret import Secret

if TYPE_CHECKING:
    from conftest import Environments, World
    from servers.git_server import GitServer

pytestmark = pytest.mark.e2e

SETTINGS = """
[[index]]
name = "forge"
url = "https://127.0.0.1:{port}/git/"

[[policy]]
name = "forge"
index = "forge"
operations = ["read"]
users = ["*"]
"""


@pytest.fixture
def more_settings(git_port: int) -> str:
    return SETTINGS.format(port=git_port)


def git_settings(world: World, forge: GitServer) -> dict[str, str]:
    """Return the variables by which git asks us, and after us a helper that would keep passwords in a file."""
    stored = world.stage.home / "git-credentials"
    settings = [
        ("credential.helper", f"store --file={stored}"),
        (f"credential.{forge.url}.helper", ""),  # for these repositories, the one above is out
        (f"credential.{forge.url}.helper", "indexpass"),
        (f"credential.{forge.url}.useHttpPath", "true"),
    ]
    named = {
        f"GIT_CONFIG_{word}_{number}": text
        for number, setting in enumerate(settings)
        for word, text in zip(("KEY", "VALUE"), setting, strict=True)
    }
    return {
        **named,
        "GIT_CONFIG_COUNT": str(len(settings)),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_SSL_CAINFO": str(world.authorities),
        "GIT_TERMINAL_PROMPT": "0",
    }


def test_git_and_pip_s_git_share_one_token(world: World, environments: Environments, forge: GitServer) -> None:
    environ = world.environ(world.ours, **git_settings(world, forge))
    repository = f"{forge.url}secret_sauce.git"
    world.stage.run(["git", "clone", "--quiet", repository, world.stage.folder / "clone"], environ=environ)
    assert (world.stage.folder / "clone" / "secret_sauce.py").exists()
    python, target = environments("pip", "poetry-core>=2.0") / "python", world.stage.folder / "target"
    install = ("-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index", "--target", target)
    world.stage.run([python, *install, f"git+{repository}"], environ=environ)
    assert (target / "secret_sauce.py").exists()
    assert world.minted(index="forge") == 1
    assert not (world.stage.home / "git-credentials").exists()
    world.assert_no_secret_is_anywhere()


def test_git_gets_a_new_token_after_one_that_the_server_refuses(world: World, forge: GitServer) -> None:
    home = world.stage.home / "indexpass"
    index = next(index for index in read_file(home / "config.toml") if index.name == "forge")
    revoked = Credential("__token__", Secret("revoked-elsewhere"), time.time() - 600, time.time() + 3000)
    Cache(home / "credentials").store(index, "read", revoked)
    environ = world.environ(world.ours, **git_settings(world, forge))
    clone = ("git", "clone", "--quiet", f"{forge.url}secret_sauce.git", "clone")
    with pytest.raises(StageError):
        world.stage.run(clone, environ=environ)
    assert world.minted(index="forge") == 0
    world.stage.run(clone, environ=environ)
    assert world.minted(index="forge") == 1


def test_pip_and_uv_install_by_a_file_that_dies_with_them(world: World, environments: Environments) -> None:
    world.sign_in()
    python, uv = environments("pip") / "python", environments("uv") / "uv"
    target = world.stage.folder / "target"
    hand_over = (world.ours / "indexpass", "exec", "--index", "acme", "--")
    pip = (python, "-m", "pip", "install", "--no-input", "--no-deps", "--index-url", world.index)
    world.run(*hand_over, *pip, "--keyring-provider", "disabled", "--target", target / "pip", "acme-hello")
    by_uv = (uv, "pip", "install", "--no-cache", "--no-deps", "--index-url", world.index, "--python", python)
    world.run(*hand_over, *by_uv, "--target", target / "uv", "acme-hello")
    assert [path.parent.name for path in sorted(target.glob("*/acme_hello.py"))] == ["pip", "uv"]
    assert world.minted() == 1
    assert not list((world.stage.home / "indexpass" / "exec").glob("*/*"))
    world.assert_no_secret_is_anywhere()


def test_uv_and_twine_take_the_variables_that_are_theirs(world: World, environments: Environments) -> None:
    world.sign_in()
    hand_over = (world.ours / "indexpass", "exec", "--index", "acme", "--as")
    uv, project = environments("uv") / "uv", world.stage.folder / "project"
    world.run(uv, "init", "--bare", project)
    with (project / "pyproject.toml").open("a") as file:
        file.write(f'\n[[tool.uv.index]]\nname = "acme"\nurl = "{world.index}"\nexplicit = true\n')
        file.write('[tool.uv.sources]\nacme-hello = { index = "acme" }\n')
    world.run(*hand_over, "uv", "--", uv, "add", "--no-cache", "--no-sync", "acme-hello", cwd=project)
    assert "acme-hello" in (project / "uv.lock").read_text()
    wheel = world.stage.folder / next(world.shelf.glob("acme_hello*")).name
    next(world.shelf.glob("acme_hello*")).rename(wheel)
    twine = environments("twine") / "twine"
    world.run(*hand_over, "twine", "--", twine, "upload", "--non-interactive", "--disable-progress-bar", wheel)
    assert list(world.shelf.glob("acme_hello*"))
    assert (world.minted("upload"), world.minted("read")) == (1, 1)


def test_the_console_scripts_are_on_the_path_by_the_names_that_others_demand(
    environments: Environments,
) -> None:
    for name in ("git-credential-indexpass", "docker-credential-indexpass", "indexpass-bazel"):
        said = subprocess.run(
            [environments(ours="[broker]") / name, "--help"], capture_output=True, text=True, check=True, timeout=30
        )
        assert said.stdout.startswith(f"Usage: {name} helper ")
