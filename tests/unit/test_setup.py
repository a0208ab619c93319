"""What ``indexpass setup`` changes in the settings of each client, and what it says to the person."""

from __future__ import annotations

import configparser
import json
import os
import shutil
import stat
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import pytest
from click.testing import CliRunner, Result

from indexpass import _cli
from indexpass._cli.setup import redacted_line

if TYPE_CHECKING:
    from pathlib import Path

INDEXES = """
[[index]]
name = "acme"
url = "https://packages.acme.example/simple/"
upload-url = "https://packages.acme.example/legacy/"
broker = "https://tokens.acme.example"

[[index]]
name = "code"
url = "https://github.com/acme/"
provider = "github"
client-id = "Iv23"
"""
CANARY = "canary-77ab"
PIP = "#!/bin/sh\necho 'pip {version} from /somewhere (python 3.11)'\n"
UV_INDEX = '[[index]]\nname = "acme"\nurl = "https://packages.acme.example/simple"\n'


class Home(NamedTuple):
    """A home folder, a folder of programs, and the command run with both and nothing else."""

    folder: Path
    programs: Path

    def run(self, *words: str, says: str | None = None, **more: str) -> Result:
        clean = dict.fromkeys(os.environ)
        environ = {
            "HOME": str(self.folder),
            "INDEXPASS_HOME": str(self.folder / "indexpass"),
            "XDG_CONFIG_DIRS": str(self.folder / "site"),
            "PATH": str(self.programs),
        }
        return CliRunner().invoke(_cli.main, ["setup", *words], input=says, env={**clean, **environ, **more})

    def install(self, name: str, script: str = "#!/bin/sh\n", *, folder: str = "") -> None:
        place = self.programs / folder
        place.mkdir(exist_ok=True)
        (place / name).write_text(script)
        (place / name).chmod(0o755)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return path

    def read(self, name: str) -> str:
        return (self.folder / name).read_bytes().decode()

    def photograph(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.folder)): path.read_bytes() if path.is_file() else b""
            for path in self.folder.rglob("*")
        }


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home", tmp_path / "programs")
    for folder in (home.folder, home.programs):
        folder.mkdir(mode=0o700)
    (home.folder / "indexpass").mkdir(mode=0o700)
    home.write("indexpass/config.toml", INDEXES)
    git = shutil.which("git")
    assert git
    (home.programs / "git").symlink_to(git)
    return home


PIP_CONF, UV_TOML, PYPIRC = ".config/pip/pip.conf", ".config/uv/uv.toml", ".pypirc"
CLIENTS = ("git", "hatch", "pdm", "pip", "shim", "twine", "uv")


@pytest.mark.parametrize("client", CLIENTS)
def test_setup_is_taken_back_byte_for_byte(home: Home, client: str) -> None:
    home.write(PIP_CONF, "# mine\r\n[global]\r\nindex-url = x")
    home.write(UV_TOML, f"# mine\n\n{UV_INDEX}")
    before = home.photograph()
    assert home.run(client, "--yes").exit_code == 0
    assert home.photograph() != before
    result = home.run(client, "--undo")
    assert result.exit_code == 0, result.output
    assert home.photograph() == before


@pytest.mark.parametrize("client", CLIENTS)
def test_a_second_setup_has_nothing_to_change(home: Home, client: str) -> None:
    home.run(client, "--yes")
    before = home.photograph()
    result = home.run(client, "--yes")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "nothing to change" in result.stderr
    assert home.photograph() == before


@pytest.mark.parametrize("words", [["pip", "uv", "--dry-run"], ["pip", "uv"]], ids=["dry run", "a no"])
def test_nothing_is_written_without_a_yes(home: Home, words: list[str]) -> None:
    before = home.photograph()
    result = home.run(*words, says="n\nn\n")
    assert "+keyring-provider = " in result.stdout
    assert home.photograph() == before


def test_what_is_shown_are_the_lines_that_setup_writes(home: Home) -> None:
    home.write(PIP_CONF, f"[global]\nindex-url = https://alice:{CANARY}@x.example/simple\n# {CANARY}\n")
    home.write(PYPIRC, f"[distutils]\nindex-servers = other\n\n[other]\npassword = {CANARY}\n")
    home.write(".gitconfig", f'[url "https://alice:{CANARY}@x.example/"]\n\tinsteadOf = x\n')
    for client in ("pip", "twine", "git"):
        result = home.run(client, "--dry-run")
        assert "\n+" in result.stdout
        assert CANARY not in result.output


@pytest.mark.parametrize(
    ("programs", "provider"),
    [
        ({"pip": "26.3", "beside/keyring": ""}, "subprocess"),
        ({"pip": "26.1", "beside/keyring": ""}, "import"),
        ({"pip": "26.3"}, "subprocess"),
        ({"pip": "26.3", "keyring": ""}, "import"),
    ],
    ids=["keyring elsewhere", "an old pip", "no keyring yet", "keyring beside pip, which skips that one"],
)
def test_pip_asks_in_the_way_that_it_can(home: Home, programs: dict[str, str], provider: str) -> None:
    path = [str(home.programs), str(home.programs / "beside")]
    for name, version in programs.items():
        folder, _, program = name.rpartition("/")
        home.install(program, PIP.format(version=version), folder=folder)
    home.run("pip", "--yes", PATH=os.pathsep.join(path))
    parser = configparser.RawConfigParser()
    parser.read_string(home.read(PIP_CONF))
    assert parser["global"]["keyring-provider"] == provider


def test_a_value_is_changed_where_it_stands(home: Home) -> None:
    home.write(PIP_CONF, "[global]\n  a = 1\n  Keyring_Provider: auto\n  # mine\n  b = 2\n")
    home.install("pip", PIP.format(version="26.1"))
    home.run("pip", "--yes")
    assert home.read(PIP_CONF) == "[global]\n  a = 1\n  Keyring_Provider: import\n  # mine\n  b = 2\n"


def test_pip_that_reads_no_settings_is_an_error(home: Home) -> None:
    result = home.run("pip", "--yes", PIP_CONFIG_FILE=os.devnull)
    assert result.exit_code == 1
    assert "unset PIP_CONFIG_FILE" in result.stderr


def test_a_variable_that_wins_over_the_setting_is_named(home: Home) -> None:
    assert "unset PIP_KEYRING_PROVIDER" in home.run("pip", "--yes", PIP_KEYRING_PROVIDER="disabled").stderr


@pytest.mark.parametrize(
    ("client", "name", "text"),
    [
        ("pip", PIP_CONF, "index-url = x\n"),
        ("pip", PIP_CONF, "[global]\na = 1\na = 2\n"),
        ("pip", PIP_CONF, "\ufeff[global]\n"),
        ("uv", UV_TOML, "a = \n"),
        ("twine", PYPIRC, "[acme]\nrepository = https://other.example/\n"),
        ("twine", PYPIRC, f"[acme]\npassword = {CANARY}\n"),
        ("git", ".gitconfig", "[user\n"),
    ],
    ids=["no section", "twice", "a mark that pip cannot read", "toml", "another repository", "a password", "git"],
)
def test_a_file_that_is_broken_or_about_something_else_is_named_and_left(
    home: Home, client: str, name: str, text: str
) -> None:
    path = home.write(name, text)
    before = home.photograph()
    result = home.run(client, "--yes")
    assert result.exit_code == 1
    assert str(path) in result.stderr
    assert CANARY not in result.output
    assert home.photograph() == before


def test_one_client_that_fails_does_not_keep_another_from_being_set_up(home: Home) -> None:
    home.write(PIP_CONF, "broken\n")
    result = home.run("pip", "uv", "--yes", "--json")
    assert result.exit_code == 1
    assert [(each["client"], each["state"]) for each in json.loads(result.stdout)] == [
        ("pip", "failed"),
        ("uv", "changed"),
    ]


def test_uv_that_is_too_old_is_named(home: Home) -> None:
    home.install("uv", "#!/bin/sh\necho 'uv 0.6.8'\n")
    result = home.run("uv", "--yes")
    assert result.exit_code == 1
    assert "uv self update" in result.stderr


def test_uv_is_told_to_ask_where_one_of_our_indexes_is_named(home: Home) -> None:
    other = '[[index]]\nname = "other"\nurl = "https://other.example/simple"\n'
    publish = 'publish-url = "https://packages.acme.example/legacy/"\n'
    home.write(UV_TOML, f"{UV_INDEX}{publish}\n# about other\n{other}")
    home.run("uv", "--yes")
    assert home.read(UV_TOML) == (
        f'keyring-provider = "subprocess"\n\n{UV_INDEX}authenticate = "always"\n'
        f"{publish.replace('://', '://__token__@')}\n# about other\n{other}"
    )


def test_a_project_is_looked_into_only_if_it_is_named(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "project" / "pyproject.toml"
    file.parent.mkdir()
    text = '[[tool.uv.index]] # ours\nname = "acme"\nurl = "https://packages.acme.example/simple"\n'
    file.write_text(text)
    home.run("uv", "--yes")
    assert file.read_text() == text
    home.run("uv", "--yes", "--project", str(file.parent))
    assert file.read_text() == f'{text}authenticate = "always"\n'


def test_twine_keeps_the_servers_that_are_there(home: Home) -> None:
    home.write(PYPIRC, "[distutils]\nindex-servers =\n\tpypi\n\t# mine\n\tother\n\n[other]\nrepository = https://x/\n")
    home.run("twine", "--yes")
    assert home.read(PYPIRC).startswith("[distutils]\nindex-servers =\n\tpypi\n\t# mine\n\tother\n\tacme\n\n[other]\n")


@pytest.mark.parametrize("client", ["hatch", "pdm", "twine"])
def test_where_nothing_takes_uploads_that_is_said(home: Home, client: str) -> None:
    home.write("indexpass/config.toml", "")
    assert "none of your indexes has an upload URL" in home.run(client, "--yes").stderr


def test_a_new_pypirc_is_this_users_alone(home: Home) -> None:
    home.run("twine", "--yes")
    assert stat.S_IMODE((home.folder / PYPIRC).stat().st_mode) == 0o600


def test_git_asks_our_helper_for_the_repositories_of_the_index_and_no_others(home: Home) -> None:
    home.write(".gitconfig", "[credential]\n\thelper = store\n")
    home.run("git", "--yes")

    def helpers(url: str) -> list[str]:
        environ = {"HOME": str(home.folder), "PATH": os.environ["PATH"]}
        found = subprocess.run(
            ["git", "config", "--global", "--get-urlmatch", "credential.helper", url],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        return found.stdout.splitlines()

    assert helpers("https://github.com/acme/tools.git") == ["!indexpass helper git"]
    assert helpers("https://github.com/other/tools.git") == ["store"]


def test_git_asks_our_helper_alone_and_says_which_repository(home: Home) -> None:
    home.write(".gitconfig", f'[credential]\n\thelper = "!echo password={CANARY}; :"\n')
    home.run("git", "--yes")
    home.install("indexpass", '#!/bin/sh\necho username="$*"; echo password="$(grep path)"\n')
    done = subprocess.run(
        ["git", "credential", "fill"],
        input="protocol=https\nhost=github.com\npath=acme/tools.git\n\n",
        env={"HOME": str(home.folder), "PATH": f"{home.programs}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert "username=helper git get\n" in done.stdout
    assert "password=path=acme/tools.git\n" in done.stdout


def test_what_pip_itself_has_written_since_stays(home: Home) -> None:
    home.run("pip", "--yes")
    home.write(PIP_CONF, f"{home.read(PIP_CONF)}index-url = x\n\n")
    assert home.run("pip", "--undo").exit_code == 0
    parser = configparser.RawConfigParser()
    parser.read_string(home.read(PIP_CONF))
    assert dict(parser["global"]) == {"index-url": "x"}


def test_what_cannot_be_taken_back_is_named_with_what_to_do(home: Home) -> None:
    home.run("hatch", "--yes")
    path = home.folder / ".config" / "hatch" / "config.toml"
    path.write_text(f'{path.read_text()}ca-cert = "x"\n')
    result = home.run("hatch", "--undo")
    assert result.exit_code == 1
    assert f"remove it: {path}" in result.stderr


def test_taking_back_what_was_never_done_is_no_error(home: Home) -> None:
    result = home.run("pip", "--undo")
    assert (result.exit_code, result.stderr) == (0, "pip: nothing to take back\n")


def test_taking_back_all_says_so_where_nothing_was_changed(home: Home) -> None:
    result = home.run("--all", "--undo")
    assert (result.exit_code, result.stderr) == (0, "There is nothing to take back.\n")


def test_taking_back_asks_for_the_clients_to_put_back(home: Home) -> None:
    result = home.run("--undo")
    assert result.exit_code == 2
    assert "name the clients to put back" in result.stderr


def test_a_change_that_a_person_declines_is_left_and_no_success(home: Home) -> None:
    before = home.photograph()
    result = home.run("hatch", says="n\n")
    assert (result.exit_code, home.photograph()) == (1, before)
    assert "hatch is left as it is." in result.stderr


def test_where_nobody_can_answer_the_hint_is_how_not_to_be_asked(home: Home) -> None:
    before = home.photograph()
    result = home.run("hatch", says="")
    assert (result.exit_code, home.photograph()) == (1, before)
    assert "--yes" in result.stderr


def test_all_sets_up_what_is_on_path(home: Home) -> None:
    home.install("pip", PIP.format(version="26.3"))
    home.install("twine")
    result = home.run("--all", "--yes", "--json", PATH=str(home.programs))
    assert [each["client"] for each in json.loads(result.stdout)] == ["git", "pip", "twine"]


REAL = '#!/bin/sh\necho the real one got: "$@"\n'


def test_the_shim_runs_before_the_real_keyring_and_hands_on_what_is_not_ours(home: Home) -> None:
    home.install("keyring", REAL)
    usual = home.folder / ".local" / "bin"
    path = os.pathsep.join([str(usual), str(home.programs), "/usr/bin", "/bin"])
    result = home.run("shim", "--yes", PATH=path)
    assert (result.exit_code, "PATH" in result.stderr) == (0, False)
    environ = {"PATH": path, "HOME": str(home.folder), "INDEXPASS_HOME": str(home.folder / "indexpass")}
    said = subprocess.run(
        ["keyring", "get", "x", "y"], env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    assert said.stdout == "the real one got: get x y\n"
    assert b"indexpass._shim" in (usual / "keyring").read_bytes()


@pytest.mark.parametrize("place", ["programs", ".local/bin"])
def test_the_shim_goes_to_a_folder_of_ours_where_the_real_keyring_comes_first(home: Home, place: str) -> None:
    usual = home.folder / ".local" / "bin"
    usual.mkdir(parents=True)
    home.install("keyring", REAL, folder=str(home.programs if place == "programs" else usual))
    before = {path: path.read_bytes() for path in (*home.programs.iterdir(), *usual.iterdir()) if path.is_file()}
    result = home.run("shim", "--yes", PATH=os.pathsep.join([str(home.programs), str(usual)]))
    own = home.folder / "indexpass" / "bin"
    assert f'export PATH="{own}:$PATH"' in result.stderr
    assert os.access(own / "keyring", os.X_OK)
    assert before == {path: path.read_bytes() for path in before}


def test_poetry_is_told_the_one_command_and_nothing_is_written(home: Home) -> None:
    home.install("poetry", "#!/bin/sh\necho 'Poetry (version 2.5.1)'\n")
    before = home.photograph()
    result = home.run("poetry", "--yes")
    assert "poetry self add indexpass" in result.stderr
    assert home.photograph() == before


@pytest.mark.parametrize(
    "words",
    [[], ["pip", "--all"], ["pip", "--json"], ["npm"], ["pip", "--undo", "--dry-run"]],
    ids=["no client", "two answers", "json that would ask", "a stranger", "two things"],
)
def test_what_is_not_clear_is_wrong_usage(home: Home, words: list[str]) -> None:
    assert home.run(*words).exit_code == 2


@pytest.mark.parametrize(
    "line",
    [
        f" password: {CANARY}=",
        f" \turl = https://me:{CANARY}@packages.acme.example/simple/",
        f"-url = https://me:{CANARY}@packages.acme.example/simple/",
        f"     {CANARY}=",
        f" [acme]  # {CANARY}",
        f" # {CANARY}",
        pytest.param("+" + "://" * 50_000 + CANARY, id="hostile", marks=pytest.mark.timeout(20)),
    ],
)
def test_nothing_of_what_others_keep_in_a_file_is_shown(line: str) -> None:
    assert CANARY not in redacted_line(line)


def test_a_program_is_not_run_in_the_working_directory_nor_from_there(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "poetry").write_text("#!/bin/sh\ntouch ran\n")
    (strange / "poetry").chmod(0o755)
    home.install("poetry", '#!/bin/sh\npwd > "$HOME/place"\necho 2.1.0\n')
    monkeypatch.chdir(strange)
    home.run("poetry", PATH=f".:{home.programs}:/usr/bin:/bin")
    assert not (strange / "ran").exists()
    assert (home.folder / "place").read_text().strip() == str(home.programs)


def test_the_shim_goes_not_where_a_link_of_somebody_else_leads(home: Home) -> None:
    folder = home.folder / ".local" / "bin"
    folder.mkdir(parents=True)
    (folder / "keyring").symlink_to(home.folder / "tools" / "keyring")
    home.run("shim", "--yes", PATH=f"{folder}:{home.programs}")
    assert not (home.folder / "tools").exists()
