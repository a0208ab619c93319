"""Which modules a look-up may load. Times are for the benchmark; sets of modules are the same on every machine.

Each case runs in a fresh interpreter in which every extra is installed, and names the module that is too much together
with the module that imports it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from indexpass import _known
from indexpass._cli import main
from indexpass._url import IndexUrl
from servers.homes import CONFIG, FOREIGN_URL, INDEX_URL, write_home

if TYPE_CHECKING:
    from pathlib import Path


# What only a fetch, a command or the broker needs. The names of packages stand for all of their modules.
OUT_OF_PLACE_IN_A_LOOK_UP = {"asyncio", "concurrent", "email", "http", "inspect", "socket", "ssl", "subprocess"}
OF_THE_BROKER = {
    "a2wsgi",
    "argon2",
    "cryptography",
    "itsdangerous",
    "jinja2",
    "jwt",
    "pypiserver",
    "sqlalchemy",
    "starlette",
    "uvicorn",
}
SDKS = {"botocore", "cryptography", "google", "jwt", "msal"}  # of the platforms
KNOWN = {
    "aws": "https://acme-111122223333.d.codeartifact.eu-west-1.amazonaws.com/pypi/wheels/simple/",
    "azure": "https://pkgs.dev.azure.com/acme/tools/_packaging/acme/pypi/simple/",
    "cloudsmith": "https://dl.cloudsmith.io/basic/acme/tools/python/simple/",
    "gitlab": "https://gitlab.com/api/v4/projects/77/packages/pypi/simple/",
    "google": "https://europe-west1-python.pkg.dev/acme-packages/wheels/simple/",
    "jfrog": "https://acme.jfrog.io/artifactory/api/pypi/tools/simple/",
}
OF_PLATFORMS = "".join(
    f'[[index]]\nname = "{name}"\nurl = "{url}"\nprovider = "{name}"\n{more}'
    for name, url, more in (
        *((name, KNOWN[name], "") for name in ("aws", "azure", "gitlab", "google")),
        ("cloudsmith", KNOWN["cloudsmith"], 'service = "ci"\n'),
        ("github", "https://github.com/acme/", 'app-id = "1"\ninstallation-id = "2"\nkey-file = "/nowhere"\n'),
        ("jfrog", KNOWN["jfrog"], 'oidc-provider = "ci"\n'),
    )
)
NEEDED_HERE = set[str]() if sys.platform == "linux" else {"platformdirs"}  # beyond Linux, it knows the folders

# Every import of a module that is not loaded yet asks this finder first; the frame that asks is the importer.
WATCH = """
import sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        frame = sys._getframe(1)
        while "importlib" in frame.f_globals["__name__"]:
            frame = frame.f_back
        importers[name] = frame.f_globals["__name__"]
        return None

importers = {}
"""
START = """
known = set(sys.modules)
sys.meta_path.insert(0, Watch())
"""
REPORT = """
added = {name: importers.get(name, "the test") for name in sys.modules if name not in known}
import json
print(json.dumps(added))
"""
KEYRING = "import keyring, keyring.backend, keyring.credentials"
BACKEND = "from indexpass.keyring_backend import IndexpassKeyring"
ASK_KEYRING = f"{BACKEND}; credential = IndexpassKeyring().get_credential(sys.argv[1], None)"
ASK = "from indexpass._embedded import answer; credential = answer(sys.argv[1])"
IS_OURS = "assert credential is not None"
IS_FOREIGN = "assert credential is None"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a user's folder with one index and a fresh credential for it."""
    return write_home(tmp_path, CONFIG)


@pytest.fixture
def platforms_home(tmp_path: Path) -> Path:
    """Return a user's folder with an index of each platform that has an SDK or a URL of its own, and what opens it."""
    return write_home(tmp_path, OF_PLATFORMS)


def modules_added(home: Path, before: str, measured: str, *arguments: str, after: str = "") -> dict[str, str]:
    """Return the modules that ``measured`` loads in a fresh interpreter after ``before``, each with its importer."""
    program = f"{WATCH}\n{before}\n{START}\n{measured}\n{REPORT}\n{after}"
    # Without coverage, which would load modules of its own.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("INDEXPASS_", "COV", "XDG_"))}
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, *arguments],
        env={**kept, "INDEXPASS_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    added: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return added


def explained(added: dict[str, str], unwanted: set[str]) -> list[str]:
    """Return one line for each unwanted module: its name, and who imports it."""
    return [
        f"{name} is imported by {importer}" for name, importer in added.items() if name.partition(".")[0] in unwanted
    ]


def of_other_projects(added: dict[str, str]) -> set[str]:
    """Return the packages that are neither Python's own nor ours."""
    packages = {name.partition(".")[0] for name in added}
    return packages - set(sys.stdlib_module_names) - {"indexpass"} - NEEDED_HERE


@pytest.mark.parametrize("package", sorted(OF_THE_BROKER | SDKS | {"build", "google.auth", "uv"}))
def test_every_extra_is_installed_where_the_budget_is_checked(package: str) -> None:
    assert importlib.util.find_spec(package), f"{package} is missing: pip install -e '.[broker,demo,aws,azure,google]'"


def test_importing_the_backend_adds_two_modules_to_keyring(home: Path) -> None:
    added = modules_added(home, KEYRING, BACKEND)
    others = {
        name: importer for name, importer in added.items() if name not in {"indexpass", "indexpass.keyring_backend"}
    }
    assert explained(others, {name.partition(".")[0] for name in others}) == []


ANSWERS = [
    pytest.param(FOREIGN_URL, IS_FOREIGN, id="foreign"),
    pytest.param(INDEX_URL, IS_OURS, id="cached"),
]


@pytest.mark.parametrize(("url", "check"), ANSWERS)
def test_an_answer_to_keyring_loads_no_other_project(home: Path, url: str, check: str) -> None:
    added = modules_added(home, KEYRING, ASK_KEYRING, url, after=check)
    assert explained(added, of_other_projects(added)) == []


@pytest.mark.parametrize(("url", "check"), ANSWERS)
def test_an_answer_without_keyring_loads_no_other_project_either(home: Path, url: str, check: str) -> None:
    """Keyring loads much of the standard library itself, which would hide what we load."""
    added = modules_added(home, "", ASK, url, after=check)
    assert explained(added, of_other_projects(added)) == []


@pytest.mark.parametrize(("url", "check"), ANSWERS)
def test_an_answer_loads_nothing_that_only_a_fetch_needs(home: Path, url: str, check: str) -> None:
    added = modules_added(home, "", ASK, url, after=check)
    assert explained(added, OUT_OF_PLACE_IN_A_LOOK_UP) == []


@pytest.mark.parametrize(
    "module",
    ["json", "indexpass._wire", "indexpass._http", "indexpass._registry", "indexpass._sessions", "indexpass._model"],
)
def test_a_foreign_answer_does_not_load_what_only_a_credential_needs(home: Path, module: str) -> None:
    added = modules_added(home, KEYRING, ASK_KEYRING, FOREIGN_URL, after=IS_FOREIGN)
    assert module not in added, f"{module} is imported by {added.get(module)}"


@pytest.mark.parametrize(("url", "check"), ANSWERS)
def test_a_plain_configuration_is_read_without_a_toml_parser(home: Path, url: str, check: str) -> None:
    added = modules_added(home, KEYRING, ASK_KEYRING, url, after=check)
    assert explained(added, {"tomllib", "tomli"}) == []


def test_what_add_writes_is_read_without_a_toml_parser(tmp_path: Path) -> None:
    words = ["add", INDEX_URL, "--broker", "https://tokens.acme.example", "--yes"]
    done = CliRunner().invoke(main, words, env={"INDEXPASS_HOME": str(tmp_path)})
    assert done.exit_code == 0, done.output
    added = modules_added(tmp_path, KEYRING, ASK_KEYRING, FOREIGN_URL, after=IS_FOREIGN)
    assert explained(added, {"tomllib", "tomli"}) == []


def test_a_foreign_answer_without_a_configuration_parses_no_toml(tmp_path: Path) -> None:
    added = modules_added(tmp_path, KEYRING, ASK_KEYRING, FOREIGN_URL, after=IS_FOREIGN)
    assert explained(added, {"tomllib", "tomli"}) == []


@pytest.mark.parametrize("command", ["--version", "status"])
def test_a_command_for_users_loads_nothing_of_the_broker(home: Path, command: str) -> None:
    run = "from indexpass._cli import main; main(sys.argv[1:], standalone_mode=False)"
    added = modules_added(home, "", run, command)
    assert explained(added, OF_THE_BROKER | {"keyring"}) == []


def test_the_help_is_shown_without_loading_a_command(home: Path) -> None:
    run = "from indexpass._cli import main; main(['--help'], standalone_mode=False)"
    added = modules_added(home, "import click", run, after="")
    assert [name for name in added if name.startswith("indexpass._cli.")] == []
    assert explained(added, {"requests", "filelock", "tomlkit"}) == []


def test_the_platforms_here_are_all_that_are_known_by_their_urls() -> None:
    found = {name: _known.find(IndexUrl.parse(url)) for name, url in KNOWN.items()}
    assert {name: index and index.provider for name, index in found.items()} == {name: name for name in _known._KNOWN}


@pytest.mark.parametrize("name", KNOWN)
def test_a_cached_credential_of_a_platform_loads_no_other_project(platforms_home: Path, name: str) -> None:
    added = modules_added(platforms_home, KEYRING, ASK_KEYRING, KNOWN[name], after=IS_OURS)
    assert explained(added, of_other_projects(added)) == []


def test_a_foreign_answer_among_indexes_of_all_platforms_loads_no_other_project(platforms_home: Path) -> None:
    added = modules_added(platforms_home, KEYRING, ASK_KEYRING, FOREIGN_URL, after=IS_FOREIGN)
    assert explained(added, of_other_projects(added)) == []


def test_the_status_of_indexes_of_all_platforms_loads_no_sdk(platforms_home: Path) -> None:
    run = "from indexpass._cli import main; main(['status'], standalone_mode=False)"
    added = modules_added(platforms_home, "", run)
    assert "indexpass.providers.google" in added  # they have been looked at
    assert explained(added, SDKS) == []


def test_the_version_is_told_without_loading_the_client(home: Path) -> None:
    run = "from indexpass._cli import main; main(sys.argv[1:], standalone_mode=False)"
    added = modules_added(home, "", run, "--version")
    assert explained(added, {"requests", "filelock", "platformdirs", "tomlkit", "urllib3"}) == []


def test_the_package_itself_loads_nothing(home: Path) -> None:
    assert set(modules_added(home, "import __future__, typing", "import indexpass")) == {"indexpass"}


def test_a_module_too_many_is_reported_with_its_importer(home: Path) -> None:
    added = modules_added(home, "", "import json")
    assert "json.decoder is imported by json" in explained(added, {"json"})
