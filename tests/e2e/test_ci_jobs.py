"""What a job of a CI system does: pip from a private index, with no configuration but two variables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from indexpass._demo.stage import StageError
from indexpass._secret import Secret
from servers.ci_platforms import platforms

if TYPE_CHECKING:
    from conftest import Environments, World
    from servers.issuers import Issuer

pytestmark = pytest.mark.e2e


def test_a_job_of_github_actions_installs_with_the_permission_alone(
    world: World, environments: Environments, issuer: Issuer
) -> None:
    python = environments("pip", "poetry-core>=2.0", ours="") / "python"
    target = world.stage.folder / "target"
    with platforms(issuer) as served:
        for _ in range(2):
            world.run(python, *pip_install(world, str(target)), **job(world), **served.github)
    assert (target / "acme_hello.py").exists()
    assert served.asked == [world.issuer]  # one token proves the job, and the second run has what came of it
    assert world.minted() == 1
    world.watch.know(Secret(served.given[0]))
    world.assert_no_secret_is_anywhere()


def test_a_job_without_the_permission_is_told_what_to_paste(world: World, environments: Environments) -> None:
    python = environments("pip", "poetry-core>=2.0", ours="") / "python"
    words = pip_install(world, str(world.stage.folder / "target"))
    with pytest.raises(StageError, match=r"permissions: \{ contents: read, id-token: write \}"):
        world.run(python, *words, **job(world), CI="true", GITHUB_ACTIONS="true")
    assert world.minted() == 0


def job(world: World) -> dict[str, str]:
    return {"INDEXPASS_INDEX_URL": world.index, "INDEXPASS_BROKER": world.issuer}


def pip_install(world: World, target: str) -> tuple[str, ...]:
    words = ("--index-url", world.index, "--target", target, "--no-input", "--keyring-provider", "import")
    return ("-m", "pip", "install", "--upgrade", *words, "acme-hello")
