"""``indexpass exec`` as a script meets it: what the command gets, what is left of it, and who gets signals."""

from __future__ import annotations

import base64
import json
import os
import signal
import stat
import subprocess
import sys
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import pytest

from indexpass._cache import Cache
from indexpass._exec import netrc_text
from indexpass._exec.forms import FORMS
from indexpass._exec.masks import mask_lines
from indexpass._exec.run_folder import run_folder
from indexpass._model import Credential, Index, Operation
from indexpass._secret import Secret
from indexpass._url import IndexUrl
from indexpass.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "canary-7d1f"
SECONDS = 30
BROKER = MappingProxyType({"broker": "http://127.0.0.1:9"})  # the port where nobody answers
ACME = Index(
    "acme",
    IndexUrl.parse("https://packages.acme.example/simple/"),
    upload_url=IndexUrl.parse("https://packages.acme.example/legacy/"),
    options=BROKER,
)
BRIEF = Index("brief.one", IndexUrl.parse("https://brief.example/b/simple/"), options=BROKER)
COMMAND = "from indexpass._cli import main; main()"
SEE = "import os, pathlib; path = pathlib.Path(os.environ['NETRC']); print(path, path.read_text(), sep='\\n')"
LINGER = """
import os, signal, sys, time
signal.signal(getattr(signal, sys.argv[1]), lambda *_: (print("heard", flush=True), os._exit(5)))
print(os.environ["NETRC"], os.getpid(), flush=True)
time.sleep(60)
"""
APART = """
import os, signal, time
heard = []
signal.signal(signal.SIGINT, lambda *_: heard.append(1))
os.setpgid(0, 0)  # from here on, what is typed reaches us through somebody else only
print("ready", flush=True)
time.sleep(0.5)
print(len(heard))
"""
posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


class Home(NamedTuple):
    """A user's own folder, in which the credential for an index is held already."""

    folder: Path

    def environ(self, **more: str) -> dict[str, str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("INDEXPASS_")}
        own = {"INDEXPASS_HOME": str(self.folder), "INDEXPASS_SESSION_STORE": "file", "HOME": str(self.folder)}
        return {**clean, **own, "XDG_CONFIG_DIRS": str(self.folder), **more}

    def configure(self, *indexes: Index, more: str = "") -> None:
        tables = [
            f'[[index]]\nname = "{index.name}"\nurl = "{index.url}"\nbroker = "{index.options["broker"]}"\n'
            + (f'upload-url = "{index.upload_url}"\n' if index.upload_url else "")
            for index in indexes
        ]
        (self.folder / "config.toml").write_text("".join(tables) + more)

    def hold(self, index: Index, operation: Operation = "read", *, life: float = 3600) -> None:
        now = time.time()
        credential = Credential("__token__", Secret(f"{CANARY}-{index.name}-{operation}"), now, now + life)
        Cache(self.folder / "credentials").store(index, operation, credential)

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-c", COMMAND, "exec", *words]

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(*words),
            env=self.environ(**more),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.argv(*words), env=self.environ(), stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    def left(self) -> list[str]:
        return [path.name for path in (self.folder / "exec").rglob("*") if path.name != "turn.lock"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.folder.mkdir(mode=0o700)
    home.configure(ACME)
    home.hold(ACME)
    home.hold(ACME, "upload")
    return home


def handed(index: Index, *, secret: str = CANARY) -> tuple[Index, Credential]:
    return index, Credential("__token__", Secret(secret), 0.0, None)


# The file


def test_the_command_finds_its_credentials_in_the_file_that_netrc_names(home: Home) -> None:
    done = home.run("--", sys.executable, "-c", SEE)
    _, *entries = done.stdout.splitlines()
    assert entries[0] == f"machine packages.acme.example login __token__ password {CANARY}-acme-read"
    assert done.returncode == 0


@posix
def test_nobody_else_can_read_the_file(home: Home) -> None:
    see = "import os; f = os.environ['NETRC']; print(os.stat(f).st_mode, os.stat(os.path.dirname(f)).st_mode)"
    modes = [stat.S_IMODE(int(word)) for word in home.run("--", sys.executable, "-c", see).stdout.split()]
    assert modes == [0o600, 0o700]


@pytest.mark.parametrize("code", ["pass", "raise SystemExit(7)"], ids=["done", "failed"])
def test_nothing_is_left_when_the_command_ends(home: Home, code: str) -> None:
    home.run("--", sys.executable, "-c", code)
    assert home.left() == []


def test_the_command_can_take_the_path_where_it_wants(home: Home) -> None:
    done = home.run("--", sys.executable, "-c", "import os, sys; print(sys.argv, os.environ['NETRC'])", "src={netrc}")
    assert f"'src={done.stdout.split()[-1]}'" in done.stdout


def test_the_path_needs_a_file(home: Home) -> None:
    done = home.run("--as", "uv", "--", sys.executable, "{netrc}")
    assert (done.returncode, done.stdout) == (2, "")


def test_by_default_no_secret_is_in_the_environment_or_a_command_line(home: Home) -> None:
    see = "import os, sys; print(os.environ, sys.orig_argv, open(f'/proc/{os.getppid()}/cmdline').read())"
    done = home.run("--", sys.executable, "-c", see, "{netrc}")
    assert "'NETRC'" in done.stdout
    assert CANARY not in done.stdout + done.stderr


@posix
def test_a_file_that_was_left_by_a_killed_run_is_removed_by_the_next(home: Home) -> None:
    with home.start("--", sys.executable, "-c", LINGER, "SIGTERM") as run:
        assert run.stdout
        path, child = run.stdout.readline().split()
        run.kill()
        os.kill(int(child), signal.SIGKILL)
        run.wait(SECONDS)
    assert os.path.exists(path)  # noqa: PTH110  # a text
    home.run("--", sys.executable, "-c", "pass")
    assert home.left() == []


def test_the_file_of_a_run_that_lives_stays(tmp_path: Path) -> None:
    with run_folder(tmp_path / "exec") as first:
        with run_folder(tmp_path / "exec"):
            pass
        assert first.is_dir()


def test_two_indexes_on_one_host_are_a_tie(home: Home) -> None:
    second = BRIEF._replace(url=IndexUrl.parse("https://packages.acme.example/b/simple/"))
    home.configure(ACME, second)
    home.hold(second)
    done = home.run("--", sys.executable, "-c", "print('ran')")
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot tell the indexes at packages.acme.example apart" in done.stderr


def test_what_the_person_s_own_file_says_of_other_hosts_stays(home: Home) -> None:
    own = home.folder / ".netrc"
    own.write_text(
        "default login d password e\nmachine other.example login a password b\nmachine packages.acme.example"
    )
    # Before Python 3.11, quotes make the whole file unreadable to the standard library, as the warning then says.
    quoted = 'machine "two words" login a password b\n' if sys.version_info >= (3, 11) else ""
    own.write_text(f"{own.read_text()} login mine password old\n{quoted}")
    own.chmod(0o600)
    _, *lines = home.run("--", sys.executable, "-c", SEE).stdout.split("\n")
    assert lines[:3] == [
        "machine other.example login a password b",
        f"machine packages.acme.example login __token__ password {CANARY}-acme-read",
        "default login d password e",
    ]


def test_a_broken_file_of_the_person_is_left_out_and_not_quoted(home: Home) -> None:
    (home.folder / ".netrc").write_text("machine other.example login a password\nhunter2 hunter2\n")
    done = home.run("--", sys.executable, "-c", "print('ran')")
    assert done.stdout == "ran\n"
    assert "warning: left out for this command: " in done.stderr
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize("secret", ['a"b', "a b", "a\\b", "#a", "a\nb", "ä"], ids=ascii)
def test_what_readers_would_read_differently_is_not_written(secret: str) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        netrc_text.write([handed(ACME, secret=secret)], {})


# Which indexes


def test_all_configured_indexes_are_open_unless_one_is_named(home: Home) -> None:
    home.configure(ACME, BRIEF)
    home.hold(BRIEF)
    assert home.run("--", sys.executable, "-c", SEE).stdout.count("machine ") == 2
    assert home.run("--index", "brief.one", "--", sys.executable, "-c", SEE).stdout.count("machine ") == 1


def test_repositories_are_for_git_s_own_helper(home: Home) -> None:
    home.configure(ACME, more='[[index]]\nname = "tools"\nurl = "https://github.com/acme/"\nprovider = "github"\n')
    done = home.run("--", sys.executable, "-c", SEE)
    assert "github.com" not in done.stdout
    assert done.returncode == 0


def test_where_a_sign_in_is_needed_the_command_does_not_run(home: Home) -> None:
    home.configure(BRIEF)
    done = home.run("--", sys.executable, "-c", "print('ran')")
    assert (done.returncode, done.stdout) == (3, "")


def test_how_long_a_credential_is_good_for_is_said_on_stderr(home: Home) -> None:
    home.hold(ACME, life=1800.9)
    done = home.run("--", sys.executable, "-c", "print('ran')")
    assert (done.stdout, done.stderr) == ("ran\n", "indexpass: the credential for acme is good for 30 minutes\n")


# Variables


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("uv", {"UV_INDEX_BRIEF_ONE_USERNAME": "__token__", "UV_INDEX_BRIEF_ONE_PASSWORD": CANARY}),
        (
            "poetry",
            {"POETRY_HTTP_BASIC_BRIEF_ONE_USERNAME": "__token__", "POETRY_HTTP_BASIC_BRIEF_ONE_PASSWORD": CANARY},
        ),
        ("netrc", {}),
    ],
    ids=["uv", "poetry", "netrc"],
)
def test_each_index_has_its_variables_by_name(form: str, expected: dict[str, str]) -> None:
    assert FORMS[form].variables([handed(BRIEF)]) == expected


def test_renovate_is_told_which_urls_a_credential_is_for() -> None:
    (rule,) = json.loads(FORMS["renovate"].variables([handed(BRIEF)])["RENOVATE_HOST_RULES"])
    assert rule == {
        "hostType": "pypi",
        "matchHost": "https://brief.example/b/",
        "username": "__token__",
        "password": CANARY,
    }


@pytest.mark.parametrize("form", [name for name, form in FORMS.items() if form.operation == "upload"])
def test_who_uploads_is_told_where_to(form: str) -> None:
    values = FORMS[form].variables([handed(ACME)]).values()
    assert sorted(values) == sorted(["__token__", CANARY, str(ACME.upload_url)])


def test_two_names_that_are_one_in_a_variable_are_a_tie() -> None:
    with pytest.raises(ConfigError, match="BRIEF_ONE"):
        FORMS["uv"].variables([handed(BRIEF), handed(BRIEF._replace(name="brief-one"))])


def test_a_name_that_is_a_url_is_in_no_variable() -> None:
    with pytest.raises(ConfigError, match="has no name"):
        FORMS["uv"].variables([handed(BRIEF._replace(name=str(BRIEF.url)))])


def test_an_upload_gets_a_credential_for_uploading_and_no_other(home: Home) -> None:
    see = "import os; print(os.environ['TWINE_PASSWORD'], os.environ.get('NETRC'), os.environ['TWINE_REPOSITORY_URL'])"
    done = home.run("--as", "twine", "--", sys.executable, "-c", see)
    assert done.stdout == f"{CANARY}-acme-upload None https://packages.acme.example/legacy/\n"


# The log of a job


@pytest.mark.parametrize(
    ("variables", "prefix"),
    [({"GITHUB_ACTIONS": "true"}, "::add-mask::"), ({"TF_BUILD": "True"}, "##vso[task.setsecret]")],
    ids=["github", "azure"],
)
def test_the_secret_and_its_header_are_masked(variables: dict[str, str], prefix: str) -> None:
    lines = mask_lines(handed(ACME)[1], variables)
    assert list(lines) == [f"{prefix}{CANARY}", prefix + base64.b64encode(f"__token__:{CANARY}".encode()).decode()]


@pytest.mark.parametrize("variables", [{}, {"GITLAB_CI": "true"}], ids=["nowhere", "gitlab"])
def test_where_nobody_takes_a_mask_no_secret_is_printed(variables: dict[str, str]) -> None:
    assert list(mask_lines(handed(ACME)[1], variables)) == []


def test_the_masks_come_before_the_command_says_anything(home: Home) -> None:
    done = home.run("--", sys.executable, "-c", "import sys; sys.stderr.write('ran')", GITHUB_ACTIONS="true")
    assert done.stderr.startswith(f"::add-mask::{CANARY}-acme-read\n")
    assert done.stderr.endswith("ran")


def test_a_file_gets_no_masks(home: Home, tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log:
        argv = home.argv("--", sys.executable, "-c", "pass")
        subprocess.run(argv, env=home.environ(GITHUB_ACTIONS="true"), stderr=log, check=True, timeout=SECONDS)
    assert CANARY not in (tmp_path / "log").read_text()


# The command's end


def test_the_exit_code_is_that_of_the_command(home: Home) -> None:
    assert home.run("--", sys.executable, "-c", "raise SystemExit(7)").returncode == 7


@posix
def test_a_command_that_a_signal_ended_ends_us_by_the_same(home: Home) -> None:
    done = home.run("--", sys.executable, "-c", "import os; os.kill(os.getpid(), 15)")
    assert done.returncode == -signal.SIGTERM
    assert home.left() == []


@posix
def test_a_command_that_crashed_is_told_as_a_shell_tells_it(home: Home) -> None:
    code = "import os, resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.abort()"
    assert home.run("--", sys.executable, "-c", code).returncode == 128 + signal.SIGABRT


@posix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_signal_goes_to_the_command_and_nothing_is_left(home: Home, name: str) -> None:
    with home.start("--", sys.executable, "-c", LINGER, name) as run:
        assert run.stdout
        path = run.stdout.readline().split()[0]
        run.send_signal(getattr(signal, name))
        assert run.stdout.read() == "heard\n"
        assert run.wait(SECONDS) == 5
    assert not os.path.exists(path)  # noqa: PTH110  # a text
    assert home.left() == []


@posix
def test_what_the_terminal_has_sent_to_the_command_is_not_sent_again(home: Home) -> None:
    keyboard, terminal = os.openpty()
    on_terminal = ["setsid", "--ctty", "--wait", *home.argv("--quiet", "--", sys.executable, "-c", APART)]
    with subprocess.Popen(on_terminal, env=home.environ(), stdin=terminal, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout
        assert run.stdout.readline() == "ready\n"
        os.write(keyboard, b"\x03")
        assert run.stdout.read() == "0\n"
    os.close(terminal)
    os.close(keyboard)


def test_a_program_that_is_not_there_is_exit_code_127(home: Home) -> None:
    done = home.run("--", "no-such-program-7d1f")
    assert (done.returncode, done.stderr) == (127, "error: there is no program 'no-such-program-7d1f' on PATH\n")


@posix
def test_a_file_that_may_not_be_run_is_exit_code_126(home: Home, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("no program")
    done = home.run("--", str(tmp_path / "notes"))
    assert done.returncode == 126
    assert "cannot be run" in done.stderr


@posix
def test_a_file_that_is_no_program_is_exit_code_126(home: Home, tmp_path: Path) -> None:
    (tmp_path / "tool").write_bytes(b"\x7fELF")
    (tmp_path / "tool").chmod(0o700)
    assert home.run("--", str(tmp_path / "tool")).returncode == 126
    assert home.left() == []


def test_an_option_after_the_command_is_the_command_s(home: Home) -> None:
    assert home.run("--quiet", sys.executable, "--version").stdout.startswith("Python ")
