"""pip asks twice in a run because its credential was refused, or for reasons of its own: only the first is renewed."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
import requests

from indexpass._demo.stage import StageError

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Environments, World

pytestmark = pytest.mark.e2e

MODES = pytest.mark.parametrize("mode", ["import", "subprocess"])
BUILDING = "Preparing metadata"  # what pip prints before acme-slow takes its 8 seconds


@MODES
def test_pip_goes_on_when_its_token_is_revoked_in_mid_run(world: World, environments: Environments, mode: str) -> None:
    world.sign_in()
    start_pip(world, environments, mode, world.index)
    revoke(world, held(world))
    claim(world, issued_earlier=60)
    world.stage.wait()
    assert (world.stage.folder / "target" / "acme_hello.py").exists()
    assert world.minted() == 2
    world.assert_no_secret_is_anywhere()


@MODES
def test_pip_goes_on_when_the_clock_hides_that_its_token_has_expired(
    world: World, environments: Environments, mode: str
) -> None:
    world.sign_in()
    start_pip(world, environments, mode, world.brief_index)
    claim(world, issued_earlier=60, expires_later=3600)
    world.stage.wait()
    assert (world.stage.folder / "target" / "acme_hello.py").exists()
    assert world.minted(index="brief") == 2
    world.assert_no_secret_is_anywhere()


@MODES
def test_pip_s_check_for_a_new_pip_asks_first_and_costs_no_second_token(
    world: World, environments: Environments, mode: str
) -> None:
    world.sign_in()
    target = world.stage.folder / "target"
    pip = (python(environments, mode), *install(world.index, target, mode), "--upgrade", "acme-hello")
    for issued_earlier in (60, 0):  # cold and warm
        said = world.run(*pip, path=(world.ours,), PIP_DISABLE_PIP_VERSION_CHECK="0")
        assert not re.search(r"\b401\b", said)  # which may well be a part of the port
        claim(world, issued_earlier=issued_earlier)
    assert (target / "acme_hello.py").exists()
    assert (world.minted(), heads(world)) == (1, 2)


@MODES
def test_two_indexes_on_one_host_cost_one_token_each(world: World, environments: Environments, mode: str) -> None:
    world.sign_in()
    target = world.stage.folder / "target"
    both = (*install(world.index, target, mode), "--extra-index-url", world.brief_index)
    world.run(python(environments, mode), *both, "acme-hello", path=(world.ours,))
    assert (target / "acme_hello.py").exists()
    assert (world.minted(), world.minted(index="brief")) == (1, 1)


@MODES
def test_an_index_that_refuses_what_was_minted_just_now_is_named_and_pip_ends(
    world: World, environments: Environments, mode: str
) -> None:
    world.sign_in()
    start_pip(world, environments, mode, world.index)
    claim(world, issued_earlier=-50)  # however slow this machine is
    revoke(world, held(world))
    with pytest.raises(StageError, match="No matching distribution found for acme-hello"):
        world.stage.wait()
    assert world.minted() == 1
    if mode == "import":  # by the command, pip keeps what is said on stderr to itself
        assert f"the credential for {world.index} was revoked → indexpass login acme" in logs(world)


def python(environments: Environments, mode: str) -> Path:
    if mode == "import":
        return environments("pip", "poetry-core>=2.0", ours="") / "python"
    return environments("pip", "poetry-core>=2.0") / "python"


def install(index: str, target: Path, mode: str) -> tuple[str, ...]:
    words = ("--no-build-isolation", "--no-cache-dir", "--no-input", "--keyring-provider", mode)
    return ("-m", "pip", "install", *words, "--index-url", index, "--target", str(target))


def start_pip(world: World, environments: Environments, mode: str, index: str) -> None:
    """Start an install that fetches acme-slow, and later acme-hello; return while it builds acme-slow."""
    words = (*install(index, world.stage.folder / "target", mode), "acme-slow")
    argv = [python(environments, mode), *words]
    world.stage.start(argv, until=BUILDING, environ=world.environ(world.ours))


def held(world: World) -> Path:
    (path,) = (world.stage.home / "indexpass" / "credentials").glob("*.credential")
    return path


def claim(world: World, *, issued_earlier: float = 0, expires_later: float = 0) -> None:
    """Let the credential that is held claim other times than its token has."""
    path = held(world)
    entry = json.loads(path.read_bytes())
    entry["issued_at"] -= issued_earlier
    entry["expires_at"] += expires_later
    path.write_text(json.dumps(entry))


def revoke(world: World, path: Path) -> None:
    token = json.loads(path.read_bytes())["secret"]
    form = {"token": token}
    done = requests.post(f"{world.issuer}/oauth/revoke", data=form, verify=str(world.authorities), timeout=30)
    assert done.status_code == 200


def heads(world: World) -> int:
    """How often the index was asked whether it refuses a credential."""
    return logs(world).count("HEAD '/simple/'")


def logs(world: World) -> str:
    return "\n".join(path.read_text(errors="replace") for path in world.stage.logs.iterdir())
