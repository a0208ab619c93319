"""Dependencies by ``git+https``: the real Poetry fetches from git's own server, which a real broker guards, over TLS.

Poetry's keyring is off, so whatever reaches the server came from the plugin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from indexpass._demo.stage import StageError
from indexpass.poetry_plugin.seams import SENDING_GIT

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Environments, World
    from servers.git_server import GitServer

pytestmark = pytest.mark.e2e

SETTINGS = """
[[index]]
name = "forge"
url = "https://127.0.0.1:{port}/git/"

[[index]]
name = "walled"
url = "https://127.0.0.1:{port}/walled/"

[[policy]]
name = "forge"
index = "forge"
operations = ["read"]
users = ["*"]

[[policy]]
name = "walled"
index = "walled"
operations = ["read"]
users = ["*"]
projects = ["something-else"]
"""
# Poetry itself goes on as before: only what looks for an ordinary method finds none.
IN_ANOTHER_SHAPE = """
from functools import partial
from {seam.module} import {seam.owner}

{seam.owner}.{seam.method} = property(partial(partial, {seam.owner}.{seam.method}))
"""
PYPROJECT = """
[project]
name = "app"
version = "1.0"
requires-python = ">=3.10"

[tool.poetry]
package-mode = false

[tool.poetry.dependencies]
secret-sauce = {{ git = "{url}" }}
"""


@pytest.fixture
def more_settings(git_port: int) -> str:
    return SETTINGS.format(port=git_port)


def lock(world: World, environments: Environments, url: str, **more: str) -> str:
    """Lock a project that depends on the repository, and return what Poetry said."""
    poetry, project = environments("poetry>=2.0", ours="") / "poetry", world.stage.folder / "project"
    project.mkdir(exist_ok=True)
    (project / "pyproject.toml").write_text(PYPROJECT.format(url=url))
    settings = {"POETRY_KEYRING_ENABLED": "false", **more}
    return world.stage.run([poetry, "lock", "--no-interaction"], cwd=project, environ=world.environ(**settings))


def is_locked(world: World) -> bool:
    return 'name = "secret-sauce"' in (world.stage.folder / "project" / "poetry.lock").read_text()


def test_a_repository_is_fetched_by_one_token(world: World, environments: Environments, forge: GitServer) -> None:
    lock(world, environments, f"{forge.url}secret_sauce.git")
    assert is_locked(world)
    assert {method for method, _, is_signed in forge.asked if is_signed} == {"GET", "POST"}
    assert all(is_signed for _, _, is_signed in forge.asked)
    assert world.minted(index="forge") == 1
    world.assert_no_secret_is_anywhere()


def test_a_redirect_to_another_host_carries_nothing(world: World, environments: Environments, forge: GitServer) -> None:
    elsewhere = forge.url.replace("127.0.0.1", "localhost")  # another host to every client, and none of ours
    forge.redirects["/git/moved.git"] = f"{elsewhere}secret_sauce.git"
    with pytest.raises(StageError):
        lock(world, environments, f"{forge.url}moved.git")
    assert ("GET", "/git/moved.git/info/refs", True) in forge.asked
    assert not [path for _, path, is_signed in forge.asked if is_signed and path.startswith("/git/secret_sauce.git")]


def test_who_is_not_signed_in_is_told_so(world: World, environments: Environments, forge: GitServer) -> None:
    world.indexpass("logout", "forge")
    with pytest.raises(StageError) as refused:
        lock(world, environments, f"{forge.url}secret_sauce.git")
    assert f"nobody is signed in at {world.issuer} → " in str(refused.value)
    assert "indexpass login forge" in str(refused.value)
    assert forge.asked


def test_who_may_not_read_a_repository_is_told_so(world: World, environments: Environments, forge: GitServer) -> None:
    walled = forge.url.replace("/git/", "/walled/")
    world.indexpass("add", walled, "--name=walled", f"--broker={world.issuer}", "--yes")
    with pytest.raises(StageError) as refused:
        lock(world, environments, f"{walled}secret_sauce.git")
    said = (
        f"{walled} forbids reading with the credential from {world.issuer} → ask who runs {world.issuer} for a policy"
    )
    assert said in " ".join(str(refused.value).split())


def test_where_git_cannot_be_signed_one_line_says_so_and_the_keyring_backend_serves(
    world: World, environments: Environments, forge: GitServer, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(IN_ANOTHER_SHAPE.format(seam=SENDING_GIT))
    more = {"PYTHONPATH": str(tmp_path), "POETRY_KEYRING_ENABLED": "true"}
    said = lock(world, environments, f"{forge.url}secret_sauce.git", **more)
    assert is_locked(world)
    assert (said.count("indexpass: "), said.count(f"no usable {SENDING_GIT}, ")) == (1, 1)
    assert world.minted(index="forge") == 1
