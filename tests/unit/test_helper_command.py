"""``indexpass helper``: questions as git, Bazel and Docker ask them, and the answers that they read."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import pytest
from click.testing import CliRunner, Result

from indexpass import _cli
from indexpass._cache import Cache
from indexpass._credential_helpers import docker as docker_protocol
from indexpass._credential_helpers import git as git_protocol
from indexpass._model import Credential, Index
from indexpass._secret import Secret
from indexpass._url import IndexUrl

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "canary-41ce"
FORGE = Index(
    "forge",
    IndexUrl.parse("https://forge.acme.example/git/"),
    options=MappingProxyType({"broker": "http://127.0.0.1:9"}),  # the port where nobody answers
)
ACME = FORGE._replace(name="acme", url=IndexUrl.parse("https://packages.acme.example/simple/"))
NEXUS = Index("nexus", IndexUrl.parse("https://nexus.acme.example:8443/simple/"), provider="static")
KEY = {"INDEXPASS_KEY_NEXUS": CANARY}
REPOSITORY = "protocol=https\nhost=forge.acme.example\npath=git/tools.git\n"


class Home(NamedTuple):
    """A user's own folder, with three indexes; nothing is held for any of them yet."""

    folder: Path

    def hold(self, index: Index = FORGE, *, age: float = 0.0, life: float | None = 3600) -> float:
        """Keep a credential, and return the time of its issue."""
        issued_at = time.time() - age
        expires_at = None if life is None else issued_at + life
        credential = Credential("__token__", Secret(CANARY), issued_at, expires_at)
        Cache(self.folder / "credentials").store(index, "read", credential)
        return issued_at

    def holds(self) -> bool:
        return Cache(self.folder / "credentials").load(FORGE, "read") is not None

    def environ(self) -> dict[str, str]:
        own = {"INDEXPASS_HOME": str(self.folder), "INDEXPASS_SESSION_STORE": "file"}
        return {**own, "XDG_CONFIG_DIRS": str(self.folder), **KEY}

    def ask(self, *words: str, says: str | bytes = "") -> Result:
        clean = {key: None for key in os.environ if key.startswith("INDEXPASS_")}
        result = CliRunner().invoke(_cli.main, ["helper", *words], input=says, env={**clean, **self.environ()})
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.folder.mkdir(mode=0o700)
    tables = [
        f'[[index]]\nname = "{index.name}"\nurl = "{index.url}"\nbroker = "{index.options["broker"]}"\n'
        for index in (FORGE, ACME)
    ]
    tables.append(
        f'[[index]]\nname = "nexus"\nurl = "{NEXUS.url}"\nprovider = "static"\nkey-variable = "INDEXPASS_KEY_NEXUS"\n'
    )
    tables.append('[[index]]\nname = "hub"\nurl = "https://github.com/acme/"\nprovider = "github"\n')
    (home.folder / "config.toml").write_text("".join(tables))
    return home


# git


def test_git_gets_a_password_and_its_last_second(home: Home) -> None:
    issued_at = home.hold()
    done = home.ask("git", "get", says=REPOSITORY + "\n")
    assert done.stdout == f"username=__token__\npassword={CANARY}\npassword_expiry_utc={int(issued_at + 3600)}\n"


def test_a_password_without_an_end_has_no_last_second(home: Home) -> None:
    home.hold(life=None)
    assert "expiry" not in home.ask("git", "get", says=REPOSITORY).stdout


def test_capabilities_and_whatever_else_is_new_are_ignored(home: Home) -> None:
    home.hold()
    more = "capability[]=authtype\ncapability[]=state\nwwwauth[]=Basic realm=x\nfrobnication=yes\n"
    done = home.ask("git", "get", says=more + REPOSITORY)
    assert done.stdout.startswith("username=__token__\n")
    assert "capability" not in done.stdout


@pytest.mark.parametrize(
    "question",
    [
        pytest.param("protocol=https\nhost=other.example\npath=git/tools.git\n", id="other-host"),
        pytest.param("protocol=https\nhost=forge.acme.example\npath=other/tools.git\n", id="other-path"),
        pytest.param("protocol=https\nhost=forge.acme.example\n", id="no-path"),
        pytest.param("protocol=http\nhost=forge.acme.example\npath=git/tools.git\n", id="not-encrypted"),
        pytest.param("protocol=ssh\nhost=forge.acme.example\npath=git/tools.git\n", id="ssh"),
        pytest.param("protocol=https\nhost=forge.acme.example:444\npath=git/tools.git\n", id="other-port"),
        pytest.param("protocol=https\nhost=a@forge.acme.example\npath=git/tools.git\n", id="user-in-host"),
        pytest.param("protocol=https\nhost=forge.acme.example/git\npath=tools.git\n", id="path-in-host"),
        pytest.param("protocol=https\nhost=forge.acme.example\r\npath=git/tools.git\n", id="carriage-return"),
        pytest.param("protocol=https\nhost=forge.acme.example\npath=git/../x.git\n", id="dot-segment"),
        pytest.param("protocol=https\npath=git/tools.git\n", id="no-host"),
        pytest.param("host=forge.acme.example\npath=git/tools.git\n", id="no-protocol"),
        pytest.param("nonsense\n" + REPOSITORY, id="no-attribute"),
        pytest.param(b"\xff\xfe=\xff\n\xff", id="not-utf-8"),
        pytest.param("", id="nothing"),
    ],
)
def test_what_is_none_of_ours_gets_an_empty_answer(home: Home, question: str | bytes) -> None:
    home.hold()
    done = home.ask("git", "get", says=question)
    assert (done.exit_code, done.output) == (0, "")


def test_a_path_that_git_has_decoded_is_the_same_path() -> None:
    question = git_protocol.parse("protocol=https\nhost=forge.acme.example\npath=git/my tools?.git\n")
    assert question
    assert question.url == "https://forge.acme.example/git/my%20tools%3F.git"


def test_a_blank_line_ends_the_question() -> None:
    assert git_protocol.parse(f"\n{REPOSITORY}") is None
    assert git_protocol.parse(f"{REPOSITORY}\nhost=other.example\n") == git_protocol.parse(REPOSITORY)


def test_a_server_s_words_that_do_not_print_are_none_of_ours(home: Home) -> None:
    home.hold()
    assert home.ask("git", "get", says=f"wwwauth[]=Basic realm=\t\x07\n{REPOSITORY}").stdout.startswith("username=")


def test_git_goes_on_where_no_credential_can_be_had(home: Home) -> None:
    done = home.ask("git", "get", says=REPOSITORY)
    assert (done.exit_code, done.stdout) == (0, "")


def test_git_goes_on_with_a_broken_configuration(home: Home) -> None:
    (home.folder / "config.toml").write_text("[[index]\n")
    done = home.ask("git", "get", says=REPOSITORY)
    assert (done.exit_code, done.stdout) == (0, "")


def test_git_goes_on_after_a_question_without_an_end(home: Home) -> None:
    done = home.ask("git", "get", says="a=b" * 100_000)
    assert (done.exit_code, done.stdout) == (0, "")


@pytest.mark.parametrize("action", ["store", "frobnicate"])
def test_other_actions_do_nothing(home: Home, action: str) -> None:
    home.hold()
    done = home.ask("git", action, says=f"{REPOSITORY}username=a\npassword={CANARY}\n")
    assert (done.exit_code, done.output, home.holds()) == (0, "", True)


@pytest.mark.parametrize(
    ("password", "age", "is_held"),
    [
        pytest.param(CANARY, 600, False, id="ours"),
        pytest.param("another", 600, True, id="somebody-else-s"),
        pytest.param(CANARY, 1, True, id="issued-only-just-now"),
    ],
)
def test_a_refused_password_is_forgotten_if_another_would_be_better(
    home: Home, password: str, age: float, *, is_held: bool
) -> None:
    home.hold(age=age)
    done = home.ask("git", "erase", says=f"{REPOSITORY}username=__token__\npassword={password}\n")
    assert (done.exit_code, done.output, home.holds()) == (0, "", is_held)


def test_a_password_that_git_could_not_read_is_not_sent() -> None:
    assert git_protocol.write(Credential("a", Secret("b\nhost=evil.example"), 0, None)) == ""


def test_git_that_keeps_the_repository_to_itself_is_told_how_to_say_it(home: Home) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from indexpass._cli.helper import run_git; run_git()", "get"],
        input="protocol=https\nhost=github.com\n",
        env={**os.environ, **home.environ()},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        start_new_session=True,  # without a terminal, what the person is told goes to stderr
    )
    assert done.stdout == ""
    assert done.stderr.endswith("→ git config --global credential.https://github.com.useHttpPath true\n")


# Bazel. The schemas are those of EngFlow's credential-helper-spec, get-credentials-response.schema.json.


def assert_is_an_answer(answer: object) -> None:
    """Hold an answer against the schema: an object of headers, which are lists of texts, and a time of RFC 3339."""
    assert isinstance(answer, dict)
    assert answer.keys() <= {"headers", "expires"}
    assert isinstance(answer["headers"], dict)
    for name, values in answer["headers"].items():
        assert isinstance(name, str)
        assert isinstance(values, list)
        assert all(isinstance(value, str) for value in values)
    if "expires" in answer:
        assert datetime.strptime(answer["expires"], "%Y-%m-%dT%H:%M:%S%z").tzinfo


@pytest.mark.parametrize(
    "uri",
    ["https://packages.acme.example/simple/x/", "https://other.example/", "grpcs://packages.acme.example/a.B/C"],
    ids=["ours", "other", "grpc"],
)
def test_each_answer_to_bazel_follows_the_schema(home: Home, uri: str) -> None:
    home.hold(ACME)
    done = home.ask("bazel", "get", says=json.dumps({"uri": uri, "more": 1}))
    assert done.exit_code == 0
    assert_is_an_answer(json.loads(done.stdout))


def test_bazel_gets_a_header(home: Home) -> None:
    home.hold(ACME)
    answer = json.loads(home.ask("bazel", "get", says='{"uri": "https://packages.acme.example/simple/x/"}').stdout)
    pair = base64.b64encode(f"__token__:{CANARY}".encode()).decode()
    assert answer["headers"] == {"Authorization": [f"Basic {pair}"]}


@pytest.mark.parametrize(("life", "margin"), [(3600, 30), (60, 6)], ids=["long", "short"])
def test_bazel_sends_nothing_that_ends_on_its_way(home: Home, life: float, margin: float) -> None:
    issued_at = home.hold(ACME, life=life)
    answer = json.loads(home.ask("bazel", "get", says='{"uri": "https://packages.acme.example/simple/"}').stdout)
    ends = datetime.strptime(answer["expires"], "%Y-%m-%dT%H:%M:%S%z").timestamp()
    assert ends == int(issued_at + life - margin)


def test_a_uri_of_nobody_gets_no_headers(home: Home) -> None:
    assert json.loads(home.ask("bazel", "get", says='{"uri": "https://other.example/"}').stdout) == {"headers": {}}


@pytest.mark.parametrize("says", ["", "nonsense", "[]", "{}", '{"uri": 1}', "[" * 60_000], ids=lambda says: says[:8])
def test_what_is_no_request_is_an_error_on_stderr(home: Home, says: str) -> None:
    done = home.ask("bazel", "get", says=says)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("error: the request on stdin is not ")


def test_bazel_is_told_where_a_sign_in_is_needed(home: Home) -> None:
    done = home.ask("bazel", "get", says='{"uri": "https://packages.acme.example/simple/"}')
    assert (done.exit_code, done.stdout) == (3, "")


# Docker


def test_docker_gets_what_opens_the_registry(home: Home) -> None:
    done = home.ask("docker", "get", says="nexus.acme.example:8443\n")
    assert json.loads(done.stdout) == {
        "ServerURL": "nexus.acme.example:8443",
        "Username": "__token__",
        "Secret": CANARY,
    }


@pytest.mark.parametrize(
    "registry",
    [
        pytest.param("other.example", id="other-host"),
        pytest.param("nexus.acme.example", id="other-port"),
        pytest.param("nexus.acme.example:8443/a@b", id="no-host"),
        pytest.param("packages.acme.example", id="a-broker-s-token-opens-none"),
        pytest.param("", id="nothing"),
    ],
)
def test_docker_goes_on_without_by_the_words_that_it_knows(home: Home, registry: str) -> None:
    home.hold(ACME)
    done = home.ask("docker", "get", says=registry)
    assert (done.exit_code, done.stdout) == (1, "credentials not found in native keychain\n")


def test_a_tie_on_one_registry_is_nobody_s() -> None:
    twin = NEXUS._replace(name="twin", url=IndexUrl.parse("https://nexus.acme.example:8443/other/"))
    assert docker_protocol.find("nexus.acme.example:8443", [NEXUS]) == NEXUS
    assert docker_protocol.find("nexus.acme.example:8443", [NEXUS, twin]) is None


def test_docker_reads_from_stdout_that_nothing_is_stored(home: Home) -> None:
    done = home.ask("docker", "store", says='{"ServerURL": "nexus.acme.example:8443", "Username": "a", "Secret": "b"}')
    assert done.exit_code == 1
    assert done.stdout.startswith("indexpass issues credentials and stores none")


def test_docker_can_list_its_registries(home: Home) -> None:
    assert json.loads(home.ask("docker", "list").stdout) == {"nexus.acme.example:8443": ""}


def test_docker_can_erase_what_is_held(home: Home) -> None:
    held = NEXUS._replace(options=MappingProxyType({"key-variable": "INDEXPASS_KEY_NEXUS"}))
    home.hold(held)
    done = home.ask("docker", "erase", says="https://nexus.acme.example:8443/")
    assert (done.exit_code, done.output) == (0, "")
    assert Cache(home.folder / "credentials").load(held, "read") is None
