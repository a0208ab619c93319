"""``indexpass status`` and the colours of every command, in real pseudo-terminals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from indexpass._cache import Cache
from indexpass._credential import Credential, Index
from indexpass._secret import Secret
from indexpass._url import IndexUrl
from servers.terminals import Shown, run_in_terminal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

if sys.platform == "win32":
    pytest.skip("pseudo-terminals are those of POSIX", allow_module_level=True)

BROKER = "http://127.0.0.1:9"
URL = "https://packages.acme.example/simple/"
ACME = Index("acme", IndexUrl.parse(URL), options=MappingProxyType({"broker": BROKER}))
INDEXPASS = [sys.executable, "-c", "from indexpass._cli import main; main()"]
ESCAPE = "\x1b["


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Return the environment of a user with one index, and a credential that has half its life left."""
    home = tmp_path_factory.mktemp("home")
    home.chmod(0o700)
    (home / "config.toml").write_text(f'[[index]]\nname = "acme"\nurl = "{URL}"\nbroker = "{BROKER}"\n')
    now = time.time()
    Cache(home / "credentials").store(ACME, "read", Credential("__token__", Secret("s"), now - 6000, now + 6000))
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("INDEXPASS_", "COV"))}
    colours = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "PYTHONIOENCODING")
    return {
        **{key: value for key, value in kept.items() if key not in colours},
        "INDEXPASS_HOME": str(home),
        "INDEXPASS_SESSION_STORE": "file",
        "XDG_CONFIG_DIRS": str(home),
        "TERM": "xterm",
        "PYTHONUTF8": "1",
    }


def show(environ: Mapping[str, str], *words: str, columns: int = 120, **more: str) -> Shown:
    return run_in_terminal([*INDEXPASS, *words], {**environ, **more}, columns=columns)


def on_a_pipe(environ: Mapping[str, str], *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*INDEXPASS, *words], env={**environ, **more}, capture_output=True, text=True, check=False, timeout=30
    )


def test_a_wide_terminal_shows_a_table_with_bars(environ: Mapping[str, str]) -> None:
    head, row, remark, _ = show(environ, "status", NO_COLOR="1").text.split("\r\n")
    assert head.split() == ["INDEX", "WHO", "READ", "UPLOAD", "RENEWAL"]
    assert row.split()[:3] == ["acme", "nobody", "█████░░░░░"]
    assert "99 min" in row
    assert "in 7" in row  # 20 minutes before its end, or a little sooner
    assert remark.strip() == "sign in: indexpass login acme"


def test_a_narrow_terminal_shows_the_same_in_lines_that_fit(environ: Mapping[str, str]) -> None:
    lines = show(environ, "status", columns=50, NO_COLOR="1").text.split("\r\n")
    assert lines[0] == f"acme  {URL}"
    assert any(line.startswith("  read      fresh, 01:39:") and line.endswith("█████░░░░░") for line in lines)
    assert max(len(line) for line in lines) <= 50


def test_where_the_terminal_knows_only_ascii_the_bars_are_ascii(environ: Mapping[str, str]) -> None:
    shown = show(environ, "status", PYTHONIOENCODING="ascii")
    assert (shown.status, "#####....." in shown.text) == (0, True)


def test_a_watched_status_is_drawn_again_until_ctrl_c(environ: Mapping[str, str]) -> None:
    shown = run_in_terminal(
        [*INDEXPASS, "status", "--watch", "1"],
        environ,
        until=lambda text: text.count("again in 1 s") == 2,
        then=lambda process: process.send_signal(signal.SIGINT),
    )
    assert shown.status == 0
    assert f"{ESCAPE}5A\r" in shown.text  # it goes up by the lines that it has drawn


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        pytest.param(["--watch"], "needs a terminal", id="pipe"),
        pytest.param(["--watch", "--json"], "leave out --json", id="json"),
        pytest.param(["--watch", "0.1"], "is not in the range", id="too-often"),
    ],
)
def test_what_cannot_be_watched_is_refused(environ: Mapping[str, str], words: list[str], complaint: str) -> None:
    done = on_a_pipe(environ, "status", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr


@pytest.mark.parametrize(
    ("more", "is_coloured"),
    [
        pytest.param({}, True, id="plain"),
        pytest.param({"NO_COLOR": "1"}, False, id="NO_COLOR"),
        pytest.param({"NO_COLOR": ""}, True, id="NO_COLOR-empty"),
        pytest.param({"TERM": "dumb"}, False, id="dumb"),
        pytest.param({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, id="NO_COLOR-wins"),
    ],
)
def test_a_terminal_has_colours_unless_nobody_wants_them(
    environ: Mapping[str, str], more: Mapping[str, str], *, is_coloured: bool
) -> None:
    assert (ESCAPE in show(environ, "status", **more).text) is is_coloured


@pytest.mark.parametrize(
    ("more", "is_coloured"), [({}, False), ({"FORCE_COLOR": "1"}, True)], ids=["plain", "FORCE_COLOR"]
)
def test_a_pipe_has_no_colours_unless_somebody_wants_them(
    environ: Mapping[str, str], more: Mapping[str, str], *, is_coloured: bool
) -> None:
    assert (ESCAPE in on_a_pipe(environ, "status", **more).stdout) is is_coloured


def test_an_error_obeys_no_color_too(environ: Mapping[str, str]) -> None:
    shown = show(environ, "status", "nobody", NO_COLOR="1")
    assert (shown.status, ESCAPE in shown.text) == (1, False)


def test_a_command_of_the_broker_obeys_no_color_too(environ: Mapping[str, str], tmp_path: Path) -> None:
    shown = show(environ, "broker", "policy", "check", str(tmp_path), NO_COLOR="1")
    assert (shown.status, ESCAPE in shown.text) == (1, False)


def test_json_is_never_coloured(environ: Mapping[str, str]) -> None:
    assert json.loads(on_a_pipe(environ, "status", "--json", FORCE_COLOR="1").stdout)[0]["name"] == "acme"
