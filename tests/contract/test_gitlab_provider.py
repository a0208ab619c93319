"""GitLab's provider against a double of GitLab: jobs, people, and what GitLab says no to."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest
from starlette.responses import JSONResponse, Response

from indexpass._credential import Index
from indexpass._diagnose import explain
from indexpass._http import HttpClient
from indexpass._known import find
from indexpass._match import match
from indexpass._model import Context, Credential, Invitation, Operation, Session, SignIn
from indexpass._secret import Secret
from indexpass._sessions import FileSessions
from indexpass._url import IndexUrl
from indexpass.errors import (
    BrokerMisbehaved,
    BrokerRefused,
    BrokerUnreachable,
    ConfigError,
    IdentityError,
    IndexpassError,
    SessionError,
)
from indexpass.providers.gitlab import GitLabProvider
from indexpass.testing import PlatformContract, Subject
from servers.gitlab_platform import CLIENT_ID, PROJECT, GitLab

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

JOB_TOKEN = "glcbt-64_a-job-token"


class Machine:
    """A machine with an index of the GitLab, and whoever uses it."""

    def __init__(self, gitlab: GitLab, folder: Path) -> None:
        self.gitlab = gitlab
        self.sessions = FileSessions(folder / "sessions")
        self.options = {"client-id": CLIENT_ID}
        self.environ: dict[str, str] = {}
        self.invitations: list[Invitation] = []
        self.url = gitlab.index
        self.ahead = 0.0  # seconds that this machine's clock is ahead of GitLab's

    @property
    def index(self) -> Index:
        return Index(
            name="acme",
            url=IndexUrl.parse(self.url),
            upload_url=IndexUrl.parse(self.gitlab.upload_url),
            provider="gitlab",
            options=MappingProxyType(self.options),
        )

    @property
    def context(self) -> Context:
        return Context(
            HttpClient(), self.sessions, lambda _: None, lambda: self.gitlab.clock() + self.ahead, self.environ
        )

    def issue(self, operation: Operation = "read") -> Credential:
        return GitLabProvider().issue(self.index, operation, self.context)

    def sign_in(self) -> tuple[Session, Credential]:
        show, wait = self.invitations.append, self.gitlab.clock.advance
        return GitLabProvider().sign_in(self.index, self.context, show=show, wait=wait)

    def status(self, credential: Credential) -> int:
        """Return what GitLab answers to the credential."""
        return self.context.http.try_credential(self.gitlab.index, credential).status

    def become_job_of(self, server: str) -> None:
        self.gitlab.job_token = JOB_TOKEN
        self.environ = {"CI_JOB_TOKEN": JOB_TOKEN, "CI_SERVER_URL": server}


@pytest.fixture
def machine(gitlab: GitLab, tmp_path: Path) -> Machine:
    return Machine(gitlab, tmp_path)


@pytest.fixture
def signed_in(machine: Machine) -> Machine:
    machine.sign_in()
    return machine


class TestContract(PlatformContract):
    write_mark = "write_package_registry"

    @pytest.fixture
    def subject(self, signed_in: Machine) -> Subject:
        return Subject(GitLabProvider(), signed_in.index, signed_in.context, frozenset({signed_in.gitlab.url}))


# Jobs


@pytest.mark.parametrize("operation", ["read", "upload"])
def test_a_job_gets_its_own_token_under_the_name_that_gitlab_wants(machine: Machine, operation: Operation) -> None:
    machine.become_job_of(machine.gitlab.url)
    credential = machine.issue(operation)
    assert (credential.username, credential.secret.reveal()) == ("gitlab-ci-token", JOB_TOKEN)
    assert machine.status(credential) == 200


def test_a_job_needs_no_option_and_asks_nobody(machine: Machine) -> None:
    machine.become_job_of(machine.gitlab.url)
    machine.options = {}
    machine.issue()
    assert machine.gitlab.paths == []


def test_a_job_token_is_not_held_for_the_next_job_on_the_same_machine(machine: Machine) -> None:
    machine.become_job_of(machine.gitlab.url)
    assert not machine.issue().is_kept


ELSEWHERE = {
    "another host": "https://gitlab.acme.example",
    "another host that begins alike": "http://127.0.0.1.evil.example",
    "another port": "http://127.0.0.1:1",
    "another scheme": "https://127.0.0.1",
    "a folder of the host": "{url}/gitlab",
    "a user name": "https://{url}@evil.example",
    "nothing": "",
    "no URL": "gitlab",
}


@pytest.mark.parametrize("server", ELSEWHERE.values(), ids=ELSEWHERE)
def test_the_job_token_of_another_gitlab_goes_nowhere(machine: Machine, server: str) -> None:
    machine.become_job_of(server.replace("{url}", machine.gitlab.url))
    machine.options = {}
    with pytest.raises(IdentityError, match="is not for") as caught:
        machine.issue()
    assert JOB_TOKEN not in f"{caught.value!r} {caught.value.hint}"


def test_the_job_token_does_not_go_to_files_that_are_elsewhere(machine: Machine) -> None:
    machine.become_job_of(machine.gitlab.url)
    index = machine.index._replace(files_url=IndexUrl.parse("https://files.example/"), options={})
    with pytest.raises(IdentityError):
        GitLabProvider().issue(index, "read", machine.context)


def test_the_job_token_does_not_go_to_uploads_that_are_elsewhere(machine: Machine) -> None:
    machine.become_job_of(machine.gitlab.url)
    elsewhere = IndexUrl.parse("https://gitlab.example/api/v4/projects/77/packages/pypi")
    index = machine.index._replace(upload_url=elsewhere, options={})
    with pytest.raises(IdentityError):
        GitLabProvider().issue(index, "upload", machine.context)


def test_a_job_of_another_gitlab_may_use_the_session_of_a_person(signed_in: Machine) -> None:
    signed_in.become_job_of("https://gitlab.acme.example")
    assert signed_in.issue().username == "gitlab+deploy-token-2"


def test_a_gitlab_below_a_folder_has_its_jobs_there(machine: Machine) -> None:
    machine.url = f"{machine.gitlab.url}/git/api/v4/projects/7/packages/pypi/simple"
    machine.become_job_of(f"{machine.gitlab.url}/git/")
    assert machine.issue().username == "gitlab-ci-token"


@pytest.mark.parametrize("status", [403, 404])
def test_a_job_that_the_index_does_not_let_in_is_told_the_setting(machine: Machine, status: int) -> None:
    machine.become_job_of(machine.gitlab.url)
    refusal = explain(machine.index, machine.issue(), status=status, headers={}, now=0, is_own_page=True)
    assert refusal is not None
    assert "Job token permissions" in refusal.hint


@pytest.mark.parametrize("status", [403, 404])
def test_a_person_whom_the_index_does_not_let_in_is_not_told_the_setting_of_jobs(machine: Machine, status: int) -> None:
    _, credential = machine.sign_in()
    refusal = explain(machine.index, credential, status=status, headers={}, now=0, is_own_page=True)
    assert refusal is not None
    assert "Job token" not in refusal.hint


# People


def test_people_sign_in_at_gitlab() -> None:
    assert isinstance(GitLabProvider(), SignIn)


def test_a_sign_in_yields_a_credential_that_opens_the_index(machine: Machine) -> None:
    session, credential = machine.sign_in()
    assert machine.status(credential) == 200
    assert (session.broker, session.user) == (machine.gitlab.url, "alice")


def test_the_invitation_is_gitlab_s_own_page_and_code(machine: Machine) -> None:
    machine.sign_in()
    (invitation,) = machine.invitations
    assert invitation.url == f"{machine.gitlab.url}/oauth/device"
    assert invitation.code in invitation.direct_url


@pytest.mark.parametrize(
    ("operation", "scope", "seconds"),
    [("read", "read_package_registry", 3600), ("upload", "write_package_registry", 900)],
)
def test_a_deploy_token_is_for_one_operation_and_one_project_and_ends_soon(
    signed_in: Machine, operation: Operation, scope: str, seconds: int
) -> None:
    credential = signed_in.issue(operation)
    minted = signed_in.gitlab.minted[-1]
    assert (minted["scopes"], minted["of"]) == ([scope], ("projects", PROJECT))
    assert credential.expires_at == pytest.approx(credential.issued_at + seconds, abs=2)


def test_a_deploy_token_really_ends_there_when_it_does_here(signed_in: Machine) -> None:
    credential = signed_in.issue()
    assert credential.expires_at is not None
    signed_in.gitlab.clock.advance(credential.expires_at - signed_in.gitlab.clock() + 1)
    assert signed_in.status(credential) == 401


def test_the_index_of_a_group_has_tokens_of_the_group(machine: Machine) -> None:
    machine.gitlab.role, machine.url = "owner", machine.gitlab.group_index
    machine.sign_in()
    assert machine.gitlab.minted[-1]["of"] == ("groups", "acme")


def test_an_upload_beside_the_index_of_a_group_is_for_its_own_project(signed_in: Machine) -> None:
    signed_in.url = signed_in.gitlab.group_index
    signed_in.issue("upload")
    assert signed_in.gitlab.minted[-1]["of"] == ("projects", PROJECT)


def test_the_refresh_token_rotates_and_its_successor_is_kept(signed_in: Machine) -> None:
    before = signed_in.sessions.load(signed_in.gitlab.url)
    assert all(signed_in.status(signed_in.issue()) == 200 for _ in range(3))
    after = signed_in.sessions.load(signed_in.gitlab.url)
    assert before is not None
    assert after is not None
    assert (after.user, after.refresh_token == before.refresh_token) == ("alice", False)


def test_the_session_of_an_index_is_the_one_at_its_gitlab(machine: Machine) -> None:
    session, _ = machine.sign_in()
    assert GitLabProvider().session(machine.index, machine.context) == session


def test_without_a_client_id_there_is_no_session_to_look_for(signed_in: Machine) -> None:
    signed_in.options = {}
    assert GitLabProvider().session(signed_in.index, signed_in.context) is None


def test_signing_out_ends_the_session_there_and_here(signed_in: Machine) -> None:
    session = GitLabProvider().sign_out(signed_in.index, signed_in.context)
    assert session is not None
    signed_in.sessions.save(session)  # as a thief would who had it
    with pytest.raises(SessionError, match="has ended"):
        signed_in.issue()


def test_a_gitlab_that_does_not_confirm_the_sign_out_is_told(signed_in: Machine) -> None:
    signed_in.gitlab.failure = Response(status_code=503)
    with pytest.raises(BrokerUnreachable, match="did not confirm") as caught:
        GitLabProvider().sign_out(signed_in.index, signed_in.context)
    assert "gone from this machine" in caught.value.hint
    assert signed_in.sessions.load(signed_in.gitlab.url) is None


# What GitLab says no to


def test_nobody_signed_in_is_told_the_command(machine: Machine) -> None:
    with pytest.raises(SessionError, match="nobody is signed in") as caught:
        machine.issue()
    assert caught.value.hint == "indexpass login acme"


def test_a_person_without_a_client_id_is_told_where_to_get_one(machine: Machine) -> None:
    machine.options = {}
    with pytest.raises(SessionError, match="no client-id") as caught:
        machine.issue()
    assert f"{machine.gitlab.url}/-/user_settings/applications" in caught.value.hint


def test_a_session_that_gitlab_has_ended_is_forgotten(signed_in: Machine) -> None:
    signed_in.gitlab.end_sessions()
    with pytest.raises(SessionError, match="has ended") as caught:
        signed_in.issue()
    assert caught.value.hint == "indexpass login acme"
    assert signed_in.sessions.load(signed_in.gitlab.url) is None


def test_a_denied_sign_in_keeps_nothing(machine: Machine) -> None:
    machine.gitlab.decision = "denied"
    with pytest.raises(BrokerRefused, match="was denied"):
        machine.sign_in()
    assert machine.sessions.load(machine.gitlab.url) is None


def test_a_sign_in_that_nobody_decides_ends(machine: Machine) -> None:
    machine.gitlab.decision = None
    with pytest.raises(SessionError, match="nobody approved"):
        machine.sign_in()


@pytest.mark.parametrize("fault", ["unknown id", "confidential"])
def test_an_application_that_cannot_be_used_is_named(machine: Machine, fault: str) -> None:
    if fault == "unknown id":
        machine.options = {"client-id": "nobody"}
    machine.gitlab.device_flow = fault == "unknown id"
    with pytest.raises(BrokerRefused) as caught:
        machine.sign_in()
    assert "not confidential, with the scope api" in caught.value.hint


@pytest.mark.parametrize(
    ("url", "role"),
    [("index", "Maintainer of the project"), ("group_index", "Owner of the group")],
    ids=["project", "group"],
)
def test_who_may_not_make_deploy_tokens_is_told_who_may_and_what_else_to_do(
    machine: Machine, url: str, role: str
) -> None:
    machine.gitlab.role, machine.url = "developer", getattr(machine.gitlab, url)
    with pytest.raises(BrokerRefused, match=f"only the {role}") as caught:
        machine.sign_in()
    assert "read_package_registry" in caught.value.hint
    assert 'provider = "static"' in caught.value.hint


def test_an_application_without_the_scope_is_told_which(signed_in: Machine) -> None:
    signed_in.gitlab.scope = "read_api"
    with pytest.raises(BrokerRefused, match="may not make deploy tokens") as caught:
        signed_in.issue()
    assert "scope api" in caught.value.hint


def test_a_project_that_is_not_shown_is_named(signed_in: Machine) -> None:
    signed_in.url = signed_in.url.replace("/77/", "/78/")
    with pytest.raises(BrokerRefused, match="no project 78"):
        signed_in.issue()


ANSWERS: Mapping[str, tuple[Response, type[IndexpassError], str]] = {
    "throttled": (Response(status_code=429, headers={"Retry-After": "42"}), BrokerUnreachable, "not ready"),
    "broken": (Response(status_code=500), BrokerUnreachable, "not ready"),
    "unauthorized": (JSONResponse({"message": "401 Unauthorized"}, 401), BrokerRefused, "your session"),
    "invalid": (JSONResponse({"message": "400 Bad request"}, 400), BrokerRefused, "status 400"),
    "no JSON": (Response("<html>", 201), BrokerRefused, "status 201"),
    "no token": (JSONResponse({"expires_at": "2999-01-01T00:00:00Z", "username": "u"}, 201), BrokerMisbehaved, "token"),
    "no expiry": (JSONResponse({"username": "u", "token": "t"}, 201), BrokerMisbehaved, "expires_at"),
    "no time": (
        JSONResponse({"username": "u", "token": "t", "expires_at": "soon"}, 201),
        BrokerMisbehaved,
        "not a time",
    ),
}


@pytest.mark.parametrize(("answer", "kind", "words"), ANSWERS.values(), ids=ANSWERS)
def test_what_minting_is_answered_has_words_of_its_own(
    signed_in: Machine, answer: Response, kind: type[IndexpassError], words: str
) -> None:
    signed_in.gitlab.minting_failure = answer
    with pytest.raises(kind, match=words):
        signed_in.issue()


def test_gitlab_says_when_to_come_back(signed_in: Machine) -> None:
    signed_in.gitlab.failure = Response(status_code=429, headers={"Retry-After": "42"})
    with pytest.raises(BrokerUnreachable) as caught:
        signed_in.issue()
    assert caught.value.retry_after == 42


def test_a_clock_that_is_behind_by_hours_is_told(signed_in: Machine) -> None:
    signed_in.ahead = -2 * 3600
    with pytest.raises(BrokerMisbehaved, match="clock is behind") as caught:
        signed_in.issue()
    assert "set the clock" in caught.value.hint


@pytest.mark.parametrize(("ahead", "seconds"), [(-1800, 1800), (1800, 3600)], ids=["behind", "ahead"])
def test_a_wrong_clock_never_makes_a_credential_live_longer_here_than_there(
    signed_in: Machine, ahead: float, seconds: float
) -> None:
    signed_in.ahead = ahead
    credential = signed_in.issue()
    assert credential.expires_at == pytest.approx(credential.issued_at + seconds, abs=3)


@pytest.mark.parametrize("path", ["simple/", "api/v4/projects/acme/simple", "api/v4/packages/pypi/simple"])
def test_a_url_that_is_not_gitlab_s_is_told_what_one_looks_like(machine: Machine, path: str) -> None:
    machine.url = f"{machine.gitlab.url}/{path}"
    with pytest.raises(ConfigError, match="not the URL of an index at GitLab") as caught:
        machine.issue()
    assert "/api/v4/projects/ID/packages/pypi/simple" in caught.value.hint


def test_no_error_shows_a_token(signed_in: Machine) -> None:
    signed_in.gitlab.minting_failure = JSONResponse({"message": f"{JOB_TOKEN}"}, 400)
    with pytest.raises(BrokerRefused) as caught:
        signed_in.issue()
    assert JOB_TOKEN not in f"{caught.value!r} {caught.value.hint}"


# Which URLs are GitLab.com's

KNOWN = {
    "project": ("https://gitlab.com/api/v4/projects/77/packages/pypi/simple", "projects/77", "read"),
    "page of a package": ("https://gitlab.com/api/v4/projects/77/packages/pypi/simple/tool/", "projects/77", "read"),
    "file": ("https://gitlab.com/api/v4/projects/77/packages/pypi/files/ab12/tool-1.whl", "projects/77", "read"),
    "upload": ("https://gitlab.com/api/v4/projects/77/packages/pypi", "projects/77", "upload"),
    "group": ("https://gitlab.com/api/v4/groups/acme/-/packages/pypi/simple", "groups/acme/-", "read"),
    "port": ("https://GitLab.com:443/api/v4/projects/77/packages/pypi/simple", "projects/77", "read"),
    "user info": ("https://alice@gitlab.com/api/v4/projects/77/packages/pypi/simple", "projects/77", "read"),
}


@pytest.mark.parametrize(("url", "place", "operation"), KNOWN.values(), ids=KNOWN)
def test_an_index_of_gitlab_com_is_known_by_its_url(url: str, place: str, operation: str) -> None:
    found = match(url, ())
    assert found is not None
    assert (found[0].provider, found[1]) == ("gitlab", operation)
    assert str(found[0].url) == f"https://gitlab.com/api/v4/{place}/packages/pypi/simple/"


def test_the_index_of_a_group_takes_no_uploads() -> None:
    found = find(IndexUrl.parse("https://gitlab.com/api/v4/groups/acme/-/packages/pypi/simple"))
    assert found is not None
    assert found.upload_url is None


UNKNOWN = {
    "host that ends alike": "https://notgitlab.com/api/v4/projects/77/packages/pypi/simple",
    "host that begins alike": "https://gitlab.com.evil.example/api/v4/projects/77/packages/pypi/simple",
    "host below it": "https://x.gitlab.com/api/v4/projects/77/packages/pypi/simple",
    "user info that looks like it": "https://gitlab.com@evil.example/api/v4/projects/77/packages/pypi/simple",
    "another port": "https://gitlab.com:8443/api/v4/projects/77/packages/pypi/simple",
    "not encrypted": "http://gitlab.com/api/v4/projects/77/packages/pypi/simple",
    "another registry": "https://gitlab.com/api/v4/projects/77/packages/npm/simple",
    "another folder": "https://gitlab.com/x/api/v4/projects/77/packages/pypi/simple",
    "path in the query": "https://gitlab.com/?/api/v4/projects/77/packages/pypi/simple",
    "encoded slash": "https://gitlab.com/api/v4/projects/acme%2Ftools/packages/pypi/simple",
    "bare host": "gitlab.com",
}


@pytest.mark.parametrize("url", UNKNOWN.values(), ids=UNKNOWN)
def test_what_only_looks_like_gitlab_com_is_not_known(url: str) -> None:
    assert match(url, ()) is None


def test_the_date_of_the_double_is_by_its_own_clock(machine: Machine) -> None:
    machine.gitlab.clock.advance(86_400)
    answer = machine.context.http.get_json(machine.gitlab.url)
    assert parsedate_to_datetime(answer.headers["date"]).timestamp() == pytest.approx(machine.gitlab.clock(), abs=5)


def test_an_oauth_token_is_no_password_at_the_index(machine: Machine) -> None:
    credential = Credential("oauth2", Secret("an access token"), 0, None)
    assert machine.status(credential) == 401
