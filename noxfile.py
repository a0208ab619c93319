"""The matrix: the tests on every Python, with every keyring and Poetry that matters, each in an environment of its own.

``make matrix`` runs all of it. A Python that this machine does not have is skipped with a note; with
``INDEXPASS_REQUIRE_ALL=1`` it fails. This file never decides what a test does, and never downloads a Python.
"""

from __future__ import annotations

import os
from pathlib import Path

import nox

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
NEWEST = "newest"
OLDEST_KEYRING = "25.2.1"  # pip's subprocess mode accepts none before it
POETRIES = ("2.0", "2.1", "2.2", "2.3", "2.4", NEWEST)  # of each minor version its newest release

# The tag "oldest": with it, and one run of the whole suite on the newest Python, both ends of the matrix have been run.
OLDEST = (PYTHONS[0], OLDEST_KEYRING)
ENDS = (OLDEST, (PYTHONS[-1], NEWEST))
MATRIX = (
    *((python, NEWEST) for python in PYTHONS),
    *((python, OLDEST_KEYRING) for python in (PYTHONS[0], PYTHONS[-1])),
)
OLDEST_POETRY = (PYTHONS[0], POETRIES[0])
POETRY_MATRIX = (OLDEST_POETRY, *((PYTHONS[-1], poetry) for poetry in POETRIES[1:]))
SMOKE = (
    "test_pip_installs_with_keyring_in_its_own_environment",
    "test_pip_installs_with_the_keyring_command",
    "test_poetry_adds_with_keyring_on_and_off",
)
POETRY_TESTS = (
    "tests/e2e/test_poetry_versions.py",
    "tests/e2e/test_poetry_self_add.py",
    "tests/e2e/test_poetry_plugin.py::test_where_a_seam_has_changed_one_line_says_so_and_the_keyring_backend_serves",
)

nox.needs_version = ">=2025.10.14"
nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.envdir = ".cache/nox"
nox.options.error_on_missing_interpreters = os.environ.get("INDEXPASS_REQUIRE_ALL") == "1"

# By itself nox sees only the one version that pyenv has selected.
PYENV = Path(os.environ.setdefault("PYENV_ROOT", str(Path.home() / ".pyenv"))) / "versions"
if PYENV.is_dir():
    os.environ["PYENV_VERSION"] = ":".join(sorted(folder.name for folder in PYENV.glob("3.*")))


def _cells(tool: str, cells: tuple[tuple[str, str], ...], oldest: tuple[str, str]) -> list[nox.param]:
    """Return one parameter set a cell, with the name under which nox lists and runs it."""
    return [
        nox.param(*cell, id=f"{cell[0]}, {tool} {cell[1]}", tags=["oldest"] if cell == oldest else []) for cell in cells
    ]


@nox.session
@nox.parametrize(("python", "keyring"), _cells("keyring", MATRIX, OLDEST))
def tests(session: nox.Session, keyring: str) -> None:
    """Run the tests that need no real client: units, properties, contracts, attacks, faults, the wheel, the pages."""
    _install(session, _pin("keyring", keyring))
    session.run("pytest", "-n", "auto", "-m", "not e2e", *session.posargs)


@nox.session
@nox.parametrize(("python", "keyring"), _cells("keyring", ENDS, OLDEST))
def smoke(session: nox.Session, keyring: str) -> None:
    """Install from a private index with the real pip in both modes, and with the real Poetry."""
    _install(session, _pin("keyring", keyring))
    session.run("pytest", "-n", "auto", "tests/e2e/test_clients.py", "-k", " or ".join(SMOKE), *session.posargs)


@nox.session
@nox.parametrize(("python", "poetry"), _cells("Poetry", POETRY_MATRIX, OLDEST_POETRY))
def poetry(session: nox.Session, poetry: str) -> None:
    """Use one minor version of Poetry: every name that the plugin touches, every kind of command, ``self add``."""
    _install(session, _pin("poetry", f"{poetry}.*" if poetry != NEWEST else NEWEST))
    session.run("pytest", "-n", "auto", *POETRY_TESTS, *session.posargs)


def _pin(tool: str, version: str) -> str:
    return "" if version == NEWEST else f"{tool}=={version}\n"


def _install(session: nox.Session, constraint: str) -> None:
    """Install this tree; the constraint also holds in the environments that the end-to-end tests make with uv."""
    file = Path(session.virtualenv.location).resolve() / "constraint.txt"
    file.write_text(constraint, encoding="utf-8")
    session.env["UV_CONSTRAINT"] = str(file)
    session.install("--editable", ".[broker,demo]", "--group", "dev")
