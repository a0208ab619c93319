"""What pip, uv, Poetry, twine and pdm ask keyring, replayed as they were seen to ask it.

The sources of the calls: pip 26.3 ``_internal/network/auth.py``, uv 0.13.9 ``crates/uv-auth/src/keyring.rs``, Poetry
2.5.1 ``utils/password_manager.py``, twine 7.0 ``auth.py``, unearth ``auth.py``. Clients that run a command run the
real one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from indexpass._cache import Cache
from indexpass._model import Credential, Index, Operation
from indexpass._secret import Secret
from indexpass._url import IndexUrl

if TYPE_CHECKING:
    from pathlib import Path

URL = "http://127.0.0.1:9911/simple/"
UPLOAD_URL = "http://127.0.0.1:9911/legacy/"
HOST = "127.0.0.1:9911"
BROKER = "http://127.0.0.1:9"  # never asked: everything is held
OPTIONS = MappingProxyType({"broker": BROKER})
ACME = Index("acme", IndexUrl.parse(URL), IndexUrl.parse(UPLOAD_URL), options=OPTIONS)
CONFIG = f"""
[[index]]
name = "acme"
url = "{URL}"
upload-url = "{UPLOAD_URL}"
broker = "{BROKER}"

[[index]]
name = "team-one"
url = "https://shared.example/one/simple/"
broker = "{BROKER}"

[[index]]
name = "team-two"
url = "https://shared.example/two/simple/"
broker = "{BROKER}"
"""
READ = ["__token__", "the-read-secret"]
PIP = ["--mode=creds", "--output=json", "get"]
UPLOAD = ["__token__", "the-upload-secret"]
ASK = """
import json, sys
import keyring
method, *arguments = json.loads(sys.argv[1])
answer = getattr(keyring, method)(*arguments)
print(json.dumps([answer.username, answer.password] if hasattr(answer, "password") else answer))
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a home that holds a credential for each operation on the first index."""
    (tmp_path / "config.toml").write_text(CONFIG, encoding="utf-8")
    now = time.time()
    operations: tuple[Operation, ...] = ("read", "upload")
    for operation in operations:
        credential = Credential("__token__", Secret(f"the-{operation}-secret"), now, now + 3600)
        Cache(tmp_path / "credentials").store(ACME, operation, credential)
    return tmp_path


def python(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("INDEXPASS_", "KEYRING_"))}
    return subprocess.run(
        [sys.executable, *arguments],
        env={**inherited, "HOME": str(home), "INDEXPASS_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        start_new_session=True,
        timeout=120,
        encoding="utf-8",
    )


def call(home: Path, method: str, *arguments: str | None) -> object:
    """Call keyring as a module, as clients do that import it."""
    child = python(home, "-c", ASK, json.dumps([method, *arguments]))
    assert child.returncode == 0, child.stderr
    answer: object = json.loads(child.stdout)
    return answer


def command(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the keyring command, as clients do that do not import it."""
    return python(home, "-m", "keyring", *arguments)


@pytest.mark.parametrize(
    ("method", "service", "username", "answer"),
    [
        pytest.param("get_credential", URL, None, READ, id="pip-index-url"),
        pytest.param("get_credential", URL.rstrip("/"), None, READ, id="pip-index-url-without-slash"),
        pytest.param("get_credential", f"{URL}pkg/", None, READ, id="pip-project-page"),
        pytest.param("get_credential", "http://127.0.0.1:9911/packages/pkg-1.whl", None, READ, id="pip-file"),
        pytest.param("get_credential", HOST, None, READ, id="pip-host"),
        pytest.param("get_credential", URL, "__token__", READ, id="pip-with-a-user-name"),
        pytest.param("get_credential", "https://public.example/simple/", None, None, id="pip-pypi"),
        pytest.param("get_credential", "public.example", None, None, id="pip-pypi-host"),
        pytest.param("get_credential", "shared.example", None, None, id="pip-host-of-two-indexes"),
        pytest.param("get_password", "python-poetry-check", "python-poetry", None, id="poetry-check"),
        pytest.param(
            "get_password", "poetry-repository-acme", "__poetry_source_empty_username__", None, id="poetry-source-name"
        ),
        pytest.param("get_credential", "http://127.0.0.1:9911/simple", None, READ, id="poetry-source-url"),
        pytest.param("get_credential", "http://127.0.0.1:9911/simple/", None, READ, id="poetry-executor-url"),
        pytest.param("get_credential", HOST, None, READ, id="poetry-host"),
        pytest.param("get_password", "poetry-repository-acme", "__token__", None, id="poetry-publish-name"),
        pytest.param("get_password", "poetry-repository-pypi", "__token__", None, id="poetry-publish-to-pypi"),
        pytest.param("get_credential", UPLOAD_URL, None, UPLOAD, id="poetry-publish-url"),
        pytest.param("get_credential", UPLOAD_URL, None, UPLOAD, id="twine-user-name"),
        pytest.param("get_password", UPLOAD_URL, "__token__", UPLOAD[1], id="twine-password"),
        pytest.param("get_credential", "https://upload.public.example/legacy/", None, None, id="twine-pypi"),
        pytest.param(
            "get_password", "https://upload.public.example/legacy/", "__token__", None, id="twine-pypi-password"
        ),
        pytest.param("get_password", UPLOAD_URL, "eve", UPLOAD[1], id="hatch-publish"),
        pytest.param("get_password", URL, "__token__", READ[1], id="pdm-password"),
        pytest.param("get_password", HOST, "__token__", READ[1], id="pdm-host"),
    ],
)
def test_a_client_that_imports_keyring_is_answered(
    home: Path, method: str, service: str, username: str | None, answer: object
) -> None:
    assert call(home, method, service, username) == answer


def test_pip_in_subprocess_mode_reads_json(home: Path) -> None:
    child = command(home, "--mode=creds", "--output=json", "get", URL)
    assert json.loads(child.stdout) == {"username": READ[0], "password": READ[1]}


def test_pip_in_subprocess_mode_reads_json_for_a_user_name(home: Path) -> None:
    child = command(home, "--mode=creds", "--output=json", "get", URL, "__token__")
    assert json.loads(child.stdout) == {"username": READ[0], "password": READ[1]}


def test_pip_before_26_2_reads_one_line(home: Path) -> None:
    assert command(home, "get", URL, "__token__").stdout == f"{READ[1]}\n"


def test_uv_with_a_user_name_reads_one_line(home: Path) -> None:
    assert command(home, "get", URL, "__token__").stdout == f"{READ[1]}\n"


def test_uv_without_a_user_name_reads_two_lines(home: Path) -> None:
    assert command(home, "get", URL, "--mode", "creds").stdout == f"{READ[0]}\n{READ[1]}\n"


def test_uv_asks_for_the_bare_host_too(home: Path) -> None:
    assert command(home, "get", HOST, "--mode", "creds").stdout == f"{READ[0]}\n{READ[1]}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--mode=creds", "--output=json", "get", "https://public.example/simple/"], id="pip"),
        pytest.param(["get", "https://public.example/simple/", "__token__"], id="uv-with-a-user-name"),
        pytest.param(["get", "https://public.example/simple/", "--mode", "creds"], id="uv-without-a-user-name"),
        pytest.param(["get", "poetry-repository-acme", "__token__"], id="a-name"),
    ],
)
def test_a_command_about_somebody_else_fails_in_silence(home: Path, arguments: list[str]) -> None:
    child = command(home, *arguments)
    assert (child.returncode, child.stdout, child.stderr) == (1, "", "")


def test_a_command_that_we_cannot_answer_puts_the_reason_on_stderr_only(home: Path) -> None:
    child = command(home, "get", "https://shared.example/one/simple/", "__token__")
    assert (child.returncode, child.stdout) == (1, "")
    assert "indexpass login team-one" in child.stderr


@pytest.mark.parametrize("name", ["acme", "team-one", "pypi", "127.0.0.1", "http://127.0.0.1:9911/simple/"])
def test_a_repository_name_that_a_project_chose_is_never_answered(home: Path, name: str) -> None:
    assert call(home, "get_password", f"poetry-repository-{name}", "__token__") is None


@pytest.mark.parametrize(
    ("arguments", "runs"),
    [
        pytest.param([*PIP, URL], 1, id="pip"),
        pytest.param([*PIP, URL, "__token__"], 1, id="pip-with-a-user-name"),
        pytest.param([*PIP, UPLOAD_URL], 0, id="pip-never-uploads"),
        pytest.param([*PIP, "https://public.example/simple/"], 0, id="pip-somebody-else-s-url"),
        pytest.param(["get", URL, "__token__"], 0, id="uv-with-a-user-name"),
        pytest.param(["get", URL, "--mode", "creds"], 0, id="uv-without-a-user-name"),
        pytest.param(["--mode=creds", "get", URL, ""], 0, id="pdm"),
        pytest.param(["--mode=password", "get", URL, "__token__"], 0, id="pdm-password"),
    ],
)
def test_only_a_run_of_pip_that_asks_to_read_is_remembered(home: Path, arguments: list[str], runs: int) -> None:
    answers = {command(home, *arguments).stdout for _ in range(2)}
    assert (len(answers), len(list((home / "credentials").glob("*.run")))) == (1, runs)


@pytest.mark.parametrize(("module", "runs"), [("pip._internal.network.auth", 1), ("twine.auth", 0), ("poetry", 0)])
def test_by_import_only_pip_is_remembered(home: Path, module: str, runs: int) -> None:
    asking = f"import sys; sys.modules[{module!r}] = sys\nfor _ in range(2):\n    import keyring\n"
    child = python(home, "-c", f"{asking}    print(keyring.get_credential({URL!r}, None).password)")
    assert child.stdout == f"{READ[1]}\n" * 2  # no index answers, and who does not answer has refused nothing
    assert len(list((home / "credentials").glob("*.run"))) == runs
