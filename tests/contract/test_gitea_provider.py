"""The provider for Gitea and Forgejo against a double of them: jobs, people, and what they say no to."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest
import requests

from indexpass._credential import Index
from indexpass._http import HttpClient
from indexpass._model import Context, Credential, Operation, Session, SignIn
from indexpass._sessions import FileSessions
from indexpass._url import IndexUrl
from indexpass.errors import BrokerRefused, BrokerUnreachable, ConfigError, IdentityError, SessionError
from indexpass.providers.gitea import GiteaProvider
from indexpass.testing import PlatformContract, Reply, Subject
from servers.gitea_platform import CLIENT_ID, Gitea

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

JOB_TOKEN = "a-job-token-of-forty-characters-0123456"


class Machine:
    """A machine with an index of the server, a browser, and whoever uses it."""

    def __init__(self, gitea: Gitea, folder: Path) -> None:
        self.gitea = gitea
        self.sessions = FileSessions(folder / "sessions")
        self.options = {"client-id": CLIENT_ID}
        self.environ: dict[str, str] = {}
        self.url = gitea.index
        self.opened: list[str] = []

    @property
    def index(self) -> Index:
        return Index(
            name="acme",
            url=IndexUrl.parse(self.url),
            upload_url=IndexUrl.parse(self.gitea.upload_url),
            provider="gitea",
            options=MappingProxyType(self.options),
        )

    @property
    def context(self) -> Context:
        return Context(HttpClient(), self.sessions, lambda _: None, self.gitea.clock, self.environ)

    def issue(self, operation: Operation = "read") -> Credential:
        return GiteaProvider().issue(self.index, operation, self.context)

    def browse(self, url: str) -> bool:
        """Go where a browser would: to the page, and where it sends the person."""
        self.opened.append(url)
        with requests.Session() as browser:
            browser.trust_env = False
            return browser.get(url, timeout=10).ok

    def sign_in(self) -> tuple[Session, Credential]:
        return GiteaProvider().sign_in(self.index, self.context, show=pytest.fail, wait=pytest.fail, browse=self.browse)

    def status(self, credential: Credential) -> int:
        return self.context.http.try_credential(self.gitea.index, credential).status

    def become_job_of(self, server: str, mark: str = "GITEA_ACTIONS", variable: str = "GITEA_TOKEN") -> None:
        self.gitea.job_token = JOB_TOKEN
        self.environ = {mark: "true", variable: JOB_TOKEN, "GITHUB_SERVER_URL": server}


@pytest.fixture
def machine(gitea: Gitea, tmp_path: Path) -> Machine:
    return Machine(gitea, tmp_path)


@pytest.fixture
def signed_in(machine: Machine) -> Machine:
    machine.sign_in()
    return machine


class TestContract(PlatformContract):
    operations = ("read",)
    max_requests = 1

    @pytest.fixture
    def subject(self, signed_in: Machine) -> Subject:
        return Subject(GiteaProvider(), signed_in.index, signed_in.context, frozenset({signed_in.gitea.url}))


# Jobs


@pytest.mark.parametrize("variable", ["GITEA_TOKEN", "FORGEJO_TOKEN", "GITHUB_TOKEN"])
@pytest.mark.parametrize("mark", ["GITEA_ACTIONS", "FORGEJO_ACTIONS"])
def test_a_job_gets_its_own_token(machine: Machine, mark: str, variable: str) -> None:
    machine.become_job_of(machine.gitea.url, mark, variable)
    assert machine.issue().secret.reveal() == JOB_TOKEN


@pytest.mark.parametrize("operation", ["read", "upload"])
def test_the_token_of_a_job_opens_the_index_and_is_not_held_for_the_next_job(
    machine: Machine, operation: Operation
) -> None:
    machine.become_job_of(machine.gitea.url)
    credential = machine.issue(operation)
    assert (machine.status(credential), credential.is_kept) == (200, False)


def test_a_job_without_its_token_is_told_what_to_add(machine: Machine) -> None:
    machine.become_job_of(machine.gitea.url, variable="OTHER")
    with pytest.raises(IdentityError, match="not been given") as caught:
        machine.issue()
    assert "GITEA_TOKEN: ${{ secrets.GITEA_TOKEN }}" in caught.value.hint


ELSEWHERE = {
    "another host": "https://gitea.acme.example",
    "another host that begins alike": "http://127.0.0.1.evil.example",
    "another port": "http://127.0.0.1:1",
    "a folder of the host": "{url}/gitea",
    "nothing": "",
}


@pytest.mark.parametrize("server", ELSEWHERE.values(), ids=ELSEWHERE)
def test_the_token_of_another_server_s_job_goes_nowhere(machine: Machine, server: str) -> None:
    machine.become_job_of(server.replace("{url}", machine.gitea.url))
    with pytest.raises(SessionError):
        machine.issue()


def test_a_job_of_github_is_no_job_of_gitea(machine: Machine) -> None:
    machine.become_job_of(machine.gitea.url, "GITHUB_ACTIONS", "GITHUB_TOKEN")
    with pytest.raises(SessionError):
        machine.issue()


@pytest.mark.parametrize("key", ["files_url", "upload_url"])
def test_the_job_token_does_not_go_to_files_or_uploads_that_are_elsewhere(machine: Machine, key: str) -> None:
    machine.become_job_of(machine.gitea.url)
    elsewhere = IndexUrl.parse("https://gitea.example/api/packages/acme/pypi")
    index = machine.index._replace(**{key: elsewhere})
    with pytest.raises(SessionError):
        GiteaProvider().issue(index, "upload" if key == "upload_url" else "read", machine.context)


# People


def test_people_sign_in_at_gitea() -> None:
    assert isinstance(GiteaProvider(), SignIn)


def test_a_sign_in_yields_a_credential_that_opens_the_index(machine: Machine) -> None:
    session, credential = machine.sign_in()
    assert machine.status(credential) == 200
    assert session.broker == machine.gitea.url


def test_a_sign_in_asks_for_reading_packages_and_no_more(machine: Machine) -> None:
    machine.sign_in()
    assert machine.gitea.scopes == ["read:package"]


def test_the_page_that_is_opened_holds_no_secret(machine: Machine) -> None:
    machine.sign_in()
    (url,) = machine.opened
    assert "code_challenge=" in url
    assert "verifier" not in url


def test_a_session_yields_credentials_again_and_again(signed_in: Machine) -> None:
    assert all(signed_in.status(signed_in.issue()) == 200 for _ in range(3))


def test_a_credential_lives_as_long_as_the_server_says(signed_in: Machine) -> None:
    credential = signed_in.issue()
    assert credential.expires_at == pytest.approx(credential.issued_at + 3600)


def test_signing_out_forgets_the_session(signed_in: Machine) -> None:
    session = GiteaProvider().session(signed_in.index, signed_in.context)
    assert session is not None
    assert GiteaProvider().sign_out(signed_in.index, signed_in.context) == session
    assert GiteaProvider().session(signed_in.index, signed_in.context) is None


# What they say no to


def test_people_do_not_upload(signed_in: Machine) -> None:
    with pytest.raises(SessionError, match="for reading only") as caught:
        signed_in.issue("upload")
    assert "write:package" in caught.value.hint


def test_without_a_browser_nobody_signs_in(machine: Machine) -> None:
    with pytest.raises(SessionError, match="browser of the same machine") as caught:
        GiteaProvider().sign_in(machine.index, machine.context, show=pytest.fail, wait=pytest.fail)
    assert "read:package" in caught.value.hint


def test_a_denied_sign_in_keeps_nothing(machine: Machine) -> None:
    machine.gitea.is_approved = False
    with pytest.raises(BrokerRefused, match="was denied"):
        machine.sign_in()
    assert machine.sessions.load(machine.gitea.url) is None


def test_nobody_signed_in_is_told_the_command(machine: Machine) -> None:
    with pytest.raises(SessionError, match="nobody is signed in") as caught:
        machine.issue()
    assert caught.value.hint == "indexpass login acme"


def test_without_a_client_id_the_place_to_get_one_is_told(machine: Machine) -> None:
    machine.options = {}
    with pytest.raises(SessionError, match="no client-id") as caught:
        machine.issue()
    assert f"{machine.gitea.url}/user/settings/applications" in caught.value.hint


@pytest.mark.parametrize("end", [Gitea.end_sessions, Gitea.expire_sessions], ids=["revoked", "expired"])
def test_a_session_that_was_ended_there_is_forgotten(signed_in: Machine, end: Callable[[Gitea], None]) -> None:
    end(signed_in.gitea)
    with pytest.raises(SessionError, match="has ended"):
        signed_in.issue()
    assert signed_in.sessions.load(signed_in.gitea.url) is None


def test_an_application_that_is_unknown_is_named(signed_in: Machine) -> None:
    signed_in.options = {"client-id": "nobody"}
    with pytest.raises(BrokerRefused) as caught:
        signed_in.issue()
    assert "not confidential" in caught.value.hint


def test_a_server_that_is_busy_says_when_to_come_back(signed_in: Machine) -> None:
    signed_in.gitea.fail(Reply(503, None, {"Retry-After": "7"}))
    with pytest.raises(BrokerUnreachable) as caught:
        signed_in.issue()
    assert caught.value.retry_after == 7


@pytest.mark.parametrize("path", ["simple/", "api/packages/pypi/simple", "api/packages/acme/npm/simple"])
def test_a_url_that_is_not_theirs_is_told_what_one_looks_like(machine: Machine, path: str) -> None:
    machine.url = f"{machine.gitea.url}/{path}"
    with pytest.raises(ConfigError) as caught:
        machine.issue()
    assert "/api/packages/OWNER/pypi/simple" in caught.value.hint
