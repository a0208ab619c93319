"""The real ``indexpass login`` opens a browser, a person approves there, and pip installs: over TLS, no secret left."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Environments, World

pytestmark = pytest.mark.e2e

# A browser that a person uses at once: what it needs to know stands in files, for a command line is not private.
PERSON = """#!{python}
import pathlib, sys
from indexpass._demo.approve import approve
from indexpass._secret import Secret
password = Secret(pathlib.Path({password!r}).read_text())
approve(sys.argv[1], user="alice", password=password, authorities=pathlib.Path({authorities!r}))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the browser of the test is a script with a first line for Unix")
def test_a_person_signs_in_in_the_browser_and_pip_installs(
    world: World, environments: Environments, tmp_path: Path
) -> None:
    password, browser = tmp_path / "password", tmp_path / "browser"
    password.write_text(world.password.reveal())
    script = PERSON.format(python=sys.executable, password=str(password), authorities=str(world.authorities))
    browser.write_text(script)
    browser.chmod(0o700)
    world.indexpass("add", world.index, "--name", "acme", "--yes")

    said = world.run(world.ours / "indexpass", "login", "acme", BROWSER=str(browser))
    assert f"Signed in at {world.issuer} as alice." in said
    assert f"{world.issuer}/oauth/authorize?" in said
    target = world.stage.folder / "target"
    install = ("-m", "pip", "install", "--no-input", "--keyring-provider", "import", "--target", target)
    python = environments("pip", "poetry-core>=2.0", ours="") / "python"
    world.run(python, *install, "--index-url", world.index, "acme-hello")
    assert (target / "acme_hello.py").exists()
    world.assert_no_secret_is_anywhere()
