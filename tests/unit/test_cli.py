"""The commands as a person or a script meets them: words, exit codes, JSON, and the file that ``add`` writes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import click
import pytest
from click.testing import CliRunner, Result
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from indexpass import _cli, errors
from indexpass._cache import Cache
from indexpass._config import read_file
from indexpass._model import Credential, Index, Operation, Session
from indexpass._secret import Secret
from indexpass._sessions import FileSessions
from indexpass._url import IndexUrl
from servers.loopback import free_port, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.brokers import RunningBroker, StartBroker

URL = "https://packages.acme.example/simple/"
BROKER = "http://127.0.0.1:9"  # the port where nobody answers
ACME = Index("acme", IndexUrl.parse(URL), options=MappingProxyType({"broker": BROKER}))
CANARY = "canary-5d0e"
EXAMPLE = "https://packages.example.com/simple/"
GOOGLE = "https://europe-python.pkg.dev/acme-tools/wheels/simple/"
_YES_HINT = "hint:  look at what is shown above, then run it again with --yes\n"


def table(name: str, url: str, broker: str) -> str:
    return f'[[index]]\nname = "{name}"\nurl = "{url}"\nbroker = "{broker}"\n'


class Home(NamedTuple):
    """A user's own folder, and the commands run in it."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def cache(self) -> Cache:
        return Cache(self.folder / "credentials")

    @property
    def sessions(self) -> FileSessions:
        return FileSessions(self.folder / "sessions")

    def configure(self, text: str = "") -> None:
        self.config.write_text(text or table("acme", URL, BROKER), encoding="utf-8")

    def hold(self, operation: Operation = "read", *, life: float = 3600, index: Index = ACME) -> None:
        now = time.time()
        self.cache.store(index, operation, Credential("__token__", Secret(f"{CANARY}-{operation}"), now, now + life))

    def run(self, *words: str, says: str | None = None, **environ: str) -> Result:
        clean = {key: None for key in os.environ if key.startswith("INDEXPASS_")}
        place = {
            "INDEXPASS_HOME": str(self.folder),
            "INDEXPASS_SESSION_STORE": "file",  # never the keyring of whoever runs the tests
            "XDG_CONFIG_DIRS": str(self.folder),
        }
        result = CliRunner().invoke(_cli.main, words, input=says, env={**clean, **place, **environ})
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "home").mkdir(mode=0o700)
    return Home(tmp_path / "home")


def all_commands(
    command: click.Command = _cli.main, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from all_commands(child, (*path, name))


COMMANDS = [path for path, _ in all_commands()]


def command_id(path: tuple[str, ...]) -> str:
    return "-".join(path) or "indexpass"


# Help and exit codes


@pytest.mark.parametrize("path", COMMANDS, ids=command_id)
def test_every_command_explains_itself_with_an_example(home: Home, path: tuple[str, ...]) -> None:
    result = home.run(*path, "--help")
    assert result.exit_code == 0
    assert " ".join(["indexpass", *path]) in result.stdout.partition("Usage:")[2].partition("\n")[2]


@pytest.mark.parametrize("path", COMMANDS, ids=command_id)
def test_every_command_has_one_line_in_the_list(path: tuple[str, ...]) -> None:
    command = dict(all_commands())[path]
    assert command.get_short_help_str(200).endswith((".", "…"))


@pytest.mark.parametrize(
    "path", [path for path, command in all_commands() if isinstance(command, click.Group)], ids=command_id
)
def test_a_list_of_commands_cuts_no_sentence_on_80_columns(home: Home, path: tuple[str, ...]) -> None:
    text = home.run(*path, "--help", COLUMNS="80").stdout.partition("Commands:\n")[2].partition("\n\n")[0]
    assert [line for line in text.splitlines() if not re.fullmatch(r"  [a-z-]+  .*[^.]\.", line)] == []


def test_the_version_is_on_stdout(home: Home) -> None:
    result = home.run("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("indexpass ")


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["frobnicate"], id="unknown-command"),
        pytest.param(["status", "--frobnicate"], id="unknown-option"),
        pytest.param(["add"], id="missing-argument"),
        pytest.param(["login", "one", "two"], id="too-many-arguments"),
    ],
)
def test_wrong_usage_is_exit_code_2(home: Home, words: list[str]) -> None:
    assert home.run(*words).exit_code == 2


@pytest.mark.parametrize("words", [["status"], ["token"], ["login"], ["logout"]], ids=lambda words: words[0])
def test_without_an_index_every_command_says_how_to_add_one(home: Home, words: list[str]) -> None:
    result = home.run(*words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: no index is configured")
    assert "hint:  indexpass add https://" in result.stderr


@pytest.mark.parametrize("words", [["status"], ["token"], ["login"], ["logout"], ["add", EXAMPLE, "--broker", BROKER]])
def test_a_broken_file_is_named_by_every_command(home: Home, words: list[str]) -> None:
    home.configure("[[index]")
    result = home.run(*words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert str(home.config) in result.stderr


@pytest.mark.parametrize("words", [["status", "nobody"], ["token", "https://a.example/"], ["login", "nobody"]])
def test_an_unknown_index_is_answered_with_the_known_ones(home: Home, words: list[str]) -> None:
    home.configure()
    result = home.run(*words)
    assert result.exit_code == 1
    assert "known: acme" in result.stderr


def test_an_unknown_url_is_answered_with_how_to_have_it_known(home: Home) -> None:
    home.configure()
    assert f"indexpass add {EXAMPLE}" in home.run("status", EXAMPLE).stderr


def test_an_unknown_url_is_not_repeated_with_its_password(home: Home) -> None:
    home.configure()
    assert CANARY not in home.run("token", f"https://eve:{CANARY}@a.example/?{CANARY}").stderr


@pytest.mark.parametrize("words", [["token"], ["login"], ["logout"]], ids=lambda words: words[0])
def test_with_several_indexes_one_has_to_be_named(home: Home, words: list[str]) -> None:
    home.configure(table("one", "https://one.example/", BROKER) + table("two", "https://two.example/", BROKER))
    result = home.run(*words)
    assert result.exit_code == 1
    assert "one, two" in result.stderr


def test_where_nobody_is_signed_in_a_token_is_exit_code_3(home: Home) -> None:
    home.configure()
    result = home.run("token")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "indexpass login acme" in result.stderr


def test_a_remembered_need_to_sign_in_is_exit_code_3_too(home: Home) -> None:
    home.configure()
    home.run("token")
    assert home.run("token").exit_code == 3


@pytest.mark.parametrize(
    ("environ", "code", "says"),
    [
        ({"CI": "true"}, 1, "nothing here proves"),
        ({"CI": "true", "INDEXPASS_IDENTITY_SOURCE": "none"}, 3, "indexpass login acme"),
        ({"CI": "true", "GITHUB_ACTIONS": "true"}, 1, "id-token: write"),
    ],
    ids=["nobody-could-sign-in", "it-is-left-to-a-person", "the-job-lacks-a-setting"],
)
def test_exit_code_3_means_that_a_sign_in_would_help(home: Home, environ: dict[str, str], code: int, says: str) -> None:
    home.configure()
    result = home.run("token", **environ)
    assert (result.exit_code, result.stdout) == (code, "")
    assert says in result.stderr


@pytest.mark.parametrize("kind", [*errors.IndexpassError.__subclasses__(), *errors.BrokerError.__subclasses__()])
def test_every_error_is_two_lines_on_stderr_and_an_exit_code(home: Home, kind: type[errors.IndexpassError]) -> None:
    home.configure()
    happened = errors.IndexpassError("something happened", hint="do something", code=kind.code)
    home.cache.remember_failure(ACME, "read", happened, time.time() + 60)
    result = home.run("token")
    assert result.stderr == "error: something happened\nhint:  do something\n"
    assert (result.stdout, result.exit_code) == ("", 3 if kind is errors.SessionError else 1)


def test_in_a_process_of_its_own_an_error_is_no_traceback(home: Home) -> None:
    home.configure("[[index]")
    child = subprocess.run(
        [sys.executable, "-c", "from indexpass._cli import main; main()", "status"],
        env={**os.environ, "INDEXPASS_HOME": str(home.folder)},
        capture_output=True,
        check=False,
        timeout=60,
        encoding="utf-8",
    )
    assert (child.returncode, child.stdout) == (1, "")
    assert child.stderr.startswith("error: ")


@pytest.mark.parametrize(
    ("missing", "extra", "command"),
    [
        pytest.param("sqlalchemy", "broker", ["broker", "serve"], id="broker"),
        pytest.param("uv", "demo", ["demo", "anything"], id="demo"),
    ],
)
def test_a_command_whose_packages_are_missing_names_the_extra(missing: str, extra: str, command: list[str]) -> None:
    script = f"import sys; sys.modules[{missing!r}] = None; from indexpass._cli import main; main()"
    child = subprocess.run(
        [sys.executable, "-c", script, *command, "--at-all"],
        capture_output=True,
        check=False,
        timeout=60,
        encoding="utf-8",
    )
    assert child.returncode == 1
    assert f"hint:  pip install 'indexpass[{extra}]'" in child.stderr


# status


def test_status_as_json_says_what_is_held(home: Home) -> None:
    home.configure()
    home.hold()
    result = home.run("status", "--json")
    (row,) = json.loads(result.stdout)
    left, renewal = row["read"].pop("seconds_left"), row["read"].pop("renews_in_seconds")
    assert 3500 < left <= 3600
    assert left - 1200 - 180 <= renewal <= left - 1200
    assert "generic" in row.pop("identity_sources")
    assert row == {
        "name": "acme",
        "url": URL,
        "provider": "broker",
        "identity": None,
        "read": {"age": "fresh", "failure": None, "life_seconds": 3600},
        "upload": dict.fromkeys(["seconds_left", "failure", "life_seconds", "renews_in_seconds"]) | {"age": "none"},
        "outlook": None,
    }


def test_status_as_json_says_which_identity_source_applies_and_why_others_do_not(home: Home) -> None:
    home.configure()
    github = {"GITHUB_ACTIONS": "true", "ACTIONS_ID_TOKEN_REQUEST_URL": "https://ci.acme.example/"}
    (row,) = json.loads(home.run("status", "--json", **github, ACTIONS_ID_TOKEN_REQUEST_TOKEN="t").stdout)
    assert row["identity"] == "identity token from GitHub Actions"
    assert row["identity_sources"]["github"] == "applies: GitHub Actions"
    assert row["identity_sources"]["bitbucket"] == "BITBUCKET_BUILD_NUMBER or BITBUCKET_STEP_OIDC_TOKEN is not set"


def test_status_shows_each_index_or_only_the_one_that_is_named(home: Home) -> None:
    home.configure(table("one", "https://one.example/", BROKER) + table("two", "https://two.example/", BROKER))
    assert [row["name"] for row in json.loads(home.run("status", "--json").stdout)] == ["one", "two"]
    assert [row["name"] for row in json.loads(home.run("status", "two", "--json").stdout)] == ["two"]


def test_status_knows_the_index_of_a_known_platform_that_nobody_has_configured(home: Home) -> None:
    url = "https://europe-python.pkg.dev/acme-tools/wheels/simple/"
    (row,) = json.loads(home.run("status", f"{url}requests/", "--json").stdout)
    assert (row["name"], row["url"], row["provider"]) == (url, url, "google")


def test_status_finds_an_index_by_its_url(home: Home) -> None:
    home.configure()
    assert "acme" in home.run("status", f"{URL}some-package/").stdout


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_status_shows_no_secret(home: Home, form: list[str]) -> None:
    home.configure()
    home.hold("read")
    home.hold("upload")
    home.sessions.save(Session(BROKER, "eve", Secret(f"{CANARY}-refresh")))
    result = home.run("status", *form, INDEXPASS_IDENTITY_TOKEN=f"{CANARY}.b.c")
    assert result.exit_code == 0
    assert CANARY not in result.output


@pytest.mark.parametrize(
    ("session", "environ", "expected"),
    [
        pytest.param(None, {}, "nobody: indexpass login acme", id="nobody"),
        pytest.param("eve", {}, f"eve at {BROKER}", id="a-person"),
        pytest.param("", {}, f"signed in at {BROKER}", id="a-person-without-a-name"),
        pytest.param(
            "eve", {"INDEXPASS_IDENTITY_TOKEN": "a.b.c"}, "identity token from INDEXPASS_IDENTITY_TOKEN", id="a-machine"
        ),
        pytest.param(None, {"INDEXPASS_IDENTITY_TOKEN": "x"}, "unusable: the variable", id="a-token-that-is-none"),
        pytest.param(
            None, {"INDEXPASS_IDENTITY_TOKEN_FILE": "/missing"}, "unusable: the identity token cannot", id="no-file"
        ),
    ],
)
def test_status_says_who_a_new_credential_would_be_for(
    home: Home, session: str | None, environ: dict[str, str], expected: str
) -> None:
    home.configure()
    if session is not None:
        home.sessions.save(Session(BROKER, session, Secret("r")))
    assert f"identity  {expected}" in home.run("status", **environ).stdout


def test_status_says_why_the_last_attempt_failed(home: Home) -> None:
    home.configure()
    home.cache.remember_failure(ACME, "read", errors.BrokerUnreachable("the broker is down"), time.time() + 60)
    assert "last attempt failed: the broker is down" in home.run("status").stdout


@pytest.mark.parametrize(
    ("life", "words"), [pytest.param(3600, "fresh, 00:59:", id="fresh"), pytest.param(-1, "expired\n", id="expired")]
)
def test_status_says_how_old_a_credential_is(home: Home, life: float, words: str) -> None:
    home.configure()
    home.hold(life=life)
    assert f"  read      {words}" in home.run("status").stdout


def test_status_asks_nobody(home: Home) -> None:
    home.configure()  # its broker would not answer
    result = home.run("status", INDEXPASS_IDENTITY_TOKEN="a.b.c")
    assert (result.exit_code, result.stderr) == (0, "")


def test_status_of_an_unknown_provider_says_so(home: Home) -> None:
    home.configure(f'[[index]]\nname = "acme"\nurl = "{URL}"\nprovider = "nobody"')
    result = home.run("status")
    assert result.exit_code == 0
    assert "unusable: the index 'acme' names an unknown provider" in result.stdout


# token


def test_a_token_is_the_secret_alone_on_stdout(home: Home) -> None:
    home.configure()
    home.hold()
    result = home.run("token")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{CANARY}-read\n", "")


def test_a_token_for_uploading_is_another(home: Home) -> None:
    home.configure()
    home.hold("read")
    home.hold("upload")
    assert home.run("token", "--upload", "acme").stdout == f"{CANARY}-upload\n"


def test_a_token_as_json_has_user_name_and_expiry(home: Home) -> None:
    home.configure()
    home.hold()
    entry = json.loads(home.run("token", "--json").stdout)
    assert entry.pop("expires_at") > time.time()
    assert entry == {"version": 1, "username": "__token__", "password": f"{CANARY}-read"}


# add


def test_add_writes_what_was_said(home: Home) -> None:
    words = ["--name", "example", "--upload-url", "https://u.example/legacy", "--files-url", "https://f.example"]
    result = home.run("add", EXAMPLE, "--broker", "https://t.example/", *words, "--yes")
    assert (result.exit_code, result.stdout) == (0, "")
    (index,) = read_file(home.config)
    assert index == Index(
        "example",
        IndexUrl.parse(EXAMPLE),
        IndexUrl.parse("https://u.example/legacy/"),
        IndexUrl.parse("https://f.example/"),
        "broker",
        MappingProxyType({"broker": "https://t.example"}),
    )


def test_add_names_an_index_after_its_host(home: Home) -> None:
    home.run("add", EXAMPLE, "--broker", BROKER, "--yes")
    assert [index.name for index in read_file(home.config)] == ["packages.example.com"]


def test_add_says_what_to_do_next(home: Home) -> None:
    result = home.run("add", EXAMPLE, "--broker", BROKER, "--name", "example", "--yes")
    assert "indexpass login example" in result.stderr


def test_add_keeps_every_byte_that_was_there(home: Home) -> None:
    before = "# written by hand\n\n" + table("acme", URL, BROKER) + "# the end   \n"
    home.configure(before)
    home.run("add", EXAMPLE, "--broker", BROKER, "--yes")
    assert home.config.read_text(encoding="utf-8").startswith(before)
    assert len(read_file(home.config)) == 2


def test_add_leaves_no_draft(home: Home) -> None:
    home.run("add", EXAMPLE, "--broker", BROKER, "--yes")
    assert [path.name for path in home.folder.iterdir()] == ["config.toml"]


def test_add_makes_the_folder(home: Home) -> None:
    home.run("add", EXAMPLE, "--broker", BROKER, "--yes", INDEXPASS_HOME=str(home.folder / "new"))
    assert len(read_file(home.folder / "new/config.toml")) == 1


def test_add_shows_what_it_will_write_and_waits_for_a_yes(home: Home) -> None:
    result = home.run("add", EXAMPLE, "--broker", BROKER, says="y\n")
    assert (result.exit_code, len(read_file(home.config))) == (0, 1)
    assert EXAMPLE in result.stderr
    assert BROKER in result.stderr


@pytest.mark.parametrize("says", ["n\n", "\n", ""], ids=["no", "enter", "end-of-input"])
def test_without_a_yes_nothing_is_written(home: Home, says: str) -> None:
    result = home.run("add", EXAMPLE, "--broker", BROKER, says=says)
    assert result.exit_code == 1
    assert not home.config.exists()


def test_where_nobody_answers_the_hint_is_yes(home: Home) -> None:
    result = home.run("add", EXAMPLE, "--broker", BROKER, says="")
    assert result.stderr.endswith("error: nobody is there to answer\n" + _YES_HINT)


def test_add_says_that_an_index_of_a_known_platform_needs_no_adding(home: Home) -> None:
    result = home.run("add", GOOGLE)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "there is nothing to add" in result.stderr
    assert f"indexpass explain {GOOGLE}" in result.stderr
    assert not home.config.exists()


def test_add_names_the_settings_that_a_known_platform_needs(home: Home) -> None:
    result = home.run("add", "https://acme.jfrog.io/artifactory/api/pypi/tools/simple/")
    assert result.exit_code == 1
    assert "jfrog, which needs settings: oidc-provider" in result.stderr
    assert str(home.config) in result.stderr


def test_add_takes_an_index_of_a_known_platform_if_a_broker_is_named(home: Home) -> None:
    assert home.run("add", GOOGLE, "--broker", BROKER, "--name", "ours", "--yes").exit_code == 0
    assert [index.name for index in read_file(home.config)] == ["ours"]


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        pytest.param("packages.example.com/simple/", f"indexpass add {EXAMPLE}", id="host-and-path"),
        pytest.param(f"eve:{CANARY}@packages.example.com/simple/", f"indexpass add {EXAMPLE}", id="with-a-password"),
        pytest.param("", f"indexpass add {EXAMPLE}", id="nothing"),
    ],
)
def test_add_completes_a_url_without_its_scheme_in_the_hint(home: Home, given: str, hint: str) -> None:
    result = home.run("add", given)
    assert (result.exit_code, CANARY in result.output) == (1, False)
    assert result.stderr.endswith(f"hint:  {hint}\n")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no folder in which nobody may make one")
def test_add_says_that_its_folder_cannot_be_made(home: Home) -> None:
    result = home.run("add", EXAMPLE, "--broker", BROKER, "--yes", INDEXPASS_HOME="/proc/none")
    assert result.exit_code == 1
    assert "error: /proc/none cannot be made" in result.stderr


@pytest.mark.parametrize(
    ("broker", "is_pointed_out"),
    [
        pytest.param("https://tokens.example.com", True, id="another-host"),
        pytest.param("https://packages.example.com:8443", True, id="another-port"),
        pytest.param("https://packages.example.com/broker", False, id="the-index's-own-site"),
    ],
)
def test_a_broker_on_another_site_is_pointed_out(home: Home, broker: str, *, is_pointed_out: bool) -> None:
    result = home.run("add", EXAMPLE, "--broker", broker, "--yes")
    assert ("another site" in result.stderr) is is_pointed_out


@pytest.mark.parametrize(
    "words",
    [
        pytest.param([f"https://eve:{CANARY}@packages.example.com/simple/", "--broker", BROKER], id="password"),
        pytest.param([f"https://{CANARY}@packages.example.com/simple/", "--broker", BROKER], id="token-as-the-user"),
    ],
)
def test_add_refuses_a_secret_in_the_url_and_does_not_repeat_it(home: Home, words: list[str]) -> None:
    result = home.run("add", *words, "--yes")
    assert result.exit_code == 1
    assert CANARY not in result.output
    assert not home.config.exists()


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["http://packages.example.com/simple/", "--broker", BROKER], id="http"),
        pytest.param(["packages.example.com", "--broker", BROKER], id="no-scheme"),
        pytest.param([EXAMPLE, "--broker", "http://tokens.example.com"], id="broker-over-http"),
        pytest.param([EXAMPLE, "--broker", BROKER, "--upload-url", "ftp://a.example/"], id="upload-over-ftp"),
        pytest.param([EXAMPLE, "--broker", BROKER, "--name", "two words"], id="name-with-a-space"),
        pytest.param([EXAMPLE, "--broker", BROKER, "--name", "-x"], id="name-like-an-option"),
        pytest.param([EXAMPLE, "--broker", BROKER, "--name", "a\x1b[2J"], id="name-with-a-terminal-escape"),
    ],
)
def test_add_refuses_what_could_not_be_used(home: Home, words: list[str]) -> None:
    result = home.run("add", *words, "--yes")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "\x1b" not in result.stderr
    assert not home.config.exists()


@pytest.mark.parametrize(
    "words",
    [
        pytest.param([EXAMPLE, "--name", "acme"], id="the-same-name"),
        pytest.param([URL.rstrip("/"), "--name", "other"], id="the-same-url"),
    ],
)
def test_add_does_not_add_an_index_twice(home: Home, words: list[str]) -> None:
    home.configure()
    before = home.config.read_bytes()
    result = home.run("add", *words, "--broker", BROKER, "--yes")
    assert result.exit_code == 1
    assert "is configured already" in result.stderr
    assert home.config.read_bytes() == before


def test_where_the_index_does_not_answer_add_says_how_to_name_the_broker(home: Home) -> None:
    result = home.run("add", "http://127.0.0.1:9/simple/", "--yes")
    assert result.exit_code == 1
    assert "cannot be reached" in result.stderr
    assert not home.config.exists()


def test_a_file_that_cannot_be_written_is_an_error_with_a_hint(home: Home) -> None:
    (home.folder / "file").write_bytes(b"")
    place = str(home.folder / "file/deeper")
    result = home.run("add", EXAMPLE, "--broker", BROKER, "--yes", INDEXPASS_HOME=place)
    assert result.exit_code == 1
    assert "hint:" in result.stderr


# With a real broker


@pytest.fixture
def broker(start_broker: StartBroker) -> RunningBroker:
    return start_broker()


def test_add_finds_out_what_the_index_says_about_itself(home: Home, broker: RunningBroker) -> None:
    result = home.run("add", broker.index, "--yes")
    assert result.exit_code == 0, result.stderr
    (index,) = read_file(home.config)
    assert (str(index.upload_url), index.options["broker"]) == (f"{broker.url}/legacy/", broker.url)


def test_add_says_how_to_go_on_where_there_is_no_such_index(home: Home, broker: RunningBroker) -> None:
    result = home.run("add", f"{broker.url}/other/simple/", "--yes")
    assert result.exit_code == 1
    assert f"indexpass add {broker.url}/other/simple/ --broker" in result.stderr


def test_logout_ends_the_session_there_and_here_with_its_credentials(home: Home, broker: RunningBroker) -> None:
    home.configure(table("acme", broker.index, broker.url))
    grant = broker.sign_in()
    home.sessions.save(Session(broker.url, "alice", Secret(grant["refresh_token"])))
    home.run("token")
    result = home.run("logout")
    assert (result.exit_code, result.stderr) == (0, f"Signed out at {broker.url}.\n")
    assert [path.suffix for path in home.folder.rglob("*") if path.suffix in {".credential", ".session"}] == []
    assert broker.refresh(grant["refresh_token"]).json()["error"] == "invalid_grant"


def test_logout_where_nobody_is_signed_in_is_no_error(home: Home) -> None:
    home.configure()
    result = home.run("logout")
    assert (result.exit_code, result.stderr) == (0, f"Nobody was signed in at {BROKER}.\n")


def test_logout_forgets_the_session_although_the_broker_is_down(home: Home) -> None:
    home.configure()
    home.sessions.save(Session(BROKER, "eve", Secret("r")))
    assert home.run("logout").exit_code == 1
    assert home.sessions.load(BROKER) is None


@pytest.mark.parametrize("words", [["login"], ["logout"]], ids=lambda words: words[0])
def test_people_cannot_sign_in_at_an_unknown_provider(home: Home, words: list[str]) -> None:
    home.configure(f'[[index]]\nname = "acme"\nurl = "{URL}"\nprovider = "nobody"')
    result = home.run(*words)
    assert result.exit_code == 1
    assert "unknown provider" in result.stderr


def test_login_at_a_broker_that_is_down_is_an_error(home: Home) -> None:
    home.configure()
    result = home.run("login")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "cannot be reached" in result.stderr


def test_add_keeps_a_link_to_settings_that_stand_elsewhere(home: Home, tmp_path: Path) -> None:
    elsewhere = tmp_path / "dotfiles.toml"
    elsewhere.write_text("# kept\n")
    home.config.symlink_to(elsewhere)
    url = "https://packages.acme.example/simple/"
    result = home.run("add", url, "--name", "acme", "--broker", "https://tokens.acme.example", "--yes")
    assert result.exit_code == 0, result.output
    assert home.config.is_symlink()
    assert elsewhere.read_text().startswith("# kept\n")
    assert 'name = "acme"' in elsewhere.read_text()


def test_adding_an_index_lets_a_broker_be_asked_again_that_could_not_be_reached(home: Home) -> None:
    home.cache.remember_failure(ACME, "read", errors.BrokerUnreachable("down"), time.time() + 30)
    assert home.run("add", EXAMPLE, "--broker", BROKER, "--yes").exit_code == 0
    assert home.cache.failure(ACME, "read", time.time()) is None


def test_signing_out_lets_a_broker_be_asked_again_that_could_not_be_reached(home: Home) -> None:
    home.configure()
    home.cache.remember_failure(ACME, "read", errors.BrokerUnreachable("down"), time.time() + 30)
    assert home.run("logout").exit_code == 0
    assert home.cache.failure(ACME, "read", time.time()) is None


@pytest.mark.parametrize(
    ("issuer", "endpoint", "reason"),
    [
        ("https://tokens.other.example", "{url}/oauth/token", "says that it is another broker"),
        ("{url}", "https://tokens.other.example/oauth/token", "on another host"),
    ],
    ids=["another issuer", "an endpoint elsewhere"],
)
def test_add_refuses_a_broker_that_does_not_stand_for_itself(
    home: Home, issuer: str, endpoint: str, reason: str
) -> None:
    with free_port() as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        resource = {"resource": f"{url}/simple/", "authorization_servers": [url]}
        said = endpoint.format(url=url)
        metadata = {"issuer": issuer.format(url=url), "token_endpoint": said, "revocation_endpoint": said}
        metadata |= {"device_authorization_endpoint": said, "jwks_uri": said}
        routes = [
            Route("/.well-known/oauth-protected-resource/simple", lambda _: JSONResponse(resource)),
            Route("/.well-known/oauth-authorization-server", lambda _: JSONResponse(metadata)),
        ]
        with serving(Starlette(routes=routes), listener):
            result = home.run("add", f"{url}/simple/", "--yes")
    assert result.exit_code == 1
    assert reason in result.stderr
    assert not home.config.exists()
