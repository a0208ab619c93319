"""``indexpass explain URL``: what it says is what a client would meet, it asks nobody, and it shows no secret."""

from __future__ import annotations

import json
import os
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from click.testing import CliRunner, Result

from indexpass import _cli, _registry
from indexpass._cache import Cache
from indexpass._credential import Credential, Index, Operation
from indexpass._model import Session
from indexpass._resolve import default_resolver
from indexpass._secret import Secret
from indexpass._sessions import FileSessions
from indexpass._url import IndexUrl
from indexpass.errors import BrokerUnreachable

if TYPE_CHECKING:
    from pathlib import Path

BROKER = "http://127.0.0.1:9"  # the port where nobody answers
URL = "https://packages.acme.example/simple/"
CANARY = "canary-2b7d"
OPTIONS = MappingProxyType({"broker": BROKER})
ACME = Index("acme", IndexUrl.parse(URL), IndexUrl.parse("https://packages.acme.example/legacy/"), options=OPTIONS)
CONFIG = f"""\
[[index]]
name = "acme"
url = "{URL}"
upload-url = "https://packages.acme.example/legacy/"
broker = "{BROKER}"

[[index]]
name = "one"
url = "https://twins.example/simple/"
files-url = "https://files.example/"
broker = "{BROKER}"

[[index]]
name = "two"
url = "https://twins.example/other/simple/"
files-url = "https://files.example/"
broker = "{BROKER}"

[[index]]
name = "git"
url = "https://github.com/acme/"
provider = "github"
"""


class Home(NamedTuple):
    """A user's own folder, and the command run in it."""

    folder: Path

    def hold(self, operation: Operation = "read", *, left: float = 3600) -> None:
        now = time.time()
        credential = Credential("__token__", Secret(CANARY), now + left - 3600, now + left)
        Cache(self.folder / "credentials").store(ACME, operation, credential)

    def run(self, *words: str, **environ: str) -> Result:
        clean = {key: None for key in os.environ if key.startswith("INDEXPASS_")}
        place = {"INDEXPASS_HOME": str(self.folder), "XDG_CONFIG_DIRS": str(self.folder)}
        return CliRunner().invoke(
            _cli.main, ["explain", *words], env={**clean, **place, "INDEXPASS_SESSION_STORE": "file", **environ}
        )

    def explain(self, *words: str, **environ: str) -> dict[str, Any]:
        result = self.run(*words, "--json", **environ)
        assert result.exit_code == 0, result.output
        told: dict[str, Any] = json.loads(result.stdout)
        return told


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.folder.mkdir(mode=0o700)
    (home.folder / "config.toml").write_text(CONFIG, encoding="utf-8")
    return home


# Whose a URL is


@pytest.mark.parametrize(
    ("url", "owner"),
    [
        pytest.param(f"{URL}requests/", ("acme", "read"), id="below-the-index"),
        pytest.param("https://packages.acme.example/files/a.whl", ("acme", "read"), id="beside-the-index"),
        pytest.param("https://packages.acme.example/legacy", ("acme", "upload"), id="upload"),
        pytest.param("packages.acme.example", ("acme", "read"), id="bare-host"),
        pytest.param("https://europe-python.pkg.dev/acme-tools/wheels/simple/", None, id="known-platform"),
    ],
)
def test_it_names_the_index_and_the_operation(home: Home, url: str, owner: tuple[str, str] | None) -> None:
    told = home.explain(url)
    found = told["owner"]
    assert told["silence"] is None
    assert (found["name"], found["operation"]) == (owner or (found["url"], "read"))
    assert found["is_known"] is (owner is None)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        pytest.param("https://elsewhere.example/", "no index owns this URL", id="foreign"),
        pytest.param("http://packages.acme.example/", "is not encrypted", id="not-encrypted"),
        pytest.param("https://files.example/a.whl", "belongs to one and two alike", id="tie"),
        pytest.param("twins.example", "belongs to one and two alike", id="host-of-two"),
        pytest.param("acme", "is the name of an index", id="name"),
        pytest.param(
            "https://acme.jfrog.io/artifactory/api/pypi/a/simple/", "needs settings: oidc-provider", id="jfrog"
        ),
    ],
)
def test_a_url_that_gets_nothing_ends_with_why(home: Home, url: str, reason: str) -> None:
    told = home.explain(url)
    assert told["owner"] is None
    assert reason in told["silence"]
    assert reason.rsplit(maxsplit=1)[-1] in home.run(url).stdout


def test_an_operation_that_the_provider_does_not_serve_is_left_to_others(home: Home) -> None:
    told = home.explain("https://github.com/acme/tools", "--operation", "upload")
    assert "issues nothing for this operation (upload)" in told["silence"]


@pytest.mark.parametrize(
    ("url", "reasons"),
    [
        pytest.param("https://packages.acme.example:8443/simple/", {"another port"}, id="port"),
        pytest.param("https://other.example/simple/", {"another host"}, id="host"),
        pytest.param(URL, {"it is there", "another path"}, id="found"),
    ],
)
def test_each_rule_says_why_the_url_is_there_or_not(home: Home, url: str, reasons: set[str]) -> None:
    rules = [rule for rule in home.explain(url)["rules"] if rule["owner"] == "acme"]
    assert [rule["setting"] for rule in rules] == ["upload-url", "url", "folder of url"]
    assert {rule["reason"] for rule in rules} == reasons


def test_what_is_configured_twice_is_said_to_be_left_out(home: Home) -> None:
    told = home.explain(URL, INDEXPASS_INDEX_URL=URL, INDEXPASS_BROKER=BROKER)
    variables, user, site = (place["says"] for place in told["configuration"])
    assert variables == "environment"
    assert user.startswith("acme (left out: configured above), one")
    assert site == "no such file"


# What a client gets


def test_what_is_held_is_what_a_client_gets(home: Home) -> None:
    home.hold()
    told = home.explain(URL)
    assert (told["held"]["age"], told["next_step"]) == ("fresh", "what is held is handed out; nobody is asked")
    assert {client["gets"] for client in told["clients"]} == {"user name __token__ and the held secret"}
    found = default_resolver({"INDEXPASS_HOME": str(home.folder)}).credential(URL)
    assert found is not None
    assert found.secret.reveal() == CANARY


def test_what_is_no_longer_fresh_is_asked_for_again(home: Home) -> None:
    home.hold(left=600)
    assert home.explain(URL, INDEXPASS_IDENTITY_TOKEN="a.b.c")["next_step"].startswith("the provider broker is asked")


def test_where_nobody_is_signed_in_clients_get_nothing(home: Home) -> None:
    told = home.explain(URL)
    assert told["next_step"] == "somebody has to sign in → indexpass login acme"
    assert {client["gets"] for client in told["clients"]} == {None}


def test_where_nothing_proves_who_runs_this_each_source_says_why_not(home: Home) -> None:
    assert "GITLAB_CI is not set" in home.run(URL).stdout
    assert "GITLAB_CI" not in home.run(URL, INDEXPASS_IDENTITY_TOKEN="a.b.c").stdout  # another one applies


def test_a_remembered_failure_is_told_with_its_fix(home: Home) -> None:
    down = BrokerUnreachable("the broker is down", hint="start it")
    Cache(home.folder / "credentials").remember_failure(ACME, "read", down, time.time() + 60)
    told = home.explain(URL)
    assert told["next_step"].endswith("the broker is down → start it")
    assert {client["gets"] for client in told["clients"]} == {None}


def test_who_is_signed_in_is_named(home: Home) -> None:
    FileSessions(home.folder / "sessions").save(Session(BROKER, "eve", Secret("r")))
    assert home.explain(URL)["identity"] == f"eve at {BROKER}"


def test_a_provider_that_nobody_has_is_said_to_be_missing(home: Home) -> None:
    (home.folder / "config.toml").write_text(f'[[index]]\nname = "acme"\nurl = "{URL}"\nprovider = "nobody"')
    told = home.explain(URL)
    assert told["owner"]["provider_from"].startswith("nowhere")
    assert "unknown provider" in told["next_step"]


def test_our_own_providers_come_from_us() -> None:
    assert _registry.who_offers("gitlab") == "indexpass"


@pytest.mark.parametrize(
    ("words", "clients"),
    [
        pytest.param([URL], ["pip", "uv", "Poetry"], id="read"),
        pytest.param([URL, "--operation", "upload"], ["twine", "uv publish", "Poetry"], id="upload"),
        pytest.param(["https://github.com/acme/tools"], ["git, pip, uv", "Poetry"], id="git"),
    ],
)
def test_it_says_which_clients_ask_for_it(home: Home, words: list[str], clients: list[str]) -> None:
    assert [client["client"] for client in home.explain(*words)["clients"]] == clients


# What it never does


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_no_secret_is_shown(home: Home, form: list[str]) -> None:
    home.hold()
    result = home.run(
        f"https://eve:{CANARY}@packages.acme.example/simple/?{CANARY}", *form, INDEXPASS_IDENTITY_TOKEN=f"{CANARY}.b.c"
    )
    assert result.exit_code == 0
    assert CANARY not in result.output


def test_nobody_is_asked(home: Home) -> None:
    result = home.run(URL, INDEXPASS_IDENTITY_TOKEN="a.b.c")  # its broker would not answer
    assert (result.exit_code, result.stderr) == (0, "")
    assert not (home.folder / "credentials").exists()


def test_what_does_not_fit_on_a_line_goes_on_below_its_own_text(home: Home) -> None:
    lines = home.run("https://elsewhere.example/").stdout.splitlines()
    assert max(len(line) for line in lines if len(line.split()) > 2) <= 100  # a path is not broken
    answer = next(number for number, line in enumerate(lines) if line.startswith("answer"))
    assert all(line.startswith(" " * 12) for line in lines[answer + 1 :])


def test_a_terminal_escape_in_a_url_is_not_sent_to_the_terminal(home: Home) -> None:
    assert "\x1b" not in home.run("https://a.example/\x1b[2J").output
