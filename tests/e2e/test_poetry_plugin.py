"""The real Poetry, as a subprocess, with the plugin in its environment: a private index and a broker on loopback.

Poetry's keyring is off unless a test says otherwise, so whatever reaches the index came from the plugin.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest

from indexpass.poetry_plugin import seams

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
IDENTITY = "aaaa.bbbb.cccc"
CANARY = "canary-9f3a"
WHEEL = "demo-1.0-py3-none-any.whl"
MODULES = """
import atexit, sys
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
from poetry.console.application import main
main()
"""
# Poetry itself goes on as before: only what looks for an ordinary method finds none.
IN_ANOTHER_SHAPE = """
from functools import partial
from {seam.module} import {seam.owner}

class InAnotherShape:
    def __init__(self, method):
        self.method = method

    def __get__(self, instance, owner=None):
        return partial(self.method.__get__(instance, owner))

{seam.owner}.{seam.method} = InAnotherShape(vars({seam.owner})["{seam.method}"])
"""
PYPROJECT = """
[project]
name = "app"
version = "1.0"
requires-python = ">=3.10"
dependencies = ["demo"]

[[tool.poetry.source]]
name = "acme"
url = "{url}/index/simple/"
"""


class Platform(ThreadingHTTPServer):
    """An index and its broker on one port. A token is good for one operation, and until it is revoked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.tokens: dict[str, str] = {}
        self.minted: list[str] = []
        self.passwords: set[str] = set()
        self.secrets: list[str] = []
        self.uploads: list[bytes] = []
        self.wheel = make_wheel("demo")

    def mint(self, scope: str) -> str:
        token = f"{CANARY}-{len(self.minted)}"
        self.minted.append(scope)
        self.tokens[token] = scope
        return token


class Handler(BaseHTTPRequestHandler):
    server: Platform

    def do_GET(self) -> None:
        if self.path.startswith("/.well-known/oauth-authorization-server"):
            self._send_json(
                {
                    "issuer": self.server.url,
                    "token_endpoint": f"{self.server.url}/oauth/token",
                    "device_authorization_endpoint": f"{self.server.url}/oauth/device_authorization",
                    "revocation_endpoint": f"{self.server.url}/oauth/revoke",
                    "jwks_uri": f"{self.server.url}/jwks.json",
                }
            )
        elif not self._is_allowed("pypi:read"):
            self._refuse()
        elif self.path == f"/files/{WHEEL}":
            self._send(self.server.wheel, "application/octet-stream")
        else:
            digest = hashlib.sha256(self.server.wheel).hexdigest()
            self._send(f'<a href="/files/{WHEEL}#sha256={digest}">{WHEEL}</a>'.encode(), "text/html")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/oauth/token":
            form = parse_qs(body.decode())
            assert form["subject_token"] == [IDENTITY]
            scope = form["scope"][0]
            self._send_json(
                {"access_token": self.server.mint(scope), "token_type": "Bearer", "expires_in": 3600, "scope": scope}
            )
        elif self._is_allowed("pypi:write"):
            self.server.uploads.append(body)
            self._send(b"", "text/plain")
        else:
            self._refuse()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _is_allowed(self, scope: str) -> bool:
        authorization = self.headers.get("Authorization", "")
        secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")[2]
        self.server.secrets.append(secret)
        return secret in self.server.passwords or self.server.tokens.get(secret) == scope

    def _refuse(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="index"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send_json(self, body: dict[str, object]) -> None:
        self._send(json.dumps(body).encode(), "application/json")

    def _send(self, body: bytes, content_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Vary", "Authorization")  # the header that makes HTTP caches keep what it names
        self.send_header("Cache-Control", "max-age=600")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def make_wheel(name: str) -> bytes:
    buffer = io.BytesIO()
    folder = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(buffer, "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        wheel.writestr(f"{folder}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{folder}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{folder}/RECORD", "")
    return buffer.getvalue()


class Project:
    """A project in a temporary folder, and Poetry to run in it."""

    def __init__(self, python: Path, folder: Path, platform: Platform) -> None:
        self.python = python
        self.folder = folder
        self.platform = platform
        self.root = folder / "project"
        self.root.mkdir()
        (self.root / "pyproject.toml").write_text(PYPROJECT.format(url=platform.url))
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "NO_PROXY": "*",
            "INDEXPASS_HOME": str(folder / "indexpass"),
            "INDEXPASS_INDEX_URL": f"{platform.url}/index/simple/",
            "INDEXPASS_FILES_URL": f"{platform.url}/files/",
            "INDEXPASS_UPLOAD_URL": f"{platform.url}/index/legacy/",
            "INDEXPASS_BROKER": platform.url,
            "INDEXPASS_IDENTITY_TOKEN": IDENTITY,
            "POETRY_CACHE_DIR": str(folder / "cache"),
            "POETRY_CONFIG_DIR": str(folder / "config"),
            "POETRY_VIRTUALENVS_IN_PROJECT": "true",
            "POETRY_KEYRING_ENABLED": "false",
            "POETRY_REPOSITORIES_ACME_URL": f"{platform.url}/index/legacy/",
        }

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run Poetry; its error output ends with the names of all modules that it has loaded."""
        return subprocess.run(
            [self.python, "-c", MODULES, "--no-interaction", *arguments],
            cwd=self.root,
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def publish(self, **environ: str) -> subprocess.CompletedProcess[str]:
        (self.root / "dist").mkdir(exist_ok=True)
        (self.root / "dist" / "app-1.0-py3-none-any.whl").write_bytes(make_wheel("app"))
        return self.run("publish", "--repository", "acme", **environ)

    def age_credentials(self, seconds: float) -> None:
        """Let what is held look older: a credential that is refused within seconds of its issue is not renewed."""
        for path in (self.folder / "indexpass").rglob("*.credential"):
            entry = json.loads(path.read_text())
            path.write_text(json.dumps({**entry, "issued_at": entry["issued_at"] - seconds}))


@pytest.fixture(scope="session")
def poetry_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Python with Poetry and indexpass; INDEXPASS_TEST_POETRY may name a ready one."""
    if ready := os.environ.get("INDEXPASS_TEST_POETRY"):
        return Path(ready)
    folder = tmp_path_factory.mktemp("poetry")
    uv = [sys.executable, "-m", "uv"]
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    subprocess.run([*uv, "pip", "install", "--quiet", "--python", python, "poetry>=2,<3", ROOT], check=True)
    return python


@pytest.fixture
def platform() -> Iterator[Platform]:
    with Platform() as platform:
        thread = threading.Thread(target=platform.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield platform
        platform.shutdown()
        thread.join()


@pytest.fixture
def project(poetry_python: Path, platform: Platform, tmp_path: Path) -> Project:
    return Project(poetry_python, tmp_path, platform)


def test_lock_and_install_work_with_the_keyring_off(project: Project) -> None:
    locked = project.run("lock")
    assert locked.returncode == 0, locked.stderr
    result = project.run("install", "--no-root")
    assert result.returncode == 0, result.stderr
    assert list((project.root / ".venv").rglob("demo.py"))


def test_a_lock_costs_one_mint_and_sends_nothing_unsigned(project: Project, platform: Platform) -> None:
    result = project.run("lock")
    assert (result.returncode, platform.minted, set(platform.secrets)) == (0, ["pypi:read"], {f"{CANARY}-0"})


def test_publish_works_with_the_keyring_off(project: Project, platform: Platform) -> None:
    result = project.publish()
    assert (result.returncode, len(platform.uploads)) == (0, 1), result.stderr
    assert platform.minted == ["pypi:write"]


def test_credentials_configured_in_poetry_win_and_nothing_is_minted(project: Project, platform: Platform) -> None:
    platform.passwords = {"own"}
    result = project.run("lock", POETRY_HTTP_BASIC_ACME_USERNAME="me", POETRY_HTTP_BASIC_ACME_PASSWORD="own")
    assert (result.returncode, set(platform.secrets), platform.minted) == (0, {"own"}, [])


def test_wrong_credentials_configured_in_poetry_are_not_replaced_by_ours(project: Project, platform: Platform) -> None:
    result = project.run("lock", POETRY_HTTP_BASIC_ACME_USERNAME="me", POETRY_HTTP_BASIC_ACME_PASSWORD="wrong")
    assert (result.returncode, set(platform.secrets), platform.minted) == (1, {"wrong"}, [])


def test_a_token_revoked_before_its_time_is_renewed_in_mid_run(project: Project, platform: Platform) -> None:
    project.run("lock")
    platform.tokens.clear()
    project.age_credentials(60)
    result = project.run("lock", "--no-cache")
    assert result.returncode == 0, result.stderr
    assert platform.minted == ["pypi:read", "pypi:read"]


def test_after_a_refused_upload_the_next_run_carries_another_token(project: Project, platform: Platform) -> None:
    first = project.publish()
    platform.tokens.clear()
    project.age_credentials(60)
    assert [first.returncode, project.publish().returncode, project.publish().returncode] == [0, 1, 0]


def test_no_secret_is_printed_or_kept_outside_our_own_folder(project: Project, platform: Platform) -> None:
    shown = [project.run("lock", "-vvv"), project.run("install", "--no-root", "-vvv"), project.publish()]
    platform.tokens.clear()
    shown.append(project.publish())
    assert [result.returncode for result in shown] == [0, 0, 0, 1]
    assert not [text for result in shown for text in (result.stdout, result.stderr) if CANARY in text]
    encoded = base64.b64encode(f"__token__:{CANARY}".encode())[:-4]
    files = [path for path in project.folder.rglob("*") if path.is_file()]
    holders = [path for path in files if CANARY.encode() in path.read_bytes() or encoded in path.read_bytes()]
    assert {path.relative_to(project.folder).parts[0] for path in holders} == {"indexpass"}


def test_poetry_version_asks_nothing_and_loads_no_more_than_the_plugin(project: Project, platform: Platform) -> None:
    result = project.run("version")
    loaded = {name for name in result.stderr.split() if name.startswith("indexpass.")}
    assert (result.returncode, platform.secrets) == (0, [])
    assert loaded == {f"indexpass.poetry_plugin{name}" for name in ("", ".plugin", ".seams")}


def test_with_the_keyring_on_everything_works_too(project: Project, platform: Platform) -> None:
    result = project.run("lock", POETRY_KEYRING_ENABLED="true")
    assert (result.returncode, len(platform.minted)) == (0, 1), result.stderr


def test_with_the_keyring_on_a_revoked_token_is_renewed_too(project: Project, platform: Platform) -> None:
    first = project.run("lock", POETRY_KEYRING_ENABLED="true")
    platform.tokens.clear()
    project.age_credentials(60)
    result = project.run("lock", "--no-cache", POETRY_KEYRING_ENABLED="true")
    assert (first.returncode, result.returncode) == (0, 0), result.stderr


@pytest.mark.parametrize(
    ("seam", "minted"),
    [
        (seams.READING, "pypi:read"),
        (seams.ASKING_FOR_GIT, "pypi:read"),
        (seams.ASKING_KEYRING, "pypi:read"),
        (seams.UPLOADING, "pypi:write"),
    ],
    ids=str,
)
def test_where_a_seam_has_changed_one_line_says_so_and_the_keyring_backend_serves(
    project: Project, platform: Platform, seam: seams.Seam, minted: str
) -> None:
    (project.folder / "sitecustomize.py").write_text(IN_ANOTHER_SHAPE.format(seam=seam))
    environ = {"PYTHONPATH": str(project.folder), "POETRY_KEYRING_ENABLED": "true"}
    result = project.publish(**environ) if seam == seams.UPLOADING else project.run("lock", **environ)
    assert (result.returncode, platform.minted) == (0, [minted]), result.stderr
    assert result.stderr.count("indexpass: ") == 1
    assert result.stderr.count(f"no usable {seam}, {seam.otherwise}") == 1
