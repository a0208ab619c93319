"""What the doctor says of clients, from facts alone; the end-to-end tests provoke the same with real ones."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from indexpass._credential import Index
from indexpass._doctor.clients import judge_clients
from indexpass._doctor.environments import OURS, Environment, Program
from indexpass._doctor.programs import Client, Machine, Pip, Uv, UvIndex, look
from indexpass._url import IndexUrl

if TYPE_CHECKING:
    from pathlib import Path

    from indexpass._doctor.findings import Finding

URL = "https://packages.acme.example/simple/"
ACME = Index("acme", IndexUrl.parse(URL))
VERSIONS = {"indexpass": "0.1.0", "keyring": "25.7.0", "pip": "26.3", "twine": "7.0", "pdm": "2.26", "poetry": "2.5"}
OURS_FIRST = Environment("/ours/bin/python", "/ours/bin", VERSIONS, "chainer", ((OURS, 9.0), ("other", 5.0)))
NO_KEYRING = Environment("/bare/bin/python", "/bare/bin", {**VERSIONS, "keyring": "", "indexpass": ""})
COMMAND = Program("/ours/bin/keyring", OURS_FIRST)
NULL = {"PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}
NULLED = OURS_FIRST._replace(chosen=NULL["PYTHON_KEYRING_BACKEND"], chain=((NULL["PYTHON_KEYRING_BACKEND"], -1.0),))


def examine(machine: Machine) -> list[Finding]:
    return list(judge_clients(machine))


def pip(environment: Environment, *, is_used: bool = False, is_first: bool = True, **settings: str) -> Pip:
    return Pip("/usr/bin/pip", environment, settings, is_used, is_first)


@pytest.mark.parametrize(
    ("machine", "verdict"),
    [
        (Machine({}, pips=(pip(NO_KEYRING),)), "fault"),
        (Machine({}, pips=(pip(NO_KEYRING, is_first=False),)), "note"),
        (Machine({}, pips=(pip(NO_KEYRING, is_first=False, is_used=True),)), "fault"),
        (Machine({}, others=(Client("twine", Program("/t", NO_KEYRING), is_used=False),)), "note"),
        (Machine({}, others=(Client("twine", Program("/t", NO_KEYRING), is_used=True),)), "fault"),
        (Machine({}, others=(Client("twine", Program("/t"), is_used=True),)), "note"),
        (Machine({}, uv=Uv("/uv", "0.13", "subprocess", ())), "note"),
        (Machine({}, uv=Uv("/uv", "0.13", "subprocess", (UvIndex(URL, "f", "user", True, False),))), "fault"),  # noqa: FBT003
    ],
    ids=["first pip", "another pip", "that is used", "unused", "used", "unknown", "uv without index", "uv with index"],
)
def test_a_client_that_cannot_reach_us_is_a_fault_only_if_it_would_have_to(machine: Machine, verdict: str) -> None:
    (found,) = examine(machine)
    assert found.verdict == verdict


@pytest.mark.parametrize(
    ("environ", "verdict"), [({}, "ok"), (NULL, "fault")], ids=["as it is", "another backend is named"]
)
def test_our_own_keyring_command_answers_whatever_keyring_would_choose(environ: dict[str, str], verdict: str) -> None:
    shim = Program("/home/a/.local/bin/keyring", NULLED, is_shim=True)
    (found,) = examine(Machine(environ, keyrings=(shim,), pips=(pip(NO_KEYRING),)))
    assert found.verdict == verdict


def test_pip_does_not_run_the_keyring_command_beside_itself() -> None:
    beside = Program("/bare/bin/keyring", NULLED)
    (found,) = examine(Machine({}, keyrings=(beside, COMMAND), pips=(pip(NO_KEYRING),)))
    assert (found.verdict, "/ours/bin/keyring" in found.message) == ("ok", True)


def test_a_keyring_command_that_cannot_be_looked_into_is_noted_with_what_it_can_say_itself() -> None:
    (found,) = examine(Machine({}, keyrings=(Program("/odd/keyring"),), pips=(pip(NO_KEYRING),)))
    assert (found.verdict, found.hint) == ("note", "/odd/keyring --list-backends")


def test_a_backend_that_cannot_be_loaded_is_named_by_the_error() -> None:
    broken = OURS_FIRST._replace(chosen="", chain=(), error="ImportError: dbus")
    (found,) = examine(Machine({}, pips=(pip(broken),)))
    assert (found.verdict, "ImportError: dbus" in found.message) == ("fault", True)


def test_pdm_without_keyring_runs_the_command() -> None:
    client = Client("pdm", Program("/usr/bin/pdm", NO_KEYRING), is_used=True)
    (found,) = examine(Machine({}, keyrings=(COMMAND,), others=(client,)))
    assert (found.verdict, "/ours/bin/keyring" in found.message) == ("ok", True)


def test_an_index_of_uvs_in_a_variable_is_mended_there_and_its_password_is_not_shown() -> None:
    index = UvIndex(
        "https://packages.acme.example/simple/?key=canary", "UV_INDEX", "", has_user=False, is_authenticated=False
    )
    findings = examine(Machine({}, keyrings=(COMMAND,), uv=Uv("/uv", "0.13", "subprocess", (index,))))
    assert findings[-1].hint.startswith(
        "put a user name into UV_INDEX: https://__token__@packages.acme.example/simple/"
    )
    assert "canary" not in str(findings)


@pytest.mark.parametrize(
    ("scope", "hint"),
    [
        ("user", "indexpass setup uv"),
        ("project", "indexpass setup uv --project '/my work'"),
        ("site", 'add below its url in /my work/uv.toml: authenticate = "always"'),
    ],
)
def test_an_index_of_uvs_is_mended_where_it_stands(scope: str, hint: str) -> None:
    index = UvIndex(URL, "/my work/uv.toml", scope, has_user=False, is_authenticated=False)
    findings = examine(Machine({}, keyrings=(COMMAND,), uv=Uv("/uv", "0.13", "subprocess", (index,))))
    assert findings[-1].hint == hint


@pytest.mark.parametrize(
    ("name", "text", "variables", "indexes"),
    [
        ("uv.toml", f'index-url = "{URL}"', {}, [(False, False)]),
        ("uv.toml", f'extra-index-url = ["https://a.example/", "{URL}"]', {}, [(False, False)]),
        ("pyproject.toml", f'[[tool.uv.index]]\nurl = "{URL}"\nauthenticate = "always"', {}, [(False, True)]),
        ("uv.toml", "", {"UV_DEFAULT_INDEX": URL}, [(False, False)]),
        ("uv.toml", "", {"UV_INDEX": f"acme={URL} https://a.example/"}, [(False, False)]),
        ("uv.toml", "", {"UV_INDEX": f"acme={URL}", "UV_INDEX_ACME_USERNAME": "me"}, [(True, False)]),
        ("uv.toml", "[[index]\nbroken", {}, []),
        ("uv.toml", 'index = "no list"', {}, []),
        ("uv.toml", "index = [1, {url = 2}]", {}, []),
        ("uv.toml", '[[index]]\nurl = "https://packages.acme.example.evil.example/simple/"', {}, []),
    ],
    ids=[
        *("index-url", "extra", "project", "variable", "named variable", "user in variable"),
        *("broken", "no list", "odd", "another host"),
    ],
)
def test_our_indexes_among_uvs_own(
    tmp_path: Path, name: str, text: str, variables: dict[str, str], indexes: list[tuple[bool, bool]]
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "uv").write_text("#!/bin/sh\necho uv 0.13.9\n")
    (tmp_path / "bin" / "uv").chmod(0o755)
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / name).write_text(text)
    environ = {"HOME": str(tmp_path / "home"), "PATH": str(tmp_path / "bin"), **variables}
    found = look([ACME], environ, tmp_path, own_python="").uv
    assert found
    assert found.version == "0.13.9"
    assert [(index.has_user, index.is_authenticated) for index in found.indexes] == indexes


def test_a_hostile_project_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        "[tool.uv]\na" + ".a" * 2_000 + ' = "https://packages.acme.example/simple/"\n'
    )
    named = look([ACME], {"HOME": str(tmp_path), "PATH": ""}, tmp_path, own_python="").named
    assert named == ((ACME,) if sys.version_info >= (3, 11) else ())  # the older parser gives up on so many parts
