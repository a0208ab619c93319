"""Which Python a launcher runs, and what is made of whatever such a Python prints."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexpass._doctor.clients import install_command, judge_keyring
from indexpass._doctor.environments import (
    OURS,
    Environment,
    ask_environment,
    find_all,
    find_python,
    parse_environment,
)
from indexpass._keyring_command import is_shim

if TYPE_CHECKING:
    from pathlib import Path

ENVIRONMENT = Environment("/venv/bin/python", "/venv/bin", {"keyring": "25.7.0", "indexpass": "0.1.0", "pip": "26.3"})
SAID = {"python": "/venv/bin/python", "scripts": "/venv/bin", "versions": {"keyring": "25.7.0"}}


@pytest.mark.parametrize(
    ("script", "python"),
    [
        (b"#!/venv/bin/python\nimport sys\n", "/venv/bin/python"),
        (b"#!/venv/bin/python3.12 -sE\r\n", "/venv/bin/python3.12"),
        (b"#!/bin/sh\n'''exec' '/a b/bin/python' \"$0\" \"$@\"\n' '''\n", "/a b/bin/python"),
        (b"#!/bin/sh\n'''exec' /long/bin/python \"$0\" \"$@\"\n' '''\n", "/long/bin/python"),
        (b"#!/usr/bin/env python3\n", None),
        (b"#!/bin/bash\nexec pip\n", None),
        (b"\x7fELF\x02#!/venv/bin/python\n", None),
        (b"", None),
    ],
    ids=["plain", "option", "space in path", "long path", "env", "shell", "binary", "empty"],
)
def test_the_python_of_a_launcher(tmp_path: Path, script: bytes, python: str | None) -> None:
    launcher = tmp_path / "pip"
    launcher.write_bytes(script)
    assert find_python(str(launcher), {}) == python


def test_the_python_of_a_launcher_of_windows_stands_behind_the_program(tmp_path: Path) -> None:
    launcher = tmp_path / "pip.exe"
    launcher.write_bytes(b"MZ\x90#! not this one\x00" + f'#!"{sys.executable}"\r\n'.encode() + b"PK\x03\x04")
    assert find_python(str(launcher), {}) == sys.executable


def test_a_pipe_on_path_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pip")
    assert find_python(str(tmp_path / "pip"), {}) is None


def test_a_script_that_takes_the_first_python_on_path_is_run_by_that_one(tmp_path: Path) -> None:
    (tmp_path / "pip").write_text("#!/usr/bin/env python3\n")
    (tmp_path / "python3").write_text("")
    (tmp_path / "python3").chmod(0o755)
    assert find_python(str(tmp_path / "pip"), {"PATH": str(tmp_path)}) == str(tmp_path / "python3")


def test_pyenv_is_asked_what_stands_behind_its_shim(tmp_path: Path) -> None:
    real = tmp_path / "versions" / "pip"
    for path, text in (
        (tmp_path / "bin" / "pyenv", f"#!/bin/sh\necho {real}\n"),
        (tmp_path / "shims" / "pip", "#!/usr/bin/env bash\nexec pyenv exec pip\n"),
        (real, "#!/versions/bin/python3.11\n"),
    ):
        path.parent.mkdir()
        path.write_text(text)
        path.chmod(0o755)
    found = find_python(str(tmp_path / "shims" / "pip"), {"PATH": str(tmp_path / "bin")})
    assert found == "/versions/bin/python3.11"


def test_programs_of_the_working_directory_are_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keyring").write_text("")
    (tmp_path / "keyring").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    assert list(find_all("keyring", {"PATH": os.pathsep.join(["", ".", str(tmp_path)])})) == [str(tmp_path / "keyring")]


def test_our_own_keyring_command_is_known_by_its_text(tmp_path: Path) -> None:
    (tmp_path / "keyring").write_text("#!/venv/bin/python\nfrom indexpass._shim import main\nmain()\n")
    assert is_shim(str(tmp_path / "keyring"))


def test_a_module_of_the_working_directory_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("json", "sysconfig", "keyring"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'was-run')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    said = ask_environment(sys.executable, {"HOME": str(tmp_path)})
    assert said
    assert OURS in dict(said.chain)
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize(
    "text",
    ["", "hello", "[]", "{}", json.dumps({**SAID, "chain": [["a", 10**400]]}), "[" * 100_000],
    ids=["nothing", "words", "list", "empty", "huge number", "deep"],
)
def test_what_makes_no_sense_says_nothing(text: str) -> None:
    assert parse_environment(text) is None


def test_only_the_last_line_counts() -> None:
    said = parse_environment(f"a backend says hello\n{json.dumps(SAID)}\n")
    assert said
    assert said.versions == {"keyring": "25.7.0"}


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(SAID)) | st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*SAID, "chain", "chosen", "error", "file", "default"]), JSON))
def test_whatever_a_python_prints_never_raises(said: dict[str, object]) -> None:
    found = parse_environment(json.dumps({**SAID, **said}))
    if found:
        judge_keyring(found, {})


@pytest.mark.parametrize(
    ("python", "has_pip", "command"),
    [
        ("/venv/bin/python", True, "/venv/bin/python -m pip install indexpass"),
        ("/my venv/bin/python", True, "'/my venv/bin/python' -m pip install indexpass"),
        ("/venv/bin/python", False, "uv pip install --python /venv/bin/python indexpass"),
        ("/home/a/.local/share/pipx/venvs/twine/bin/python", True, "pipx inject twine indexpass"),
        ("/home/a/.local/share/uv/tools/twine/bin/python", False, "uv tool install --with indexpass twine"),
    ],
    ids=["pip", "space", "uv", "pipx", "uv tool"],
)
def test_an_environment_is_added_to_by_the_tool_that_made_it(python: str, *, has_pip: bool, command: str) -> None:
    versions = {"pip": "26.3" if has_pip else ""}
    assert install_command(ENVIRONMENT._replace(python=python, versions=versions)) == command
