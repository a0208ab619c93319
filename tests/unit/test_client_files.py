"""Where each client keeps its settings, on Linux, macOS and Windows."""

from __future__ import annotations

from pathlib import Path

import pytest
from platformdirs.unix import Unix

from indexpass._clients import CLIENTS, files, files_of

LINUX = {"HOME": "/home/alice"}
MACOS = {"HOME": "/Users/alice"}
WINDOWS = {
    "USERPROFILE": "C:/Users/alice",
    "APPDATA": "C:/Users/alice/AppData/Roaming",
    "LOCALAPPDATA": "C:/Users/alice/AppData/Local",
    "PROGRAMDATA": "C:/ProgramData",
}


@pytest.mark.parametrize(
    ("platform", "environ", "client", "path"),
    [
        ("linux", LINUX, "pip", "/home/alice/.config/pip/pip.conf"),
        ("linux", LINUX, "uv", "/home/alice/.config/uv/uv.toml"),
        ("linux", LINUX, "poetry", "/home/alice/.config/pypoetry/config.toml"),
        ("linux", LINUX, "git", "/home/alice/.gitconfig"),
        ("darwin", MACOS, "pip", "/Users/alice/Library/Application Support/pip/pip.conf"),
        ("darwin", MACOS, "uv", "/Users/alice/.config/uv/uv.toml"),
        ("darwin", MACOS, "hatch", "/Users/alice/Library/Application Support/hatch/config.toml"),
        ("win32", WINDOWS, "pip", "C:/Users/alice/AppData/Roaming/pip/pip.ini"),
        ("win32", WINDOWS, "uv", "C:/Users/alice/AppData/Roaming/uv/uv.toml"),
        ("win32", WINDOWS, "pdm", "C:/Users/alice/AppData/Local/pdm/pdm/config.toml"),
        ("win32", WINDOWS, "twine", "C:/Users/alice/.pypirc"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_users_own_file_is_where_the_client_looks(
    platform: str, environ: dict[str, str], client: str, path: str
) -> None:
    own = [file.path for file in files_of(client, environ, platform=platform) if file.scope == "user"]
    assert own[0] == Path(path)


@pytest.mark.parametrize(
    ("client", "name"), [("pdm", "pdm"), ("hatch", "hatch"), ("poetry", "pypoetry")], ids=["pdm", "hatch", "poetry"]
)
def test_the_folders_on_linux_are_those_of_platformdirs(
    client: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    own = next(f for f in files_of(client, {"HOME": str(tmp_path)}, platform="linux") if f.scope == "user")
    theirs = Path(Unix(name, appauthor=False).user_config_dir).relative_to(Path.home())
    assert own.path.parent == tmp_path / theirs


def test_a_file_that_a_variable_names_wins() -> None:
    environ = {**LINUX, "PIP_CONFIG_FILE": "/one", "UV_CONFIG_FILE": "/two", "NETRC": "/three"}
    for client, path in (("pip", "/one"), ("uv", "/two"), ("netrc", "/three")):
        first = files_of(client, environ, platform="linux")[0]
        assert (first.path, first.scope) == (Path(path), "environment")


def test_a_project_adds_its_own_files() -> None:
    project = Path("/srv/project")
    found = {file.path.name for file in files(LINUX, project, platform="linux") if file.scope == "project"}
    assert found == {"uv.toml", "pyproject.toml", "poetry.toml", "pdm.toml", "hatch.toml", "config"}


def test_every_client_has_a_file_on_every_platform() -> None:
    for platform, environ in (("linux", LINUX), ("darwin", MACOS), ("win32", WINDOWS)):
        assert {file.client for file in files(environ, platform=platform)} == {*CLIENTS, "netrc"}
