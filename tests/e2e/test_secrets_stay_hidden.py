"""After the commands that look, change and hand over, no secret is anywhere but where it belongs.

A person is signed in, and credentials are held. Whatever a command prints is logged, and the logs are searched as well.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from indexpass._demo.search import found_in, search_files, search_texts
from indexpass._secret import Secret

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Environments, World

pytestmark = pytest.mark.e2e

OF_A_FILE = Secret("canary-of-a-file-4b1d07")
OF_A_VARIABLE = Secret("canary-of-a-variable-93ce52")
LOOKING = (
    "status",
    "status --json",
    "explain {index}acme-hello/",
    "explain {index} --json",
    "explain {index} --operation upload",
    "doctor",
    "doctor acme --json",
    "scan",
    "scan --format sarif",
    "completion bash",
)
CHANGING = (
    "setup --all --dry-run",
    "setup pip uv twine --yes",
    "setup pip uv twine --undo --json",
    "scan --fix --yes",
    "scan --undo",
    "scan --fix --yes --json",
)
# What these print is for the program that asks, so it goes nowhere here.
HANDING_OVER = (
    "printf 'protocol=https\\nhost={host}\\npath=simple/\\n\\n' | indexpass helper git get > /dev/null",
    """echo '{{"uri": "{index}"}}' | indexpass helper bazel get > /dev/null""",
    "echo {host} | indexpass helper docker get > /dev/null || test $? -eq 1",
    "indexpass token --upload --json acme > /dev/null",
    "indexpass exec --index acme -- sh -c 'test -s \"$NETRC\"'",
    "indexpass exec --index acme -- cp {{netrc}} /dev/null",
    "indexpass exec --index acme -- sh -c 'kill -TERM $$' || test $? -eq 143",
)


def run(world: World, line: str, *path: Path, **more: str) -> int:
    """Run a line of a shell in the project, log what it prints, and return its exit code."""
    host = world.issuer.removeprefix("https://")
    done = subprocess.run(
        ["/bin/sh", "-c", line.format(index=world.index, host=host)],
        env=world.environ(*path, world.ours, **more),
        cwd=world.stage.folder / "project",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
        encoding="utf-8",
    )
    world.stage.log([line], done.stdout)
    return done.returncode


def write_leaks(world: World) -> None:
    """Put a secret into files of a project and of the user, and say that it is known."""
    world.watch.know(OF_A_FILE)
    project, url = world.stage.folder / "project", world.index.replace("://", f"://me:{OF_A_FILE.reveal()}@")
    project.mkdir()
    (project / "requirements.txt").write_text(f"--index-url {url}\nacme-hello\n")
    (project / "uv.toml").write_text(f'[[index]]\nname = "acme"\nurl = "{url}"\n')
    settings = world.stage.home / "config" / "pip" / "pip.conf"
    settings.parent.mkdir(parents=True)
    settings.write_text(f"[global]\nindex-url = {url}\n")


def test_no_command_leaves_a_secret_where_it_does_not_belong(world: World, environments: Environments) -> None:
    world.sign_in()
    write_leaks(world)
    clients = (environments("pip"), environments("uv"))
    assert {run(world, line) for line in HANDING_OVER} == {0}
    for words in (*LOOKING, *CHANGING):
        assert run(world, f"indexpass {words}", *clients, PIP_CONFIG_FILE="") in {0, 1}, words  # 1: scan has found it
    kept = world.stage.home / "indexpass" / "changes"
    assert found_in(kept, [OF_A_FILE]), "scan keeps what it has changed"
    assert {path.stat().st_mode & 0o077 for path in kept.rglob("*")} == {0}
    shutil.rmtree(kept)
    world.assert_no_secret_is_anywhere()


def test_no_command_repeats_a_secret_that_stands_in_a_variable(environments: Environments, tmp_path: Path) -> None:
    ours, url = environments(ours="[broker]"), f"https://me:{OF_A_VARIABLE.reveal()}@127.0.0.1:9/simple/"
    names = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX", "UV_INDEX_URL", "HTTPS_PROXY")
    environ = {
        **dict.fromkeys(names, url),
        "TWINE_PASSWORD": OF_A_VARIABLE.reveal(),
        "UV_INDEX_ACME_PASSWORD": OF_A_VARIABLE.reveal(),
        "INDEXPASS_IDENTITY_TOKEN": f"{OF_A_VARIABLE.reveal()}.b.c",
        "PATH": os.pathsep.join(map(str, (ours, environments("pip"), environments("uv"), environments("twine")))),
        "HOME": str(tmp_path),
    }
    said = []
    for words in ("status", "doctor", "doctor --json", f"explain {url}", "scan", "scan --json", "token", "setup --all"):
        done = subprocess.run(
            [ours / "indexpass", *words.split()],
            env=environ,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=False,
            encoding="utf-8",
        )
        said.append(done.stdout)
    assert "PIP_INDEX_URL" in "".join(said), "nothing looks at variables"
    assert search_texts("output", said, [OF_A_VARIABLE]).leaks == ()
    assert search_files(tmp_path, [OF_A_VARIABLE], private=()).leaks == ()
