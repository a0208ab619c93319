"""The hook of ``.pre-commit-hooks.yaml``, run by the real pre-commit before a commit."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
import yaml

if TYPE_CHECKING:
    from conftest import Environments

pytestmark = pytest.mark.e2e

HOOKS = Path(__file__).resolve().parents[2] / ".pre-commit-hooks.yaml"
SECRET = "canary-51c7"
DIRTY = f"--index-url https://me:{SECRET}@packages.acme.example/simple/\n"


class Repository(NamedTuple):
    """A git repository in which the hook is configured, and what is on the PATH of whoever commits there."""

    folder: Path
    path: str

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        environ = {
            "PATH": self.path,
            "HOME": str(self.folder.parent),
            "PRE_COMMIT_HOME": str(self.folder.parent / "cache"),
            "INDEXPASS_HOME": str(self.folder.parent / "home"),
        }
        return subprocess.run(
            words, cwd=self.folder, env=environ, capture_output=True, text=True, check=False, timeout=60
        )


@pytest.fixture
def repository(environments: Environments, tmp_path: Path) -> Repository:
    programs = environments("pre-commit", ours="")
    made = Repository(tmp_path / "repository", f"{programs}{os.pathsep}{os.environ['PATH']}")
    made.folder.mkdir()
    (hook,) = yaml.safe_load(HOOKS.read_text(encoding="utf-8"))
    # As pre-commit reads it from our repository, but for the environment that it would make from a registry.
    config = {"repos": [{"repo": "local", "hooks": [{**hook, "language": "system"}]}]}
    (made.folder / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    assert made.run("git", "init", "--quiet", ".").returncode == 0
    return made


def test_a_commit_with_a_secret_is_stopped_and_the_secret_is_not_shown(repository: Repository) -> None:
    assert repository.run("pre-commit", "validate-manifest", str(HOOKS)).returncode == 0
    (repository.folder / "requirements.txt").write_text(DIRTY, encoding="utf-8")
    (repository.folder / "README.md").write_text(DIRTY, encoding="utf-8")
    assert repository.run("pre-commit", "install").returncode == 0
    repository.run("git", "add", ".")
    identity = ("-c", "user.name=me", "-c", "user.email=me@acme.example")
    stopped = repository.run("git", *identity, "commit", "-m", "first")
    said = stopped.stdout + stopped.stderr
    assert stopped.returncode == 1, said
    assert "requirements.txt:1:24: password in a URL of packages.acme.example" in said
    assert "README.md" not in said
    assert SECRET not in said
    assert repository.run("indexpass", "scan", "--fix", "--yes", "requirements.txt").returncode == 0
    repository.run("git", "add", ".")
    done = repository.run("git", *identity, "commit", "-m", "first")
    assert done.returncode == 0, done.stdout + done.stderr
