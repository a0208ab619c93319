"""What is published: the wheel's contents, entry points and metadata, and what its first import costs strangers."""

from __future__ import annotations

import configparser
import email.parser
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterable
    from email.message import Message

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
INFO = f"{PROJECT['name']}-{PROJECT['version']}.dist-info"

# Each is slow to import, and none is needed to say that a URL is not ours.
HEAVY = {
    "certifi",
    "click",
    "cryptography",
    "filelock",
    "http",
    "idna",
    "jwt",
    "platformdirs",
    "requests",
    "rich",
    "sqlalchemy",
    "ssl",
    "starlette",
    "tomlkit",
    "urllib3",
}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist, and the wheel from the sdist, as they would be published."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> zipfile.Path:
    (path,) = dist.glob("*.whl")
    return zipfile.Path(path)


@pytest.fixture(scope="module")
def installed(wheel: zipfile.Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that holds what installing the wheel would put into site-packages."""
    folder = tmp_path_factory.mktemp("site-packages")
    wheel.root.extractall(folder)  # noqa: S202  # we built it ourselves just now
    return folder


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.Path) -> Message:
    return email.parser.Parser().parsestr((wheel / INFO / "METADATA").read_text(encoding="utf-8"))


def test_the_wheel_is_for_every_platform(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    assert wheel.name == f"indexpass-{PROJECT['version']}-py3-none-any.whl"


def test_the_wheel_holds_the_package_and_nothing_else(wheel: zipfile.Path) -> None:
    files = {name for name in wheel.root.namelist() if not name.startswith(f"{INFO}/") and not name.endswith("/")}
    package = ROOT / "src" / "indexpass"
    assert files == {
        path.relative_to(package.parent).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_says_that_it_is_typed(wheel: zipfile.Path) -> None:
    assert (wheel / "indexpass" / "py.typed").is_file()


def test_the_wheel_holds_the_broker_s_pages(wheel: zipfile.Path) -> None:
    pages = ROOT / "src" / "indexpass" / "broker" / "pages" / "templates"
    names = {page.name for page in (wheel / "indexpass" / "broker" / "pages" / "templates").iterdir()}
    assert names == {page.name for page in pages.iterdir()} != set()


def test_the_wheel_holds_the_licence(wheel: zipfile.Path) -> None:
    assert (wheel / INFO / "licenses" / "LICENSE").read_text(encoding="utf-8") == (ROOT / "LICENSE").read_text(
        encoding="utf-8"
    )


def test_the_sdist_holds_what_is_needed_to_build_and_no_more(dist: Path) -> None:
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as sdist:
        names = [Path(name).parts[1:] for name in sdist.getnames()]
    assert {parts[0] for parts in names if parts} == {"LICENSE", "PKG-INFO", "README.md", "pyproject.toml", "src"}
    assert {parts[1] for parts in names if parts[0] == "src" and len(parts) > 1} == {"indexpass"}


def test_the_entry_points_are_those_of_the_project(wheel: zipfile.Path) -> None:
    parser = configparser.ConfigParser(delimiters="=")
    parser.read_string((wheel / INFO / "entry_points.txt").read_text(encoding="utf-8"))
    assert {section: dict(parser[section]) for section in parser.sections()} == {
        "console_scripts": {
            "docker-credential-indexpass": "indexpass._cli.helper:run_docker",
            "git-credential-indexpass": "indexpass._cli.helper:run_git",
            "indexpass": "indexpass._cli:main",
            "indexpass-bazel": "indexpass._cli.helper:run_bazel",
        },
        "keyring.backends": {"indexpass": "indexpass.keyring_backend"},
        "poetry.application.plugin": {"indexpass": "indexpass.poetry_plugin:IndexpassPlugin"},
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Name", PROJECT["name"]),
        ("Version", PROJECT["version"]),
        ("Summary", PROJECT["description"]),
        ("Requires-Python", PROJECT["requires-python"]),
        ("License-Expression", PROJECT["license"]),
        ("Description-Content-Type", "text/markdown"),
    ],
)
def test_the_metadata_is_that_of_the_project(metadata: Message, field: str, value: str) -> None:
    assert metadata[field] == value


def test_the_description_is_the_readme(metadata: Message) -> None:
    assert str(metadata.get_payload()).strip() == (ROOT / "README.md").read_text(encoding="utf-8").strip()


def test_the_dependencies_are_those_of_the_project(metadata: Message) -> None:
    stated = {_normal(text) for text in metadata.get_all("Requires-Dist", []) if "extra ==" not in text}
    assert stated == {_normal(text) for text in PROJECT["dependencies"]}


def test_the_extras_are_those_of_the_project(metadata: Message) -> None:
    assert set(metadata.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])


def test_the_keyring_backend_brings_in_nothing_that_keyring_has_not_loaded(installed: Path) -> None:
    added = _modules_added(
        installed,
        before="import keyring.backend, keyring.credentials",
        by="import indexpass.keyring_backend",
    )
    assert added == {"indexpass", "indexpass.keyring_backend"}


def test_importing_the_package_brings_in_nothing(installed: Path) -> None:
    assert _modules_added(installed, before="import __future__, typing", by="import indexpass") == {"indexpass"}


def test_the_poetry_plugin_brings_in_nothing_heavy_of_its_own(installed: Path) -> None:
    added = _modules_added(installed, before="import typing", by="import indexpass.poetry_plugin")
    assert not _roots(added) & HEAVY


@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({}, id="nothing-configured"),
        pytest.param(
            {
                "INDEXPASS_INDEX_URL": "https://packages.acme.example/simple/",
                "INDEXPASS_BROKER": "https://tokens.acme.example",
            },
            id="one-index-configured",
        ),
    ],
)
def test_a_url_that_is_not_ours_is_answered_without_anything_heavy(
    installed: Path, tmp_path: Path, environ: dict[str, str]
) -> None:
    added = _modules_added(
        installed,
        before="import keyring.backend, keyring.credentials",
        by=(
            "from indexpass.keyring_backend import IndexpassKeyring\n"
            "assert IndexpassKeyring().get_credential('https://foreign.example/simple/', None) is None"
        ),
        environ={"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), **environ},
    )
    assert "indexpass._match" in added
    assert not _roots(added) & HEAVY


@pytest.mark.parametrize("module", ["indexpass", "indexpass.testing"])
def test_every_public_name_can_be_imported(installed: Path, module: str) -> None:
    script = f"import {module} as m; print(*[name for name in m.__all__ if getattr(m, name)], sep='\\n')"
    page = (ROOT / "plugin-docs/reference/python-api.md").read_text(encoding="utf-8")
    told = page.partition(f"## Names of {module}\n")[2].partition("\n## ")[0]
    assert _run(installed, script).split() == re.findall(r"^\| `(\w+)` \|", told, re.MULTILINE)


def test_importing_the_test_kit_brings_in_neither_pytest_nor_anything_heavy(installed: Path) -> None:
    added = _modules_added(installed, before="import __future__, typing", by="import indexpass.testing")
    assert added == {"indexpass", "indexpass.testing"}


def test_the_doubles_of_the_test_kit_need_no_extra(installed: Path) -> None:
    by = "from indexpass.testing import FakeBroker, FakeIndex, FakePlatform, make_context, make_index, look_alikes"
    assert not _roots(_modules_added(installed, before="", by=by)) & {"pytest", "starlette", "uvicorn", "jwt"}


def test_keyring_finds_the_backend(installed: Path) -> None:
    script = "import keyring.backend as b; print(*[type(k).__name__ for k in b.get_all_keyring()])"
    assert "IndexpassKeyring" in _run(installed, script).split()


def test_the_command_starts(installed: Path) -> None:
    script = "import sys; sys.argv = ['indexpass', '--help']; from indexpass._cli import main; main()"
    assert "Usage: indexpass" in _run(installed, script)


def _modules_added(installed: Path, *, before: str, by: str, environ: dict[str, str] | None = None) -> set[str]:
    """Return the names of the modules that ``by`` adds in a new process to those that ``before`` has loaded."""
    script = f"import sys\n{before}\nknown = set(sys.modules)\n{by}\nprint(*sorted(set(sys.modules) - known))"
    return set(_run(installed, script, environ=environ).split())


def _run(installed: Path, script: str, *, environ: dict[str, str] | None = None) -> str:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=installed,
        env=_clean_environ() | {"PYTHONPATH": str(installed)} | (environ or {}),
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def _clean_environ() -> dict[str, str]:
    ours = ("INDEXPASS_", "KEYRING_", "PYTHON_KEYRING_", "XDG_", "COV_", "COVERAGE_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def _roots(modules: Iterable[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def _normal(text: str) -> str:
    return str(Requirement(text))
