"""What a user does, with the real clients: pip in both modes, uv, Poetry, twine, from a private index over TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from indexpass._demo import packages
from indexpass._demo.stage import StageError

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Environments, World
    from servers.issuers import Issuer

pytestmark = pytest.mark.e2e


def test_pip_installs_with_keyring_in_its_own_environment(world: World, environments: Environments) -> None:
    world.sign_in()
    python = environments("pip", "poetry-core>=2.0", ours="") / "python"
    target = world.stage.folder / "target"
    for _ in range(2):
        world.run(python, *pip_install(world.index, target), "acme-hello")
    assert (target / "acme_hello.py").exists()
    assert world.minted() == 1  # one cold, none warm
    world.assert_no_secret_is_anywhere()


def test_pip_installs_with_the_keyring_command(world: World, environments: Environments) -> None:
    world.sign_in()
    python = environments("pip") / "python"
    target = world.stage.folder / "target"
    for _ in range(2):
        install = (*pip_install(world.index, target), "--keyring-provider", "subprocess", "acme-hello")
        world.run(python, *install, path=(world.ours,))
    assert (target / "acme_hello.py").exists()
    assert world.minted() == 1
    world.assert_no_secret_is_anywhere()


@pytest.mark.parametrize("mode", ["import", "subprocess"])
def test_pip_goes_on_when_its_token_expires_in_mid_run(world: World, environments: Environments, mode: str) -> None:
    world.sign_in()
    if mode == "import":
        python = environments("pip", "poetry-core>=2.0", ours="") / "python"
    else:
        python = environments("pip", "poetry-core>=2.0") / "python"
    target = world.stage.folder / "target"
    words = ("--no-build-isolation", "--no-cache-dir", "--keyring-provider", mode, "acme-slow")
    world.run(python, *pip_install(world.brief_index, target), *words, path=(world.ours,))
    assert (target / "acme_hello.py").exists()
    assert world.minted(index="brief") == 2
    world.assert_no_secret_is_anywhere()


def test_uv_installs_from_an_index_that_is_always_authenticated(world: World, environments: Environments) -> None:
    world.sign_in()
    uv = environments("uv") / "uv"
    project = world.stage.folder / "project"
    world.run(uv, "init", "--bare", project)
    with (project / "pyproject.toml").open("a") as file:
        file.write(
            f'\n[[tool.uv.index]]\nname = "acme"\nurl = "{world.index}"\nauthenticate = "always"\nexplicit = true\n'
        )
        file.write('[tool.uv.sources]\nacme-hello = { index = "acme" }\n')
    for _ in range(2):
        words = ("add", "--keyring-provider", "subprocess", "--no-cache", "acme-hello")
        world.run(uv, *words, cwd=project, path=(world.ours,))
    assert world.run(uv, "run", "--no-sync", "python", "-m", "acme_hello", cwd=project) == "Hello from acme-hello.\n"
    assert world.minted() == 1
    world.assert_no_secret_is_anywhere()


def test_uv_publishes_with_a_credential_for_uploading_only(
    world: World, environments: Environments, built: Path
) -> None:
    world.sign_in()
    next(world.shelf.glob("acme_hello*")).unlink()
    uv = environments("uv") / "uv"
    world.run(
        *(uv, "publish", "--publish-url", world.upload_url, "--trusted-publishing", "never"),
        *("--keyring-provider", "subprocess", "--username", "__token__", next(built.glob("acme_hello*"))),
        path=(world.ours,),
    )
    assert list(world.shelf.glob("acme_hello*"))
    assert (world.minted("upload"), world.minted("read")) == (1, 0)
    world.assert_no_secret_is_anywhere()


def test_twine_uploads(world: World, environments: Environments, built: Path) -> None:
    world.sign_in()
    next(world.shelf.glob("acme_hello*")).unlink()
    twine = environments("twine", ours="") / "twine"
    upload = (twine, "upload", "--non-interactive", "--disable-progress-bar", "--repository-url", world.upload_url)
    world.run(*upload, next(built.glob("acme_hello*")))
    assert list(world.shelf.glob("acme_hello*"))
    assert (world.minted("upload"), world.minted("read")) == (1, 0)
    world.assert_no_secret_is_anywhere()


@pytest.mark.parametrize("keyring", ["true", "false"])
def test_poetry_adds_with_keyring_on_and_off(world: World, environments: Environments, keyring: str) -> None:
    world.sign_in()
    poetry = environments("poetry>=2.0", ours="") / "poetry"
    project = world.stage.folder / "project"
    world.run(poetry, "config", "keyring.enabled", keyring)
    world.run(poetry, "new", "--no-interaction", project)
    world.run(poetry, "source", "add", "--priority", "explicit", "acme", world.index, cwd=project)
    world.run(poetry, "add", "--no-interaction", "--source", "acme", "acme-hello", cwd=project)
    assert world.run(poetry, "run", "python", "-m", "acme_hello", cwd=project) == "Hello from acme-hello.\n"
    assert "acme-hello" in (project / "poetry.lock").read_text()
    assert world.minted() == 1
    world.assert_no_secret_is_anywhere()


def test_poetry_publishes(world: World, environments: Environments, tmp_path: Path) -> None:
    world.sign_in()
    poetry = environments("poetry>=2.0", ours="") / "poetry"
    source = packages.write_report(tmp_path)
    world.run(poetry, "config", "keyring.enabled", "false")
    world.run(poetry, "config", "repositories.acme", world.upload_url)
    world.run(poetry, "publish", "--build", "--no-interaction", "-r", "acme", cwd=source)
    assert list(world.shelf.glob("acme_report*"))
    assert (world.minted("upload"), world.minted("read")) == (1, 0)
    world.assert_no_secret_is_anywhere()


@pytest.mark.parametrize("given_as", ["variable", "file"])
def test_ci_installs_with_its_identity_token_and_no_configuration(
    world: World, environments: Environments, issuer: Issuer, given_as: str
) -> None:
    token = issuer.token(aud=world.issuer, project_id="1234")
    more = {"INDEXPASS_INDEX_URL": world.index, "INDEXPASS_BROKER": world.issuer}
    if given_as == "file":
        world.watch.know(token)
        file = world.stage.home / "indexpass" / "sessions" / "token"  # where the search expects secrets
        file.parent.mkdir(parents=True)
        file.write_text(token.reveal())
        more["INDEXPASS_IDENTITY_TOKEN_FILE"] = str(file)
    else:
        more["INDEXPASS_IDENTITY_TOKEN"] = token.reveal()
    python = environments("pip", "poetry-core>=2.0", ours="") / "python"
    target = world.stage.folder / "target"
    for _ in range(2):
        install = (*pip_install(world.index, target), "--no-input", "--keyring-provider", "import", "acme-hello")
        world.run(python, *install, **more)
    assert (target / "acme_hello.py").exists()
    assert world.minted() == 1
    world.assert_no_secret_is_anywhere()


def test_nobody_gets_in_without_signing_in(world: World, environments: Environments) -> None:
    world.indexpass("add", world.index, "--name", "acme", "--yes")
    python = environments("pip", "poetry-core>=2.0", ours="") / "python"
    with pytest.raises(StageError, match="indexpass login acme"):
        world.run(
            python,
            *pip_install(world.index, world.stage.folder / "target"),
            "--no-input",
            "--keyring-provider=import",
            "acme-hello",
        )
    assert world.minted() == 0


def pip_install(index: str, target: Path) -> tuple[str, ...]:
    return ("-m", "pip", "install", "--upgrade", "--index-url", index, "--target", str(target))
