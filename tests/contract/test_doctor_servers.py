"""What the doctor sees of servers: certificates by real TLS, clocks, and a real broker's word on what is held."""

from __future__ import annotations

import json
import ssl
import time
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest
import trustme
from click.testing import CliRunner
from starlette.applications import Starlette

from indexpass import _cli
from indexpass._cache import Cache
from indexpass._credential import Credential, Index
from indexpass._doctor.indexes import judge_servers
from indexpass._doctor.programs import look
from indexpass._doctor.servers import look_at_servers
from indexpass._model import Session
from indexpass._resolve import default_context
from indexpass._secret import Secret
from indexpass._sessions import FileSessions
from indexpass._url import IndexUrl
from servers.loopback import free_port, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.brokers import RunningBroker, StartBroker

NOW = datetime.now(timezone.utc)


def index_at(url: str, broker: str | None = None) -> Index:
    options = {"broker": broker} if broker else {}
    return Index("acme", IndexUrl.parse(url), options=MappingProxyType(options))


@contextmanager
def https_server(
    folder: Path, host: str = "localhost", *, begins: datetime = NOW - timedelta(days=9), ends: datetime
) -> Iterator[str]:
    """A server with a certificate of an authority in ``folder / "authorities.pem"``."""
    authority = trustme.CA()
    leaf = authority.issue_cert(host, not_before=begins, not_after=ends)
    authority.cert_pem.write_to_path(str(folder / "authorities.pem"))
    for blob in leaf.cert_chain_pems:
        blob.write_to_path(str(folder / "chain.pem"), append=True)
    leaf.private_key_pem.write_to_path(str(folder / "key.pem"))
    with free_port() as listener:
        url = f"https://localhost:{listener.getsockname()[1]}/simple/"
        with serving(Starlette(), listener, tls=(folder / "chain.pem", folder / "key.pem")):
            yield url


@pytest.mark.parametrize(
    ("host", "days", "is_trusted", "expected"),
    [
        ("localhost", 90, True, []),
        ("localhost", 3, True, ["note: expires in 2 days"]),
        ("localhost", -1, True, ["fault: is not trusted: certificate has expired"]),
        ("packages.example.com", 90, True, ["fault: is not trusted: Hostname mismatch"]),
        ("localhost", 90, False, ["fault: is not trusted: unable to get local issuer certificate"]),
    ],
    ids=["well", "ends soon", "has ended", "another name", "unknown authority"],
)
def test_what_is_wrong_with_a_certificate(
    tmp_path: Path, host: str, days: int, *, is_trusted: bool, expected: list[str]
) -> None:
    with https_server(tmp_path, host, ends=NOW + timedelta(days=days)) as url:
        authorities = str(tmp_path / "authorities.pem") if is_trusted else ssl.get_default_verify_paths().cafile or ""
        context = default_context({"INDEXPASS_HOME": str(tmp_path), "SSL_CERT_FILE": authorities})
        findings = list(judge_servers(look_at_servers([index_at(url)], context), time.time()))
    lead = f"the certificate of {url.removesuffix('/simple/')} "
    said = [f"{found.verdict}: {found.message.removeprefix(lead).partition(', certificate')[0]}" for found in findings]
    assert said == expected


@pytest.mark.parametrize(("ahead", "verdict"), [(0, "ok"), (3600, "fault"), (-3600, "fault")])
def test_a_clock_that_differs_from_the_brokers_is_found(
    start_broker: StartBroker, tmp_path: Path, ahead: int, verdict: str
) -> None:
    broker = start_broker()
    context = default_context({"INDEXPASS_HOME": str(tmp_path)})._replace(now=lambda: time.time() + ahead)
    servers = look_at_servers([index_at(broker.index, broker.url)], context)
    assert {each.part: each.verdict for each in judge_servers(servers, time.time())}["clock"] == verdict


class Desk:
    """A user's folder, and ``indexpass doctor`` run in it with nothing on PATH."""

    def __init__(self, folder: Path, broker: str, index: str) -> None:
        self.folder = folder
        self.broker = broker
        self.index = index_at(index, broker)
        text = f'[[index]]\nname = "acme"\nurl = "{index}"\nbroker = "{broker}"\n'
        (folder / "config.toml").write_text(text, encoding="utf-8")

    def sign_in(self, broker: RunningBroker) -> str:
        """Sign in, keep what came, and return the access token."""
        answer = broker.sign_in(resource=broker.index)
        FileSessions(self.folder / "sessions").save(Session(self.broker, "alice", Secret(answer["refresh_token"])))
        token, now = answer["access_token"], time.time()
        Cache(self.folder / "credentials").store(
            self.index, "read", Credential("__token__", Secret(token), now, now + 3600)
        )
        return token

    def examine(self, *words: str, **variables: str) -> tuple[int, list[dict[str, str]], str]:
        """Return exit code, findings but those of clients, and all that was printed."""
        places = dict.fromkeys(("INDEXPASS_HOME", "XDG_CONFIG_DIRS", "HOME"), str(self.folder))
        environ = {**places, "INDEXPASS_SESSION_STORE": "file", "PATH": str(self.folder), **variables}
        result = CliRunner().invoke(_cli.main, ["doctor", "--json", *words], env=environ)
        findings = json.loads(result.stdout)
        return result.exit_code, [each for each in findings if each["part"] != "pip"], result.output


@pytest.fixture
def broker(start_broker: StartBroker) -> RunningBroker:
    return start_broker()


@pytest.fixture
def desk(tmp_path: Path, broker: RunningBroker) -> Desk:
    (tmp_path / "home").mkdir(mode=0o700)
    return Desk(tmp_path / "home", broker.url, broker.index)


def test_where_only_a_sign_in_is_missing_that_is_said_with_a_code_of_its_own(desk: Desk) -> None:
    code, findings, _ = desk.examine()
    assert code == 3
    assert {each["part"]: each["verdict"] for each in findings} == {
        "config": "ok",
        "broker": "ok",
        "clock": "ok",
        "acme": "sign-in",
    }
    assert findings[-1]["hint"] == "indexpass login acme"


def test_the_index_itself_says_whether_it_takes_what_is_held(desk: Desk, broker: RunningBroker) -> None:
    token = desk.sign_in(broker)
    code, findings, shown = desk.examine(broker.index)
    assert (code, findings[-1]["verdict"]) == (0, "ok")
    assert findings[-1]["message"] == f"{broker.index} takes the credential that is held"
    assert "read: fresh" in shown
    assert "pypi:read" in shown
    assert token not in shown


def test_an_index_that_refuses_what_is_held_is_a_fault(desk: Desk, broker: RunningBroker) -> None:
    desk.sign_in(broker)
    now = time.time()
    stale = Credential("__token__", Secret("canary-of-nobody"), now, now + 3600)
    Cache(desk.folder / "credentials").store(desk.index, "read", stale)
    code, findings, shown = desk.examine("acme")
    assert (code, findings[-1]["verdict"]) == (1, "fault")
    assert "canary" not in shown


def test_a_broker_that_is_away_is_a_fault(tmp_path: Path) -> None:
    with free_port() as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    code, findings, _ = Desk(tmp_path, url, f"{url}/simple/").examine()
    assert code == 1
    assert f"{url} cannot be reached" in [each["message"] for each in findings]


def test_a_host_that_is_away_is_a_fault(tmp_path: Path) -> None:
    with free_port() as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/simple/"
    context = default_context({"INDEXPASS_HOME": str(tmp_path)})
    (found,) = judge_servers(look_at_servers([index_at(url)], context), time.time())
    assert (found.part, found.verdict) == ("host", "fault")


def test_a_file_of_authorities_that_is_missing_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pem")
    context = default_context({"INDEXPASS_HOME": str(tmp_path), "SSL_CERT_FILE": missing})
    (found,) = judge_servers(look_at_servers([index_at("https://127.0.0.1:9/simple/")], context), time.time())
    assert (found.verdict, missing in found.message) == ("fault", True)


def test_in_ci_it_is_said_what_the_job_lacks_in_place_of_a_sign_in(desk: Desk) -> None:
    _, findings, _ = desk.examine(CI="true", GITHUB_ACTIONS="true")
    assert (findings[-1]["verdict"], "id-token: write" in findings[-1]["hint"]) == ("fault", True)


def test_an_index_of_a_known_platform_is_found_in_a_clients_settings(desk: Desk) -> None:
    (desk.folder / "config.toml").unlink()
    url = "https://acme-123456789012.d.codeartifact.eu-west-1.amazonaws.com/pypi/shared/simple/"
    (desk.folder / ".pypirc").write_text(f"[acme]\nrepository = {url}\n")
    found = look([], {"HOME": str(desk.folder), "PATH": ""}, desk.folder, own_python="").named
    assert [str(index.url) for index in found] == [url]


def test_a_configuration_that_is_broken_is_a_finding_and_the_clients_are_looked_at_all_the_same(desk: Desk) -> None:
    (desk.folder / "config.toml").write_text("[[index", encoding="utf-8")
    code, findings, shown = desk.examine()
    assert (code, findings[0]["part"], findings[0]["verdict"]) == (1, "config", "fault")
    assert '"pip"' in shown
