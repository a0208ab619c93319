"""The matrix: the test suite on every Python and with every keyring that matters, each in an environment of its own.

``make matrix`` runs all of it. A Python that this machine does not have is skipped with a note; with
``INDEXPASS_REQUIRE_ALL=1`` it fails. This file never decides what a test does, and never downloads a Python.
"""

from __future__ import annotations

import os
from pathlib import Path

import nox

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
NEWEST_KEYRING = "newest"
OLDEST_KEYRING = "25.2.1"  # pip's subprocess mode accepts none before it

CORNERS = ((PYTHONS[0], OLDEST_KEYRING), (PYTHONS[-1], NEWEST_KEYRING))
MATRIX = (
    *((python, NEWEST_KEYRING) for python in PYTHONS),
    *((python, OLDEST_KEYRING) for python in (PYTHONS[0], PYTHONS[-1])),
)
SMOKE = (
    "test_pip_installs_with_keyring_in_its_own_environment",
    "test_pip_installs_with_the_keyring_command",
    "test_poetry_adds_with_keyring_on_and_off",
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


def _cells(cells: tuple[tuple[str, str], ...]) -> list[nox.param]:
    """Return one parameter set a cell, with the name under which nox lists and runs it."""
    return [
        nox.param(*cell, id=f"{cell[0]}, keyring {cell[1]}", tags=["corners"] if cell in CORNERS else [])
        for cell in cells
    ]


@nox.session
@nox.parametrize(("python", "keyring"), _cells(MATRIX))
def tests(session: nox.Session, keyring: str) -> None:
    """Run the tests that need no real client: units, properties, contracts, attacks, faults, the wheel, the pages."""
    _install(session, keyring)
    session.run("pytest", "-n", "auto", "-m", "not e2e", *session.posargs)


@nox.session
@nox.parametrize(("python", "keyring"), _cells(CORNERS))
def smoke(session: nox.Session, keyring: str) -> None:
    """Install from a private index with the real pip in both modes, and with the real Poetry."""
    _install(session, keyring)
    session.run("pytest", "-n", "auto", "tests/e2e/test_clients.py", "-k", " or ".join(SMOKE), *session.posargs)


def _install(session: nox.Session, keyring: str) -> None:
    """Install this tree; the constraint also holds in the environments that the end-to-end tests make with uv."""
    constraint = Path(session.virtualenv.location).resolve() / "constraint.txt"
    constraint.write_text("" if keyring == NEWEST_KEYRING else f"keyring=={keyring}\n", encoding="utf-8")
    session.env["UV_CONSTRAINT"] = str(constraint)
    session.install("--editable", ".[broker,demo]", "--group", "dev")
