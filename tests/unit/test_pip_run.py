"""Which run of pip asks: told in pip's two modes, and in no other case."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from indexpass._pip_run import find_run

IMPORT_MODE = {"pip._internal.network.auth"}
COMMAND = {"keyring.cli"}
URL = "https://packages.acme.example/simple/"
PIP_WORDS = ["keyring", "--mode=creds", "--output=json", "get", URL]
ASK = f"""
import sys
from indexpass._pip_run import find_run
print(find_run({{"keyring.cli"}}, {PIP_WORDS}))
"""


def asked_by_a_child() -> str:
    child = subprocess.run([sys.executable, "-c", ASK], capture_output=True, check=True, timeout=60, encoding="utf-8")
    return child.stdout.strip()


def test_in_import_mode_the_run_is_this_process() -> None:
    run = find_run(IMPORT_MODE, ["pip", "install", "acme-tools"])
    assert run is not None
    assert run.partition("-")[0] == str(os.getpid())


def test_in_import_mode_every_question_is_of_the_same_run() -> None:
    assert find_run(IMPORT_MODE, ["pip"]) == find_run(IMPORT_MODE, ["pip"])


@pytest.mark.skipif(os.name != "posix", reason="the parent is a launcher there")
def test_in_subprocess_mode_every_question_is_of_the_run_of_the_parent() -> None:
    ours = find_run(IMPORT_MODE, [])
    assert [asked_by_a_child(), asked_by_a_child()] == [ours, ours]


@pytest.mark.skipif(sys.platform != "linux", reason="only there the system says when a process began")
def test_a_run_is_named_by_the_process_and_when_it_began() -> None:
    began = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    assert find_run(IMPORT_MODE, []) == f"{os.getpid()}-{began}"


@pytest.mark.skipif(os.name != "posix", reason="the parent is a launcher there")
def test_a_user_name_after_pip_s_words_makes_no_difference() -> None:
    run = find_run(COMMAND, PIP_WORDS)
    assert run is not None
    assert find_run(COMMAND, [*PIP_WORDS, "__token__"]) == run


@pytest.mark.parametrize(
    ("modules", "argv"),
    [
        pytest.param(COMMAND, ["keyring", "get", URL, "__token__"], id="uv-with-a-user-name"),
        pytest.param(COMMAND, ["keyring", "get", URL, "--mode", "creds"], id="uv-without-a-user-name"),
        pytest.param(COMMAND, ["keyring", "--mode=creds", "get", URL, ""], id="pdm"),
        pytest.param(COMMAND, ["keyring", "--mode=password", "get", URL, "__token__"], id="pdm-password"),
        pytest.param(COMMAND, ["keyring", "get", URL], id="a-person"),
        pytest.param(COMMAND, [], id="no-words"),
        pytest.param(set[str](), PIP_WORDS, id="not-the-keyring-command"),
        pytest.param({"keyring", "twine", "poetry", "hatch"}, ["twine", "upload"], id="clients-that-import-keyring"),
        pytest.param({"pip"}, ["build"], id="pip-is-imported-but-does-not-ask"),
    ],
)
def test_nobody_else_is_a_run_of_pip(modules: set[str], argv: list[str]) -> None:
    assert find_run(modules, argv) is None
