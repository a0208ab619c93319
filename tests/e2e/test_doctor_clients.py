"""Each thing that keeps a client from our keyring backend, provoked with the real client, and mended by its own hint.

The doctor sees a machine of which nothing is on PATH but the environments that a test names.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from indexpass._credential import Index
from indexpass._doctor.clients import judge_clients
from indexpass._doctor.programs import look
from indexpass._url import IndexUrl

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Environments
    from indexpass._doctor.findings import Finding

pytestmark = pytest.mark.e2e

URL = "https://packages.acme.example/simple/"
ACME = Index("acme", IndexUrl.parse(URL), options=MappingProxyType({"broker": "https://tokens.acme.example"}))
NULL = "keyring.backends.null.Keyring"
BACKEND = """
from keyring.backend import KeyringBackend

class Backend(KeyringBackend):
    priority = {priority}

    def get_password(self, service, username):
        raise AssertionError("the doctor asks no keyring")

    get_credential = set_password = delete_password = get_password
"""


@dataclass
class Machine:
    """A home folder, a project in it, and the few programs that are on PATH."""

    home: Path
    path: tuple[Path, ...]
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        path = os.pathsep.join(str(each) for each in self.path)
        return {"HOME": str(self.home), "PATH": path, "PYTHONDONTWRITEBYTECODE": "1", **self.variables}

    def write(self, name: str, text: str) -> Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def examine(self, part: str) -> Finding:
        """Return the last word on this part."""
        machine = look([ACME], self.environ, self.home, own_python=str(self.path[0] / "python"))
        return [finding for finding in judge_clients(machine) if finding.part == part][-1]

    def follow(self, hint: str) -> None:
        """Do what the hint says, as a shell would."""
        word, _, rest = hint.partition(" ")
        if word == "export":
            name, _, value = rest.partition("=")
            self.variables[name] = value
        elif word == "unset":
            del self.variables[rest]
        else:
            environ = {**self.environ, "PATH": f"{self.environ['PATH']}{os.pathsep}{os.defpath}"}
            subprocess.run(shlex.split(hint), env=environ, check=True, capture_output=True, timeout=60)


@pytest.fixture
def with_ours(tmp_path: Path, environments: Environments) -> Machine:
    """A machine whose pip has keyring and indexpass beside it."""
    return Machine(tmp_path, (environments("pip", "poetry-core>=2.0", ours=""),))


@pytest.fixture
def pip_alone(tmp_path: Path, environments: Environments) -> Machine:
    """A machine whose pip has nothing beside it."""
    return Machine(tmp_path, (environments("pip"),))


@pytest.fixture
def without_ours(tmp_path: Path, environments: Environments) -> Machine:
    """A machine that has keyring, pip, Poetry and twine, and has never heard of us."""
    return Machine(tmp_path, (environments("pip", "poetry>=2.0", "twine"),))


@pytest.fixture
def old(tmp_path: Path, environments: Environments) -> Machine:
    """A machine with a keyring and a pip from before pip asked for JSON."""
    return Machine(tmp_path, (environments("keyring==25.1.0", "pip==25.3", ours=""),))


@pytest.fixture
def with_uv(tmp_path: Path, environments: Environments) -> Machine:
    """A machine with uv, and our keyring command."""
    return Machine(tmp_path, (environments("uv"), environments(ours="[broker]")))


def test_pip_with_us_beside_it_is_well(with_ours: Machine) -> None:
    found = with_ours.examine("pip")
    assert (found.verdict, found.hint) == ("ok", "")


def test_a_null_backend_by_variable_is_found_and_mended(with_ours: Machine) -> None:
    with_ours.variables["PYTHON_KEYRING_BACKEND"] = NULL
    found = with_ours.examine("pip")
    assert (found.verdict, found.hint) == ("fault", "unset PYTHON_KEYRING_BACKEND")
    with_ours.follow(found.hint)
    assert with_ours.examine("pip").verdict == "ok"


def test_a_keyring_that_was_disabled_by_its_own_command_is_found_and_mended(with_ours: Machine) -> None:
    with_ours.follow(f"{with_ours.path[0] / 'keyring'} --disable")
    found = with_ours.examine("pip")
    assert (found.verdict, NULL in found.message) == ("fault", True)
    with_ours.follow(found.hint)
    assert with_ours.examine("pip").verdict == "ok"


def put_backend(machine: Machine, priority: float) -> None:
    """Install somebody else's keyring backend, as a distribution that keyring finds by its entry point."""
    machine.write("plugins/stranger.py", BACKEND.format(priority=priority))
    machine.write("plugins/stranger-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: stranger\nVersion: 1\n")
    machine.write("plugins/stranger-1.dist-info/entry_points.txt", "[keyring.backends]\nstranger = stranger\n")
    machine.variables["PYTHONPATH"] = str(machine.home / "plugins")


def test_a_backend_that_displaces_the_chainer_is_found_and_mended(with_ours: Machine) -> None:
    put_backend(with_ours, 15)
    found = with_ours.examine("pip")
    assert (found.verdict, "uses stranger.Backend, and no other" in found.message) == ("fault", True)
    with_ours.follow(found.hint)
    mended = with_ours.examine("pip")
    assert (mended.verdict, "asks stranger.Backend before indexpass" in mended.message) == ("note", True)


@pytest.mark.parametrize(
    ("setting", "value", "provider"),
    [("PIP_NO_INPUT", "1", "import"), ("PIP_KEYRING_PROVIDER", "disabled", "import")],
    ids=["no-input", "disabled"],
)
def test_a_pip_that_never_asks_is_found(with_ours: Machine, setting: str, value: str, provider: str) -> None:
    with_ours.variables[setting] = value
    found = with_ours.examine("pip")
    assert (found.verdict, found.hint.split()[-1]) == ("fault", provider)


def test_a_pip_that_never_asks_because_of_its_own_file_is_mended(with_ours: Machine) -> None:
    with_ours.write(".config/pip/pip.conf", "[global]\nno-input = true\n")
    with_ours.follow(with_ours.examine("pip").hint)
    assert with_ours.examine("pip").verdict == "ok"


def test_a_configuration_that_pip_cannot_read_is_found(with_ours: Machine) -> None:
    with_ours.write(".config/pip/pip.conf", "no section\n")
    assert with_ours.examine("pip").hint.endswith("-m pip config debug")


def test_pip_without_any_keyring_is_told_how_to_get_one(pip_alone: Machine) -> None:
    found = pip_alone.examine("pip")
    assert found.verdict == "fault"
    assert found.hint == f"{pip_alone.path[0] / 'python'} -m pip install indexpass"


def test_pip_finds_the_keyring_command_of_another_environment(pip_alone: Machine, environments: Environments) -> None:
    pip_alone.path += (environments(ours="[broker]"),)
    found = pip_alone.examine("pip")
    assert (found.verdict, str(pip_alone.path[1] / "keyring") in found.message) == ("ok", True)


def test_a_keyring_without_us_is_found_beside_pip_and_twine_and_on_the_path(
    without_ours: Machine, environments: Environments
) -> None:
    found = without_ours.examine("pip")
    assert (found.verdict, "has no indexpass" in found.message) == ("fault", True)
    assert without_ours.examine("twine").verdict == "note"
    without_ours.write(".pypirc", "[acme]\nrepository = https://packages.acme.example/simple/\n")
    assert without_ours.examine("twine").verdict == "fault"
    without_ours.path += (environments(ours="[broker]"),)
    # The command on PATH reaches us: so pip can be told to run it.
    without_ours.follow(without_ours.examine("pip").hint)
    assert without_ours.examine("pip").verdict == "ok"


def test_a_keyring_that_is_too_old_for_pip_is_found(pip_alone: Machine, old: Machine) -> None:
    pip_alone.path += old.path
    found = pip_alone.examine("pip")
    assert (found.verdict, "keyring 25.1.0, too old" in found.message) == ("fault", True)
    assert found.hint == f"{old.path[0] / 'python'} -m pip install 'keyring>=25.2.1'"


def test_a_pip_that_asks_by_user_name_only_is_noted(old: Machine, environments: Environments) -> None:
    old.path += (environments(ours="[broker]"),)
    old.variables["PIP_KEYRING_PROVIDER"] = "subprocess"
    found = old.examine("pip")
    assert (found.verdict, found.hint) == ("note", f"{old.path[0] / 'python'} -m pip install --upgrade pip")


UV_INDEX = f'[[index]]\nname = "acme"\nurl = "{URL}"\n'
ON = {"UV_KEYRING_PROVIDER": "subprocess"}


@pytest.mark.parametrize(
    ("settings", "variables", "expected"),
    [
        ("", {}, ("note", "indexpass setup uv")),
        (UV_INDEX, ON, ("fault", "indexpass setup uv")),
        (
            UV_INDEX + 'authenticate = "always"\n',
            {"UV_KEYRING_PROVIDER": "disabled"},
            ("fault", "unset UV_KEYRING_PROVIDER"),
        ),
        (UV_INDEX.replace("://", "://__token__@"), ON, ("ok", "")),
        ('keyring-provider = "subprocess"\n' + UV_INDEX, {"UV_INDEX_ACME_USERNAME": "me"}, ("ok", "")),
    ],
    ids=["unused", "no authenticate", "provider off", "user name", "user name in a variable"],
)
def test_uv_asks_only_where_it_is_told_to(
    with_uv: Machine, settings: str, variables: dict[str, str], expected: tuple[str, str]
) -> None:
    with_uv.variables |= variables
    with_uv.write(".config/uv/uv.toml", settings)
    found = with_uv.examine("uv")
    assert (found.verdict, found.hint) == expected


def test_a_uv_that_asks_nobody_is_mended(with_uv: Machine) -> None:
    config = f'[[index]]\nname = "acme"\nurl = "{URL}"\nbroker = "https://tokens.acme.example"\n'
    with_uv.write(".config/indexpass/config.toml", config)
    with_uv.write(".config/uv/uv.toml", UV_INDEX)
    found = with_uv.examine("uv")
    assert found.verdict == "fault"
    with_uv.follow(f"{found.hint} --yes")
    assert with_uv.examine("uv").verdict == "ok"


@pytest.mark.parametrize(
    ("project", "verdict"),
    [
        ("", "note"),
        (f'[[tool.poetry.source]]\nname = "acme"\nurl = "{URL}"\n', "fault"),
        ('[tool.poetry.requires-plugins]\nindexpass = "*"\n', "ok"),
    ],
    ids=["elsewhere", "a project with our index", "a project that requires the plugin"],
)
def test_a_poetry_without_the_plugin_is_found(without_ours: Machine, project: str, verdict: str) -> None:
    without_ours.write("pyproject.toml", project)
    found = without_ours.examine("poetry")
    assert (found.verdict, found.hint) == (verdict, "" if verdict == "ok" else "poetry self add indexpass")


def test_a_poetry_with_the_plugin_is_well(tmp_path: Path, environments: Environments) -> None:
    assert Machine(tmp_path, (environments("poetry>=2.0", ours=""),)).examine("poetry").verdict == "ok"
