"""Where things stand, held equal to what platformdirs says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from indexpass._locations import Locations, locate
from indexpass.errors import ConfigError

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere platformdirs itself is asked")
as_root = pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can become another user")

COMPARE = """
import json, os, platformdirs
from indexpass._locations import locate
ours = locate(os.environ)
theirs = {
    "site_file": platformdirs.site_config_path("indexpass", appauthor=False) / "config.toml",
    "user_file": platformdirs.user_config_path("indexpass", appauthor=False) / "config.toml",
    "credentials": platformdirs.user_cache_path("indexpass", appauthor=False) / "credentials",
    "sessions": platformdirs.user_state_path("indexpass", appauthor=False) / "sessions",
}
print(json.dumps([{k: str(v) for k, v in ours._asdict().items()}, {k: str(v) for k, v in theirs.items()}]))
"""
# What is imported has to be imported first: the other user may not be able to read it.
LOCATE_AS = """
import os, pwd, sys
from indexpass._locations import locate
if sys.argv[1]:
    os.setuid(int(sys.argv[1]))
print(*locate({}), sep="\\n")
"""


def in_home(folder: str) -> Locations:
    home = Path(folder)
    return Locations(locate({}).site_file, home / "config.toml", home / "credentials", home / "sessions")


@on_linux
@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({}, id="nothing-set"),
        pytest.param({"HOME": "/home/eve"}, id="a-home"),
        pytest.param({"HOME": "/home/eve", "XDG_CONFIG_HOME": "/c"}, id="config"),
        pytest.param({"HOME": "/home/eve", "XDG_CACHE_HOME": "/c"}, id="cache"),
        pytest.param({"HOME": "/home/eve", "XDG_STATE_HOME": "/s"}, id="state"),
        pytest.param({"HOME": "/home/eve", "XDG_CONFIG_DIRS": "/etc/other"}, id="one-site-folder"),
        pytest.param({"HOME": "/home/eve", "XDG_CONFIG_DIRS": "/etc/other:/etc/xdg"}, id="two-site-folders"),
        pytest.param(
            {"HOME": "/home/eve", "XDG_CONFIG_HOME": "", "XDG_CACHE_HOME": "", "XDG_CONFIG_DIRS": ""}, id="empty"
        ),
        pytest.param({"HOME": "/home/eve", "XDG_CONFIG_HOME": "/c/", "XDG_CONFIG_DIRS": "/d/"}, id="trailing-slashes"),
        pytest.param({"HOME": "/home/éve", "XDG_CACHE_HOME": "/ca che"}, id="unusual-characters"),
    ],
)
def test_on_linux_the_folders_are_those_of_platformdirs(environ: dict[str, str]) -> None:
    child = subprocess.run(
        [sys.executable, "-c", COMPARE], env=environ, capture_output=True, check=True, timeout=60, encoding="utf-8"
    )
    ours, theirs = json.loads(child.stdout)
    assert ours == theirs


@on_linux
@pytest.mark.parametrize("value", [".", "config", "./config", "~/.config", "../etc", " /config"])
@pytest.mark.parametrize("variable", ["XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_DIRS"])
def test_a_relative_folder_is_ignored_because_the_working_directory_is_a_stranger_s(variable: str, value: str) -> None:
    assert locate({variable: value}) == locate({})


@on_linux
@pytest.mark.parametrize("value", [":/etc/other", "etc:/etc/other", "~/x::/etc/other"])
def test_the_site_folder_is_the_first_absolute_one(value: str) -> None:
    assert locate({"XDG_CONFIG_DIRS": value}).site_file == Path("/etc/other/indexpass/config.toml")


@on_linux
@pytest.mark.parametrize(
    ("environ", "user"),
    [
        pytest.param({"HOME": "relative"}, None, id="a-relative-home"),
        pytest.param({}, 4_000_000, id="a-user-whom-no-file-knows", marks=as_root),
    ],
)
def test_a_user_without_a_home_has_folders_where_nothing_is(environ: dict[str, str], user: int | None) -> None:
    child = subprocess.run(
        [sys.executable, "-c", LOCATE_AS, str(user or "")],
        env=environ,
        capture_output=True,
        check=True,
        timeout=60,
        encoding="utf-8",
    )
    assert child.stdout.splitlines()[1:] == [
        "/nonexistent/.config/indexpass/config.toml",
        "/nonexistent/.cache/indexpass/credentials",
        "/nonexistent/.local/state/indexpass/sessions",
    ]


def test_indexpass_home_holds_all_of_the_users_files(tmp_path: Path) -> None:
    assert locate({"INDEXPASS_HOME": str(tmp_path)}) == in_home(str(tmp_path))


@on_linux
def test_indexpass_home_beats_the_xdg_folders(tmp_path: Path) -> None:
    environ = {"INDEXPASS_HOME": str(tmp_path), "XDG_CONFIG_HOME": "/c", "XDG_CACHE_HOME": "/c", "XDG_STATE_HOME": "/s"}
    assert locate(environ) == in_home(str(tmp_path))


def test_an_empty_indexpass_home_counts_as_not_set() -> None:
    assert locate({"INDEXPASS_HOME": ""}) == locate({})


@pytest.mark.parametrize("home", [".", "home", "~/indexpass"])
def test_a_relative_indexpass_home_is_refused(home: str) -> None:
    with pytest.raises(ConfigError, match="INDEXPASS_HOME"):
        locate({"INDEXPASS_HOME": home})
