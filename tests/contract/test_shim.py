"""The shim beside the real keyring command: the same arguments, the same answers, and keyring where it has none."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from indexpass._keyring_command import find_real, is_shim
from servers.homes import CONFIG, FOREIGN_URL, INDEX_URL, write_home

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SHIM = [sys.executable, "-c", "from indexpass._shim import main; main()"]
KEYRING = [sys.executable, "-I", "-m", "keyring"]
REAL = '#!/bin/sh\necho the real one got: "$@"\n'
NO_STACK = """
import sys
from indexpass._shim import main
main()
assert not [name for name in sys.modules if name.partition(".")[0] in {"keyring", "importlib_metadata", "argparse"}]
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A user's folder with one index and a fresh credential for it."""
    return write_home(tmp_path, CONFIG, username="alice")


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """A folder with a program in the place of the real keyring, which says what it was asked."""
    folder = tmp_path / "real"
    folder.mkdir()
    (folder / "keyring").write_text(REAL, encoding="utf-8")
    (folder / "keyring").chmod(0o755)
    return folder


def run(
    command: Sequence[str], *arguments: str, home: Path, path: Path | str = "", **variables: str
) -> tuple[int, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("INDEXPASS_", "PYTHON_KEYRING"))}
    done = subprocess.run(
        [*command, *arguments],
        env={**kept, "PATH": str(path), "INDEXPASS_HOME": str(home), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


QUESTIONS = [
    pytest.param(["get", INDEX_URL, "alice"], id="as uv and old pip ask with a user name"),
    pytest.param(["get", INDEX_URL, "--mode", "creds"], id="as uv asks without one"),
    pytest.param(["--mode=creds", "--output=json", "get", INDEX_URL], id="as pip asks"),
    pytest.param(["--mode=creds", "--output=json", "get", INDEX_URL, "somebody"], id="as pip asks with a user name"),
    pytest.param(["get", "packages.acme.example", "--mode=creds"], id="a bare host"),
]


@pytest.mark.parametrize("arguments", QUESTIONS)
def test_it_says_what_keyring_says(home: Path, arguments: list[str]) -> None:
    answered = run(SHIM, *arguments, home=home)
    assert answered == run(KEYRING, *arguments, home=home)
    assert "made-up" in answered[1]


def test_it_answers_without_loading_keyring(home: Path) -> None:
    assert run([sys.executable, "-c", NO_STACK], "get", INDEX_URL, "alice", home=home) == (0, "made-up\n")


OTHERS = [
    pytest.param(["get", FOREIGN_URL, "alice"], id="a url of nobody here"),
    pytest.param(["set", INDEX_URL, "alice"], id="something to store"),
    pytest.param(["del", INDEX_URL, "alice"], id="something to remove"),
    pytest.param(["get", INDEX_URL], id="a password of nobody"),
    pytest.param(["get", INDEX_URL, "alice", "more"], id="a word too many"),
    pytest.param(["get", INDEX_URL, "--mode"], id="an option without its value"),
    pytest.param(["get", INDEX_URL, "--mode=other"], id="a mode of tomorrow"),
    pytest.param(["get", INDEX_URL, "alice", "--output=xml"], id="an output of tomorrow"),
    pytest.param(["--output", "json", "get", INDEX_URL, "alice"], id="a password as json"),
    pytest.param(["-b", "keyring.backends.null.Keyring", "get", INDEX_URL, "alice"], id="another backend"),
    pytest.param(["--list-backends"], id="the list of backends"),
    pytest.param([], id="nothing"),
]


@pytest.mark.parametrize("arguments", OTHERS)
def test_it_hands_all_else_to_the_real_keyring_as_it_came(home: Path, real: Path, arguments: list[str]) -> None:
    handed = f"the real one got: {' '.join(arguments)}".rstrip()
    status, said = run(SHIM, *arguments, home=home, path=f"{real}:/bin")
    assert (status, said.rstrip()) == (0, handed)


def test_where_a_backend_is_named_it_leaves_the_answer_to_that(home: Path, real: Path) -> None:
    name = "keyring.backends.null.Keyring"
    _, said = run(SHIM, "get", INDEX_URL, "alice", home=home, path=f"{real}:/bin", PYTHON_KEYRING_BACKEND=name)
    assert said.startswith("the real one got")


def test_where_we_have_no_credential_another_backend_may_have_one(home: Path, real: Path) -> None:
    for file in (home / "credentials").iterdir():
        file.unlink()
    _, said = run(SHIM, "get", INDEX_URL, "alice", home=home, path=f"{real}:/bin")
    assert said.startswith("the real one got")


@pytest.mark.skipif(os.name != "posix", reason="the parent is a launcher there")
def test_why_there_is_none_is_told_once_by_both_together(home: Path) -> None:
    for file in (home / "credentials").iterdir():
        file.unlink()
    # Away from any terminal, the line goes to standard error.
    asking = [*SHIM, "get", INDEX_URL, "alice"]
    environ = {"PATH": os.environ["PATH"], "INDEXPASS_HOME": str(home)}
    done = subprocess.run(
        asking, env=environ, capture_output=True, text=True, check=False, timeout=60, start_new_session=True
    )
    assert (done.returncode, done.stdout, done.stderr.count("indexpass: ")) == (1, "", 1), done.stderr


def test_without_another_keyring_our_own_environment_s_answers(home: Path) -> None:
    assert run(SHIM, "--help", home=home) == run(KEYRING, "--help", home=home)


def test_the_exit_code_is_that_of_the_real_one(home: Path) -> None:
    backend = "keyring.backends.null.Keyring"
    arguments = ["get", FOREIGN_URL, "alice"]
    assert run(SHIM, *arguments, home=home, PYTHON_KEYRING_BACKEND=backend) == (1, "")


def test_a_keyring_in_the_working_directory_is_not_the_real_one(
    home: Path, real: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(real)
    (real / "keyring.py").write_text("print('not the real one')", encoding="utf-8")
    status, said = run(SHIM, "--help", home=home, path=".::")
    assert (status, "not the real one" in said, said.startswith("usage: ")) == (0, False, True)


def test_two_shims_do_not_hand_each_other_the_same_question_for_ever(tmp_path: Path, real: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        shim = tmp_path / name / "keyring"
        shim.write_text("#!/usr/bin/python -I\nfrom indexpass._shim import main\nmain()\n", encoding="utf-8")
        shim.chmod(0o755)
    folders = [str(tmp_path / name) for name in ("first", "second")]
    assert find_real([*folders, str(real)]) == str(real / "keyring")
    assert find_real(folders) is None


def test_what_cannot_be_read_is_no_shim(tmp_path: Path) -> None:
    assert not is_shim(str(tmp_path))
