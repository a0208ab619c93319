"""The page on writing a provider holds: its package is built and found, keeps the contract, and serves the real pip."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from indexpass.testing import FakeIndex, Reply

if TYPE_CHECKING:
    from indexpass.testing import Request

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "plugin-docs/how-to/write-a-provider.md").read_text(encoding="utf-8")
API = (ROOT / "plugin-docs/reference/python-api.md").read_text(encoding="utf-8")
MAX_LINES = 40
TOKEN = "a-token-of-depot"
QUIET = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_CONFIG_FILE": os.devnull, "NO_PROXY": "*"}
FILES = re.compile(r"^`([\w.]+)`(?: [^\n]*)?:\n\n```(?:python|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TOML = re.compile(r"^```toml\n(\[\[index\]\].*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return dict(FILES.findall(PAGE))


@pytest.fixture(scope="module")
def installed(files: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder into which pip has built and installed the page's package."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    for name in ("indexpass_depot.py", "pyproject.toml"):
        (source / name).write_text(files[name], encoding="utf-8")
    run("pip", "install", "--no-build-isolation", "--no-deps", "--no-index", "--target", str(target), str(source))
    return target


def run(*words: str, environ: dict[str, str] | None = None, folder: Path | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "INDEXPASS_", "XDG_"))}
        | QUIET
        | (environ or {}),
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def test_the_provider_has_at_most_forty_lines(files: dict[str, str]) -> None:
    assert len(files["indexpass_depot.py"].splitlines()) <= MAX_LINES


def test_the_page_s_test_finds_nothing_to_object_to(files: dict[str, str], installed: Path, tmp_path: Path) -> None:
    (tmp_path / "test_depot.py").write_text(files["test_depot.py"], encoding="utf-8")
    said = run("pytest", "-q", "-p", "no:cacheprovider", ".", environ={"PYTHONPATH": str(installed)}, folder=tmp_path)
    assert re.search(r"^[2-9]\d passed", said, re.MULTILINE)


def test_pip_installs_with_the_page_s_provider(installed: Path, tmp_path: Path) -> None:
    def depot(request: Request) -> Reply | None:
        if request.path != "/api/token":
            return None
        is_known = request.json == {"proof": "header.claims.signature", "scope": "packages:read"}
        return Reply(200, {"token": TOKEN, "expires_in": 3600}) if is_known else Reply.refused()

    with FakeIndex([("token", TOKEN)], beside=depot) as index:
        file = index.add("acme-tools", "1.0")
        (settings,) = TOML.findall(PAGE)
        (tmp_path / "indexpass").mkdir(mode=0o700)
        (tmp_path / "indexpass/config.toml").write_text(
            settings.replace("https://depot.acme.example/simple/", index.index_url), encoding="utf-8"
        )
        environ = {name: str(tmp_path) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME")}
        environ |= {"PYTHONPATH": str(installed), "INDEXPASS_IDENTITY_TOKEN": "header.claims.signature"}
        words = ("--index-url", index.index_url, "--keyring-provider", "import", "--no-deps", "--no-cache-dir")
        run("pip", "download", *words, "--dest", str(tmp_path / "wheels"), "acme-tools", environ=environ)
        assert [path.name for path in (tmp_path / "wheels").iterdir()] == [file]
        assert [request.path for request in index.asked].count("/api/token") == 1


def test_pip_downloads_in_the_example_of_the_doubles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```$", API, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    exec(example, {})  # noqa: S102  # our own page
    assert [path.name for path in tmp_path.glob("*.whl")] == ["acme_tools-1.0-py3-none-any.whl"]
