"""Who fetched what, from a real run of pip to ``indexpass broker usage`` and ``indexpass broker audit``."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Environments, World

pytestmark = pytest.mark.e2e

WAIT_SECONDS = 60.0  # the broker writes every five


def test_what_pip_installs_is_shown_with_who_and_how_they_came_to_it(world: World, environments: Environments) -> None:
    world.sign_in()
    python = environments("pip", "poetry-core>=2.0", ours="") / "python"
    install = (
        "-m",
        "pip",
        "install",
        "--no-input",
        "--no-cache-dir",
        "--keyring-provider=import",
        "--only-binary=:all:",
    )
    world.run(python, *install, "--index-url", world.index, "--target", world.stage.folder / "target", "acme-hello")
    folder, deadline = world.stage.folder / "broker", time.monotonic() + WAIT_SECONDS
    while not (shown := world.indexpass("broker", "usage", folder, "--json")) and time.monotonic() < deadline:
        time.sleep(1)
    used = json.loads(shown.splitlines()[0])
    assert (used["project"], used["who"], used["index"]) == ("acme-hello", "alice", "acme")
    audited = world.indexpass("broker", "audit", folder, "--who", "alice", "--index", "acme", "--json")
    assert {"device-exchange", "session-exchange"} <= {json.loads(line)["event"] for line in audited.splitlines()}
