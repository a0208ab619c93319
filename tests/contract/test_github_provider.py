"""GitHub's provider against a double of GitHub: jobs, Apps, people, and what GitHub says no to."""

from __future__ import annotations

import sys
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from starlette.responses import JSONResponse, Response

from indexpass._credential import Index
from indexpass._http import HttpClient
from indexpass._match import match
from indexpass._model import Answer, ApiHttp, Context, Credential, Invitation, Session, SignIn
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
from indexpass.providers.github import GitHubProvider
from indexpass.testing import PlatformContract, Subject
from servers.github_platform import APP_ID, CLIENT_ID, INSTALLATION_ID, GitHub

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

JOB_TOKEN = "ghs_the-token-of-a-job"


class Machine:
    """A machine with an index of the GitHub, and whoever uses it."""

    def __init__(self, github: GitHub, folder: Path) -> None:
        self.github = github
        self.sessions = FileSessions(folder / "sessions")
        self.key_file = folder / "app.pem"
        self.key_file.touch(mode=0o600)
        self.key_file.write_bytes(github.key_pem)
        self.options: dict[str, str] = {}
        self.environ: dict[str, str] = {}
        self.invitations: list[Invitation] = []
        self.path = "acme/"
        self.ahead = 0.0  # seconds that this machine's clock is ahead of GitHub's

    @property
    def index(self) -> Index:
        url = IndexUrl.parse(f"{self.github.url}/{self.path}")
        return Index("acme", url, provider="github", options=MappingProxyType(self.options))

    @property
    def context(self) -> Context:
        return Context(
            HttpClient(), self.sessions, lambda _: None, lambda: self.github.clock() + self.ahead, self.environ
        )

    def issue(self) -> Credential:
        return GitHubProvider().issue(self.index, "read", self.context)

    def sign_in(self) -> tuple[Session, Credential]:
        self.options = {"client-id": CLIENT_ID}
        show, wait = self.invitations.append, self.github.clock.advance
        return GitHubProvider().sign_in(self.index, self.context, show=show, wait=wait)

    def become_job_of(self, repository: str, server: str = "") -> None:
        self.environ = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_SERVER_URL": server or self.github.url,
            "GITHUB_REPOSITORY": repository,
            "GITHUB_TOKEN": JOB_TOKEN,
        }

    def use_app(self, **options: str) -> None:
        self.options = {"app-id": APP_ID, "installation-id": INSTALLATION_ID, "key-file": str(self.key_file)}
        self.options |= {key.replace("_", "-"): value for key, value in options.items()}


@pytest.fixture
def machine(github: GitHub, tmp_path: Path) -> Machine:
    return Machine(github, tmp_path)


@pytest.fixture
def app(machine: Machine) -> Machine:
    """A machine that a GitHub App lets in."""
    machine.use_app()
    return machine


@pytest.fixture
def signed_in(machine: Machine) -> Machine:
    machine.sign_in()
    return machine


class TestContract(PlatformContract):
    operations = ("read",)

    @pytest.fixture
    def subject(self, app: Machine) -> Subject:
        return Subject(GitHubProvider(), app.index, app.context, frozenset({app.github.url}))


# Jobs


@pytest.mark.parametrize("path", ["acme/tools.git", "acme/tools", "Acme/Tools.git"])
def test_a_job_reads_its_own_repository_with_its_own_token(machine: Machine, path: str) -> None:
    machine.path = path
    machine.become_job_of("acme/tools")
    credential = machine.issue()
    assert (credential.username, credential.secret.reveal(), credential.is_kept) == ("x-access-token", JOB_TOKEN, False)


@pytest.mark.parametrize("path", ["acme/", "acme/app.git", "evil/tools.git", "acme/tools-2.git"])
def test_the_token_of_a_job_is_for_no_other_repository(machine: Machine, path: str) -> None:
    machine.path = path
    machine.become_job_of("acme/tools")
    with pytest.raises(IdentityError, match="its own repository only") as caught:
        machine.issue()
    assert "installation-id" in caught.value.hint


@pytest.mark.parametrize("server", ["https://github.com", "http://127.0.0.1:1", "https://127.0.0.1", "no URL"])
def test_the_token_of_a_job_goes_to_no_other_github(machine: Machine, server: str) -> None:
    machine.path = "acme/tools.git"
    machine.become_job_of("acme/tools", server)
    with pytest.raises(IdentityError) as caught:
        machine.issue()
    assert JOB_TOKEN not in f"{caught.value!r} {caught.value.hint}"


def test_a_job_without_its_token_is_told_what_to_add(machine: Machine) -> None:
    machine.path = "acme/tools.git"
    machine.become_job_of("acme/tools")
    del machine.environ["GITHUB_TOKEN"]
    with pytest.raises(IdentityError) as caught:
        machine.issue()
    assert "GITHUB_TOKEN: ${{ github.token }}" in caught.value.hint
    assert "contents: read" in caught.value.hint


# Apps


@pytest.mark.parametrize(
    ("path", "repositories"), [("acme/", ["app", "tools"]), ("acme/tools.git", ["tools"])], ids=["owner", "repository"]
)
def test_an_installation_token_reads_contents_of_what_the_url_names_and_no_more(
    app: Machine, path: str, repositories: list[str]
) -> None:
    app.path = path
    app.issue()
    assert app.github.minted == [{"repositories": repositories, "permissions": {"contents": "read"}}]


def test_an_installation_token_goes_with_the_user_name_for_git_and_lives_an_hour(app: Machine) -> None:
    credential = app.issue()
    assert credential.username == "x-access-token"
    assert credential.expires_at == pytest.approx(credential.issued_at + 3600, abs=2)


@pytest.mark.parametrize("ahead", [-50.0, 50.0], ids=["behind", "ahead"])
def test_a_clock_that_is_a_little_wrong_does_no_harm(app: Machine, ahead: float) -> None:
    app.ahead = ahead
    credential = app.issue()
    assert credential.expires_at == pytest.approx(credential.issued_at + 3600, abs=2)


@pytest.mark.parametrize(("ahead", "words"), [(-900.0, "seconds behind"), (900.0, "seconds ahead")])
def test_a_clock_that_is_very_wrong_is_told(app: Machine, ahead: float, words: str) -> None:
    app.ahead = ahead
    with pytest.raises(BrokerRefused, match=words) as caught:
        app.issue()
    assert "set the clock" in caught.value.hint


WRONG: Mapping[str, tuple[dict[str, str], str, str]] = {
    "app": ({"app_id": "999"}, "does not know the App", "check app-id"),
    "installation": ({"installation_id": "1"}, "no installation 1", "settings/installations"),
}


@pytest.mark.parametrize(("options", "words", "hint"), WRONG.values(), ids=WRONG)
def test_an_id_that_is_wrong_is_named(machine: Machine, options: dict[str, str], words: str, hint: str) -> None:
    machine.use_app(**options)
    with pytest.raises(BrokerRefused, match=words) as caught:
        machine.issue()
    assert hint in caught.value.hint


def test_a_repository_that_the_app_may_not_read_is_named_with_the_permission(app: Machine) -> None:
    app.path = "acme/secret.git"
    with pytest.raises(BrokerRefused, match="does not let the App read acme/secret") as caught:
        app.issue()
    assert "Contents: read" in caught.value.hint


@pytest.mark.parametrize("key", ["app-id", "installation-id", "key-file"])
def test_an_option_of_the_app_that_is_missing_is_named(app: Machine, key: str) -> None:
    del app.options[key]
    with pytest.raises(ConfigError, match=f"no '{key}'"):
        app.issue()


def test_an_installation_id_cannot_lead_elsewhere(machine: Machine) -> None:
    machine.use_app(installation_id="1/../../user")
    with pytest.raises(ConfigError, match="is no id"):
        machine.issue()


def test_a_key_file_that_others_can_read_is_refused(app: Machine) -> None:
    app.key_file.chmod(0o644)
    with pytest.raises(ConfigError, match="open to others") as caught:
        app.issue()
    assert caught.value.hint == f"chmod 600 {app.key_file}"


@pytest.mark.parametrize("path", ["app.pem", "~/app.pem"])
def test_a_key_file_is_not_looked_for_in_the_working_directory(machine: Machine, path: str) -> None:
    machine.use_app(key_file=path)
    with pytest.raises(ConfigError, match="not an absolute path"):
        machine.issue()


def test_a_key_file_that_is_not_there_is_named(machine: Machine) -> None:
    machine.use_app(key_file=f"{machine.key_file}.old")
    with pytest.raises(ConfigError, match=r"app\.pem\.old cannot be read"):
        machine.issue()


ELLIPTIC = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize("content", [b"", b"canary-5d0e", ELLIPTIC], ids=["empty", "text", "another kind of key"])
def test_a_key_file_without_an_rsa_key_is_refused_and_not_quoted(app: Machine, content: bytes) -> None:
    app.key_file.write_bytes(content)
    with pytest.raises(ConfigError, match="no RSA key") as caught:
        app.issue()
    assert "canary" not in f"{caught.value!r} {caught.value.__cause__!r}"


@pytest.mark.parametrize("module", ["jwt", "cryptography"])
def test_an_extra_that_is_not_installed_is_named(app: Machine, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match="not installed") as caught:
        app.issue()
    assert (caught.value.hint, caught.value.code) == ("pip install 'indexpass[github]'", "extra-missing")


THROTTLED: Mapping[str, tuple[int, dict[str, str], float | None]] = {
    "too many": (429, {"Retry-After": "42"}, 42),
    "secondary limit": (403, {"Retry-After": "60"}, 60),
    "primary limit": (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "{later}"}, 300),
    "primary limit without an end": (403, {"X-RateLimit-Remaining": "0"}, None),
    "broken": (502, {}, None),
}


@pytest.mark.parametrize(("status", "headers", "seconds"), THROTTLED.values(), ids=THROTTLED)
def test_github_says_when_to_come_back(
    app: Machine, status: int, headers: dict[str, str], seconds: float | None
) -> None:
    later = str(int(app.github.clock()) + 300)
    said = {name: value.replace("{later}", later) for name, value in headers.items()}
    app.github.failure = JSONResponse({"message": "rate limit exceeded"}, status, headers=said)
    with pytest.raises(BrokerUnreachable) as caught:
        app.issue()
    assert caught.value.retry_after == (None if seconds is None else pytest.approx(seconds, abs=2))


ODD: Mapping[str, tuple[Response, type[IndexpassError], str]] = {
    "suspended": (
        JSONResponse({"message": "This installation has been suspended"}, 403),
        BrokerRefused,
        "not let the App",
    ),
    "teapot": (Response(status_code=418), BrokerRefused, "status 418"),
    "no token": (JSONResponse({"expires_at": "2999-01-01T00:00:00Z"}, 201), BrokerMisbehaved, "token"),
    "no expiry": (JSONResponse({"token": "ghs_x"}, 201), BrokerMisbehaved, "expires_at"),
}


@pytest.mark.parametrize(("answer", "kind", "words"), ODD.values(), ids=ODD)
def test_what_minting_is_answered_has_words_of_its_own(
    app: Machine, answer: Response, kind: type[IndexpassError], words: str
) -> None:
    app.github.failure = answer
    with pytest.raises(kind, match=words):
        app.issue()


class Notes:
    """An Http that notes where a token was asked for, and with what."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Mapping[str, str | Secret]]] = []

    def send(self, method: str, url: str, *, headers: Mapping[str, str | Secret], json: object) -> Answer:
        assert (method, json) == ("POST", {"permissions": {"contents": "read"}})
        self.asked.append((url, headers))
        return Answer(201, {"token": "ghs_x", "expires_at": "2999-01-01T00:00:00Z"})


APIS = {
    "https://github.com/acme/": "https://api.github.com",
    "https://acme.ghe.com/acme/": "https://api.acme.ghe.com",
    "https://github.acme.example/acme/": "https://github.acme.example/api/v3",
    "https://github.com.evil.example/acme/": "https://github.com.evil.example/api/v3",
    "https://evilghe.com/acme/": "https://evilghe.com/api/v3",
}


@pytest.mark.parametrize(("url", "api"), APIS.items())
def test_the_proof_of_an_app_goes_to_the_api_of_its_own_github(app: Machine, url: str, api: str) -> None:
    notes = Notes()
    index = app.index._replace(url=IndexUrl.parse(url))
    GitHubProvider().issue(index, "read", app.context._replace(http=cast("ApiHttp", notes)))
    ((asked, headers),) = notes.asked
    assert asked == f"{api}/app/installations/{INSTALLATION_ID}/access_tokens"
    assert "Secret(****)" in str(headers)


def test_the_proof_of_an_app_is_good_for_ten_minutes_at_most(app: Machine) -> None:
    notes = Notes()
    GitHubProvider().issue(app.index, "read", app.context._replace(http=cast("ApiHttp", notes)))
    proof = notes.asked[0][1]["Authorization"]
    assert isinstance(proof, Secret)
    claims = jwt.decode(proof.reveal().removeprefix("Bearer "), options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] <= 600


# People


def test_people_sign_in_at_github() -> None:
    assert isinstance(GitHubProvider(), SignIn)


def test_a_sign_in_yields_a_token_of_the_person(machine: Machine) -> None:
    session, credential = machine.sign_in()
    assert credential.secret.reveal() in machine.github.live
    assert (credential.username, session.user) == ("x-access-token", "alice")
    assert credential.expires_at == pytest.approx(credential.issued_at + 28_800)


def test_the_invitation_is_github_s_own_page_and_code(machine: Machine) -> None:
    machine.sign_in()
    (invitation,) = machine.invitations
    assert (invitation.url, invitation.code) == (f"{machine.github.url}/login/device", "WDJB-MJHT")


def test_a_session_yields_tokens_again_and_again(signed_in: Machine) -> None:
    assert all(signed_in.issue().secret.reveal() in signed_in.github.live for _ in range(3))


def test_two_indexes_do_not_end_each_other_s_tokens(signed_in: Machine) -> None:
    first = signed_in.issue()
    signed_in.path = "other/"
    signed_in.sign_in()
    signed_in.issue()
    assert first.secret.reveal() in signed_in.github.live


def test_signing_out_forgets_the_session(signed_in: Machine) -> None:
    session = GitHubProvider().session(signed_in.index, signed_in.context)
    assert session is not None
    assert GitHubProvider().sign_out(signed_in.index, signed_in.context) == session
    assert GitHubProvider().session(signed_in.index, signed_in.context) is None


@pytest.mark.parametrize(
    ("decision", "kind", "words"), [("denied", BrokerRefused, "denied"), (None, SessionError, "in time")]
)
def test_a_sign_in_that_is_not_approved_keeps_nothing(
    machine: Machine, decision: str | None, kind: type[IndexpassError], words: str
) -> None:
    machine.github.decision = decision
    with pytest.raises(kind, match=words):
        machine.sign_in()
    assert machine.sessions.load(str(machine.index.url)) is None


def test_a_refusal_with_status_200_is_a_refusal(signed_in: Machine) -> None:
    signed_in.github.end_sessions()
    with pytest.raises(SessionError, match="has ended") as caught:
        signed_in.issue()
    assert caught.value.hint == "indexpass login acme"


def test_an_app_without_the_device_flow_is_told(machine: Machine) -> None:
    machine.github.has_device_flow = False
    with pytest.raises(BrokerRefused) as caught:
        machine.sign_in()
    assert "device flow enabled" in caught.value.hint


@pytest.mark.parametrize("client_id", ["Iv1.nobody"])
def test_a_client_id_that_is_unknown_is_told(signed_in: Machine, client_id: str) -> None:
    signed_in.options = {"client-id": client_id}
    with pytest.raises(BrokerRefused) as caught:
        signed_in.issue()
    assert client_id in caught.value.hint


def test_an_app_whose_tokens_never_expire_starts_no_session(machine: Machine) -> None:
    machine.github.are_tokens_expiring = False
    with pytest.raises(BrokerMisbehaved, match="did not start a session") as caught:
        machine.sign_in()
    assert "tokens that expire" in caught.value.hint


def test_nobody_signed_in_is_told_the_command(machine: Machine) -> None:
    machine.options = {"client-id": CLIENT_ID}
    with pytest.raises(SessionError, match="nobody is signed in") as caught:
        machine.issue()
    assert caught.value.hint == "indexpass login acme"


def test_without_any_option_a_person_is_told_what_to_make(machine: Machine) -> None:
    with pytest.raises(SessionError, match="no client-id") as caught:
        machine.issue()
    assert "GitHub App" in caught.value.hint


# What the index stands for


def test_there_is_nothing_to_upload_to(app: Machine) -> None:
    with pytest.raises(ConfigError, match="no index for Python"):
        GitHubProvider().issue(app.index, "upload", app.context)


@pytest.mark.parametrize("path", ["", "acme/tools/tree"])
def test_a_url_that_is_not_an_owner_s_or_a_repository_s_is_refused(app: Machine, path: str) -> None:
    app.path = path
    with pytest.raises(ConfigError, match="not the URL of an owner or a repository"):
        app.issue()


ACME = Index("acme", IndexUrl.parse("https://github.com/acme/"), provider="github")
TOOLS = Index("tools", IndexUrl.parse("https://github.com/acme/tools.git"), provider="github")
CLONES = {
    "of the owner": ("https://github.com/acme/app.git/info/refs", "acme"),
    "of the repository": ("https://github.com/acme/tools.git/info/refs?service=git-upload-pack", "tools"),
    "without .git": ("https://github.com/acme/tools/info/refs", "acme"),
    "of another owner": ("https://github.com/acme-2/app.git/info/refs", None),
    "of a host that looks alike": ("https://github.com.evil.example/acme/app.git/info/refs", None),
    "by user info": ("https://github.com@evil.example/acme/app.git/info/refs", None),
    "not encrypted": ("http://github.com/acme/app.git/info/refs", None),
    "by another port": ("https://github.com:8443/acme/app.git/info/refs", None),
}


@pytest.mark.parametrize(("url", "name"), CLONES.values(), ids=CLONES)
def test_what_git_asks_for_belongs_to_the_index_of_its_owner_or_repository(url: str, name: str | None) -> None:
    found = match(url, (ACME, TOOLS))
    assert (found[0].name, found[1]) == (name, "read") if found else name is None


def test_github_is_not_known_by_its_url() -> None:
    assert match("https://github.com/acme/app.git/info/refs", ()) is None
