"""Shell completion, in the real shells: commands, options, names of indexes, and where the script is put."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest
from click.testing import CliRunner

from indexpass._cli import main
from indexpass._cli.completion import VARIABLE

if TYPE_CHECKING:
    from pathlib import Path

    from servers.programs import FindProgram

if sys.platform == "win32":
    pytest.skip("these shells are those of POSIX", allow_module_level=True)

CONFIG = """
[[index]]
name = "acme"
url = "https://packages.acme.example/simple/"
broker = "http://127.0.0.1:9"
"""
# Each prints what its shell would offer for the words after "indexpass", one a line.
DRIVERS = {
    "bash": (
        'source "$SCRIPT"; COMP_WORDS=(indexpass "$@"); COMP_CWORD=$#;'
        ' complete -p indexpass >/dev/null && _indexpass_completion indexpass; printf "%s\\n" "${COMPREPLY[@]}"'
    ),
    "fish": 'source $SCRIPT; complete --do-complete "indexpass $argv" | string split -f1 \\t',
    "zsh": (
        "compdef() { : }; compadd() { print -rl -- $completions };"
        " _describe() { local all=$@[-2]; print -rl -- ${${(P)all}%%:*} };"
        ' source "$SCRIPT"; words=(indexpass "$@"); CURRENT=$#words; _indexpass_completion'
    ),
}


class Desk(NamedTuple):
    """A user with one index, a folder of programs with ``indexpass`` in it, and the shell's own folders."""

    folder: Path

    @property
    def environ(self) -> dict[str, str]:
        return {
            "HOME": str(self.folder),
            "INDEXPASS_HOME": str(self.folder / "indexpass"),
            "XDG_CONFIG_DIRS": str(self.folder),
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "LC_ALL": "C.UTF-8",
        }


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    desk = Desk(tmp_path_factory.mktemp("desk"))
    (desk.folder / "indexpass").mkdir(mode=0o700)
    (desk.folder / "indexpass/config.toml").write_text(CONFIG)
    command = desk.folder / "bin/indexpass"
    command.parent.mkdir()
    command.write_text(f"#!{sys.executable}\nfrom indexpass._cli import main\nmain(prog_name='indexpass')\n")
    command.chmod(0o755)
    return desk


def complete(desk: Desk, shell: Path, script: str, *words: str) -> list[str]:
    """Return what the shell offers for the last of the words."""
    place = desk.folder / f"script.{shell.name}"
    place.write_text(script)
    options = ["--no-config"] if shell.name == "fish" else ["-f"] if shell.name == "zsh" else ["--norc"]
    argument = ["--"] if shell.name == "fish" else ["driver"]
    given = [" ".join(words)] if shell.name == "fish" else words
    done = subprocess.run(
        [str(shell), *options, "-c", DRIVERS[shell.name], *argument, *given],
        env={**desk.environ, "SCRIPT": str(place)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize("name", DRIVERS)
def test_a_real_shell_completes_commands_options_and_indexes(desk: Desk, program: FindProgram, name: str) -> None:
    shell = program(name)
    script = CliRunner().invoke(main, ["completion", name]).stdout
    assert complete(desk, shell, script, "stat") == ["status"]
    assert complete(desk, shell, script, "status", "a") == ["acme"]
    assert complete(desk, shell, script, "broker", "au") == ["audit"]
    assert complete(desk, shell, script, "status", "--js") == ["--json"]


def test_the_script_that_zsh_loads_by_itself_completes_each_time(desk: Desk, program: FindProgram) -> None:
    environ = {"HOME": str(desk.folder), "XDG_DATA_HOME": None}
    assert CliRunner().invoke(main, ["completion", "zsh", "--install"], env=environ).exit_code == 0
    driver = (
        "compdef() { : }; _describe() { local all=$@[-2]; print -rl -- ${${(P)all}%%:*} };"
        " fpath=(~/.local/share/zsh/site-functions $fpath); autoload -U _indexpass;"
        " words=(indexpass stat); CURRENT=2; repeat 3 _indexpass"
    )
    done = subprocess.run(
        [str(program("zsh")), "-f", "-c", driver],
        env=desk.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout.split(), done.stderr) == (["status"] * 3, "")


def ask(words: str, count: int, *, before: str = "", environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Complete as bash's script does, in a fresh process that then prints the modules that it has loaded."""
    code = f"{before}\nimport sys, atexit\natexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
    return subprocess.run(
        [sys.executable, "-c", f"{code}from indexpass._cli import main\nmain(prog_name='indexpass')"],
        env={**environ, VARIABLE: "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(count)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(("words", "count"), [("indexpass ", 1), ("indexpass broker ", 2)], ids=["client", "broker"])
def test_to_complete_a_command_loads_none(desk: Desk, words: str, count: int) -> None:
    done = ask(words, count, environ=desk.environ)
    assert "plain,explain" in done.stdout
    loaded = {name for name in done.stderr.split() if name.startswith("indexpass.")}
    assert not {name for name in loaded if name.startswith(("indexpass._cli.", "indexpass.broker.commands."))}
    assert not {"requests", "sqlalchemy", "uv"} & set(done.stderr.split())


def test_what_is_not_installed_completes_to_nothing_and_no_traceback(desk: Desk) -> None:
    without = "import sys; sys.modules['sqlalchemy'] = None"
    done = ask("indexpass broker audit --", 3, before=without, environ=desk.environ)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_broken_file_completes_to_nothing_and_no_traceback(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[[index]")
    done = ask("indexpass status ", 2, environ={**desk.environ, "INDEXPASS_HOME": str(tmp_path)})
    assert (done.stdout.strip(), "Traceback" in done.stderr) == ("", False)


@pytest.mark.parametrize(
    ("shell", "place"),
    [
        pytest.param("bash", ".local/share/bash-completion/completions/indexpass", id="bash"),
        pytest.param("zsh", ".local/share/zsh/site-functions/_indexpass", id="zsh"),
        pytest.param("fish", ".config/fish/completions/indexpass.fish", id="fish"),
    ],
)
def test_it_is_installed_where_the_shell_looks_and_can_be_installed_again(
    tmp_path: Path, shell: str, place: str
) -> None:
    environ = {"HOME": str(tmp_path), "XDG_DATA_HOME": None, "XDG_CONFIG_HOME": None, "BASH_COMPLETION_USER_DIR": None}
    for _ in range(2):
        result = CliRunner().invoke(main, ["completion", shell, "--install"], env=environ)
        assert (result.exit_code, result.stdout) == (0, "")
    assert VARIABLE in (tmp_path / place).read_text()
    assert str(tmp_path / place) in result.stderr


def test_what_somebody_else_has_written_there_is_kept(tmp_path: Path) -> None:
    place = tmp_path / "fish/completions/indexpass.fish"
    place.parent.mkdir(parents=True)
    place.write_text("# my own\n")
    result = CliRunner().invoke(main, ["completion", "fish", "--install"], env={"XDG_CONFIG_HOME": str(tmp_path)})
    assert (result.exit_code, place.read_text()) == (1, "# my own\n")
    assert "somebody else's" in result.stderr
