"""The provider that runs a program: which program, what it is told, what it may print, and that it always ends."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from indexpass import _config
from indexpass._cache import Cache
from indexpass._http import HttpClient
from indexpass._locations import Locations
from indexpass._model import Context, Credential, Index, Operation
from indexpass._resolve import Resolver
from indexpass._secret import Secret
from indexpass._sessions import FileSessions
from indexpass._url import IndexUrl
from indexpass.errors import (
    BrokerMisbehaved,
    BrokerRefused,
    BrokerUnreachable,
    ConfigError,
    IndexpassError,
    SessionError,
)
from indexpass.providers.command import CommandProvider
from indexpass.testing import ProviderContract, Subject

if TYPE_CHECKING:
    from pathlib import Path

URL = "https://packages.acme.example/simple/"
NOW = 1_790_000_000.0
CANARY = "canary-51c2"
ANSWER = {"version": 1, "username": "ci", "password": CANARY, "expires_at": NOW + 900}

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the programs of these tests are scripts with a first line")


class Desk:
    """A machine with a program on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "acme-token"
        self.environ = {"PATH": os.environ["PATH"]}
        self.context = Context(
            http=HttpClient(),
            sessions=FileSessions(folder / "sessions"),
            identify=lambda _: None,
            now=lambda: NOW,
            environ=self.environ,
        )

    def write(self, code: str) -> None:
        """Install a Python program."""
        self.program.write_text(f"#!{sys.executable} -I\nimport os, sys, json, time, subprocess\n{code}\n")
        self.program.chmod(0o700)

    def prints(self, answer: object) -> None:
        self.write(f"print({json.dumps(answer)!r})")

    def index(self, command: str | None = None) -> Index:
        words = str(self.program) if command is None else command
        options = MappingProxyType({"command": words})
        return Index("acme", IndexUrl.parse(URL), provider="command", options=options)

    def issue(self, command: str | None = None, *, operation: Operation = "read", seconds: float = 20.0) -> Credential:
        provider = CommandProvider(total_seconds=seconds)
        return provider.issue(self.index(command), operation, self.context)

    def fails(self, kind: type[IndexpassError], command: str | None = None, *, seconds: float = 20.0) -> IndexpassError:
        with pytest.raises(kind) as caught:
            self.issue(command, seconds=seconds)
        return caught.value


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


class TestContract(ProviderContract):
    max_requests = 0

    @pytest.fixture
    def subject(self, desk: Desk) -> Subject:
        desk.prints(ANSWER)
        return Subject(CommandProvider(), desk.index(), desk.context)


# What it prints


def test_what_the_program_prints_is_the_credential(desk: Desk) -> None:
    desk.prints(ANSWER)
    assert desk.issue() == Credential("ci", Secret(CANARY), NOW, NOW + 900)


def test_without_a_user_name_it_is_the_one_that_goes_with_every_token(desk: Desk) -> None:
    desk.prints({**ANSWER, "username": None})
    assert desk.issue().username == "__token__"


def test_members_that_nobody_here_knows_are_ignored(desk: Desk) -> None:
    desk.prints({**ANSWER, "colour": "blue"})
    assert desk.issue().username == "ci"


@pytest.mark.parametrize(("expires_at", "is_kept"), [(NOW + 900, True), (None, False)], ids=["known", "unknown"])
def test_a_credential_is_kept_only_where_its_end_is_known(
    desk: Desk, expires_at: float | None, *, is_kept: bool
) -> None:
    desk.prints({**ANSWER, "expires_at": expires_at})
    resolver = Resolver(
        lambda: (desk.index(),),
        Cache(desk.folder / "kept"),
        lambda _: CommandProvider(),
        lambda: desk.context,
        lambda: NOW,
    )
    assert resolver.credential(URL) is not None
    assert any(CANARY in path.read_text() for path in (desk.folder / "kept").glob("*.credential")) is is_kept


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("token", id="a-text"),
        pytest.param([ANSWER], id="a-list"),
        pytest.param({**ANSWER, "version": 2}, id="version-2"),
        pytest.param({**ANSWER, "version": True}, id="version-true"),
        pytest.param({**ANSWER, "version": None}, id="no-version"),
        pytest.param({**ANSWER, "password": ""}, id="no-password"),
        pytest.param({**ANSWER, "password": ["x"]}, id="a-password-that-is-a-list"),
        pytest.param({**ANSWER, "password": "a\nb"}, id="two-lines"),
        pytest.param({**ANSWER, "username": 7}, id="a-user-name-that-is-a-number"),
        pytest.param({**ANSWER, "expires_at": "2027-01-31"}, id="a-date"),
        pytest.param({**ANSWER, "expires_at": True}, id="true"),
        pytest.param({**ANSWER, "expires_at": float("nan")}, id="nan"),
        pytest.param({**ANSWER, "expires_at": NOW}, id="over"),
    ],
)
def test_any_other_answer_is_refused_and_not_shown(desk: Desk, answer: object) -> None:
    desk.prints(answer)
    error = desk.fails(BrokerMisbehaved)
    assert "acme-token" in error.message
    assert CANARY not in f"{error!r} {error.hint} {error.__cause__!r}"


def test_words_beside_the_answer_are_refused(desk: Desk) -> None:
    desk.write(f"print('here you are:'); print({json.dumps(ANSWER)!r})")
    assert "no JSON object" in desk.fails(BrokerMisbehaved).message


# What it is told


def test_the_program_is_told_operation_and_url_by_variables_and_its_arguments_are_its_own(desk: Desk) -> None:
    desk.write(
        "told = [os.environ['INDEXPASS_COMMAND_OPERATION'], os.environ['INDEXPASS_COMMAND_URL'], *sys.argv[1:]]\n"
        "print(json.dumps({'version': 1, 'password': '|'.join(told)}))"
    )
    command = f"{shlex.quote(str(desk.program))} --for 'a b' '$HOME' ';' '*'"
    assert desk.issue(command, operation="upload").secret.reveal() == f"upload|{URL}|--for|a b|$HOME|;|*"


def test_the_program_runs_away_from_the_project_with_nothing_to_read(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk.folder)
    desk.write("print(json.dumps({'version': 1, 'password': os.getcwd() + '|' + sys.stdin.read()}))")
    assert desk.issue().secret.reveal() == "/|"


def test_the_program_has_no_terminal_to_ask_on(desk: Desk) -> None:
    desk.write("print(json.dumps({'version': 1, 'password': str(os.getsid(0) == os.getpid())}))")
    assert desk.issue().secret.reveal() == "True"


def test_a_program_that_asks_us_is_told_so_and_asks_in_no_circle(desk: Desk) -> None:
    desk.prints(ANSWER)
    desk.environ["INDEXPASS_COMMAND_URL"] = URL
    assert "asks indexpass" in desk.fails(ConfigError).message


# Which program


def test_a_program_is_found_on_the_path(desk: Desk) -> None:
    desk.prints(ANSWER)
    desk.environ["PATH"] = str(desk.folder)
    assert desk.issue("acme-token").username == "ci"


@pytest.mark.parametrize(
    ("command", "path"),
    [
        pytest.param("./acme-token", "/usr/bin", id="relative"),
        pytest.param("acme-token", ".", id="path-with-a-dot"),
        pytest.param("acme-token", ":/usr/bin", id="path-with-an-empty-part"),
    ],
)
def test_a_program_of_the_working_directory_is_never_run(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, command: str, path: str
) -> None:
    desk.write("open('/dev/null'); open(__file__ + '.ran', 'w')")
    monkeypatch.chdir(desk.folder)
    desk.environ["PATH"] = path
    assert "would be found in the working directory" in desk.fails(ConfigError, command).message
    assert not (desk.folder / "acme-token.ran").exists()


@pytest.mark.parametrize("command", ["acme-missing", "'open", "/etc", "~/acme-token"])
def test_what_is_no_program_is_refused(desk: Desk, command: str) -> None:
    desk.fails(ConfigError, command)


def test_a_program_that_the_system_cannot_start_is_refused(desk: Desk) -> None:
    desk.program.write_text("#!/nowhere/interpreter\n")
    desk.program.chmod(0o700)
    assert "cannot be run" in desk.fails(ConfigError).message


@pytest.fixture
def places(tmp_path: Path) -> Locations:
    return Locations(tmp_path / "site.toml", tmp_path / "user.toml", tmp_path / "c", tmp_path / "s")


def test_a_variable_cannot_name_a_program(places: Locations) -> None:
    environ = {
        "INDEXPASS_INDEX_URL": URL,
        "INDEXPASS_PROVIDER": "command",
        "INDEXPASS_OPTIONS": "command=/tmp/evil",
    }
    with pytest.raises(ConfigError, match="because it runs a program"):
        _config.load(places, environ)


@pytest.mark.parametrize("name", ["site_file", "user_file"])
def test_a_file_can(places: Locations, name: str) -> None:
    table = f'[[index]]\nname = "acme"\nurl = "{URL}"\nprovider = "command"\ncommand = "/bin/acme-token"\n'
    path: Path = getattr(places, name)
    path.write_text(table, encoding="utf-8")
    assert [index.options["command"] for index in _config.load(places, {})] == ["/bin/acme-token"]


# How it ends


def test_a_program_that_fails_says_why_in_one_short_line_without_secrets(desk: Desk) -> None:
    token = "t" * 60
    desk.write(
        f"print('{CANARY}'); print('first', file=sys.stderr)\n"
        f"print('\\x1b[31mno vault at https://u:{CANARY}@v.example for {token}', 'x y ' * 100, file=sys.stderr)\n"
        "sys.exit(1)"
    )
    error = desk.fails(BrokerRefused)
    assert "status 1" in error.message
    assert "no vault at https://****@v.example" in error.message
    assert len(error.message) < 300
    assert "\x1b" not in error.message
    assert not {CANARY, token} & set(error.message.replace("@", " ").replace(":", " ").split())


def test_a_program_that_fails_in_silence_is_named(desk: Desk) -> None:
    desk.write("sys.exit(7)")
    error = desk.fails(BrokerRefused)
    assert error.message == "acme-token failed with status 7: it did not say why"
    assert f"INDEXPASS_COMMAND_URL={URL}" in error.hint


def test_status_3_means_that_a_person_has_to_sign_in(desk: Desk) -> None:
    desk.write("print('run acme-login', file=sys.stderr); sys.exit(3)")
    assert desk.fails(SessionError).message == "acme-token needs somebody to sign in: run acme-login"


def test_a_program_that_a_signal_ends_has_failed(desk: Desk) -> None:
    desk.write("os.kill(os.getpid(), 9)")
    assert "status -9" in desk.fails(BrokerRefused).message


def is_gone(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        with suppress(FileNotFoundError), open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().split()[2] == "Z"
        return False
    return True


def test_a_program_that_is_late_is_ended_with_all_that_it_has_started(desk: Desk) -> None:
    desk.write(
        "child = subprocess.Popen(['sleep', '600'])\n"
        "open(__file__ + '.pids', 'w').write(f'{os.getpid()} {child.pid}')\n"
        "time.sleep(600)"
    )
    error = desk.fails(BrokerUnreachable, seconds=2.0)
    assert "did not answer within 2 seconds" in error.message
    pids = [int(text) for text in (desk.folder / "acme-token.pids").read_text().split()]
    deadline = time.monotonic() + 10
    while not all(is_gone(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [pid for pid in pids if not is_gone(pid)] == []


def test_a_program_that_closes_its_output_and_goes_on_is_late(desk: Desk) -> None:
    desk.write(f"print({json.dumps(ANSWER)!r}, flush=True); os.close(1); time.sleep(600)")
    desk.fails(BrokerUnreachable, seconds=2.0)


def test_a_program_that_leaves_its_output_to_another_is_late(desk: Desk) -> None:
    desk.write(f"print({json.dumps(ANSWER)!r}, flush=True); subprocess.Popen(['sleep', '600'])")
    desk.fails(BrokerUnreachable, seconds=2.0)


def test_a_flood_is_cut_off(desk: Desk) -> None:
    desk.write("while True: print('x' * 1024)")
    assert "more than 64 KiB" in desk.fails(BrokerMisbehaved).message


def test_a_flood_of_complaints_neither_blocks_the_program_nor_hides_the_last(desk: Desk) -> None:
    desk.write("sys.stderr.write('x ' * 500_000 + '\\nthe end\\n'); sys.exit(1)")
    assert desk.fails(BrokerRefused).message.endswith(": the end")


def test_complaints_of_a_program_that_succeeds_are_nobody_s_concern(
    desk: Desk, capfd: pytest.CaptureFixture[str]
) -> None:
    desk.write(f"print('deprecated', file=sys.stderr); print({json.dumps(ANSWER)!r})")
    assert desk.issue().username == "ci"
    assert capfd.readouterr() == ("", "")
