"""One release of Poetry, whichever the environment's constraint has chosen: ``nox -s poetry`` goes through them all.

Poetry's keyring is off unless a test says otherwise, so whatever reaches the index came from the plugin.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from indexpass._demo import packages
from indexpass.poetry_plugin import seams

if TYPE_CHECKING:
    from conftest import Environments, World

pytestmark = pytest.mark.e2e

FIND_MISSING = """
import sys
from pkgutil import resolve_name

from indexpass.poetry_plugin import seams

def is_here(name):
    try:
        resolve_name(name)
    except ImportError:
        return False
    except AttributeError:
        owner, _, attribute = name.rpartition(".")
        makers = (getattr(kind.__init__, "__code__", None) for kind in getattr(resolve_name(owner), "__mro__", ()))
        return any(maker and attribute in maker.co_names for maker in makers)  # what only instances have
    return True

print(*(name for name in sys.argv[1:] if not is_here(name)), *filter(None, map(seams.examine, seams.SEAMS)), sep="\\n")
"""


def read_table() -> list[str]:
    """Return the full names of the table in ``seams``; ``a.B.c, .d`` stands for ``a.B.c`` and ``a.B.d``."""
    rule = r"^=+  =+$"
    rows = re.split(rule, seams.__doc__ or "", flags=re.MULTILINE)[2].strip("\n").splitlines()
    width = len(re.findall(rule, seams.__doc__ or "", flags=re.MULTILINE)[0].split()[0])
    cells = [row[:width].rstrip() for row in rows]
    names = []
    for written in re.split(r"\n(?=\S)", "\n".join(filter(None, cells))):
        first, *others = re.sub(r"\n\s*", "", written).split(", ")
        names += [first, *(first.rpartition(".")[0] + other for other in others)]
    return names


def find_imported() -> set[str]:
    """Return the full names of what the plugin imports from Poetry and from what Poetry brings with it."""
    imported = set()
    for file in Path(seams.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in {"cleo", "dulwich", "poetry"}:
                imported |= {f"{node.module}.{alias.name}" for alias in node.names}
    return imported


def test_this_poetry_has_every_name_that_we_touch(environments: Environments) -> None:
    names = read_table()
    assert "dulwich.client.Urllib3HttpGitClient._username" in names
    python = environments("poetry>=2.0", ours="") / "python"
    found = subprocess.run([python, "-c", FIND_MISSING, *names], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


def test_every_name_that_the_plugin_imports_or_replaces_is_in_the_table() -> None:
    names = read_table()
    touched = find_imported() | {str(seam) for seam in seams.SEAMS}
    assert {name for name in touched if not any(f"{each}.".startswith(f"{name}.") for each in names)} == set()


def test_a_project_is_served_from_its_first_package_to_its_publication_without_a_word(
    world: World, environments: Environments, tmp_path: Path
) -> None:
    world.sign_in()
    poetry, project = environments("poetry>=2.0", ours="") / "poetry", packages.write_report(tmp_path)
    said = []

    def run(*words: str) -> None:
        settings = {"POETRY_KEYRING_ENABLED": "false", "POETRY_VIRTUALENVS_IN_PROJECT": "true"}
        said.append(world.run(poetry, "--no-interaction", *words, cwd=project, **settings))

    run("source", "add", "acme", world.index)
    run("add", "acme-hello")
    run("lock", "--regenerate")
    shutil.rmtree(project / ".venv")
    run("install")
    assert list((project / ".venv").rglob("acme_hello.py"))
    run("config", "repositories.acme", world.upload_url)
    run("publish", "--build", "--repository", "acme")
    assert list(world.shelf.glob("acme_report*"))
    assert (world.minted(), world.minted("upload")) == (1, 1)
    assert "indexpass" not in "".join(said)
    world.assert_no_secret_is_anywhere()
