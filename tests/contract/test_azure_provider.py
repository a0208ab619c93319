"""The Azure Artifacts provider against doubles of Azure DevOps and Microsoft Entra; Microsoft's MSAL talks to them."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

import jwt
import pytest
from starlette.responses import JSONResponse, PlainTextResponse, Response

from indexpass._model import Context, Credential, IdentityToken, Index, Operation
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
from indexpass.providers.azure import AzureProvider
from indexpass.testing import FarHosts, PlatformContract, Subject, http_to
from servers.azure_platform import APP, FEEDS, LOGIN, SESSIONS, TENANT, AzurePlatform, azure_platform

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = 1_800_000_000.0
FEED = f"{FEEDS}/acme/tools/_packaging/acme/pypi/simple/"
SESSION_PATH = "/_apis/Token/SessionTokens"
TOKEN_PATH = f"/{TENANT}/oauth2/v2.0/token"
IDENTITY = jwt.encode({"sub": "the-ci"}, "a" * 32, "HS256")
FEDERATED = {"tenant": TENANT, "client-id": APP}
IN_A_JOB = {"SYSTEM_ACCESSTOKEN": "job-token", "SYSTEM_COLLECTIONURI": "https://dev.azure.com/acme/"}


class Client:
    """A machine, whose Azure command line (a script) prints what a test wants, and which has one index."""

    def __init__(self, platform: AzurePlatform, folder: Path) -> None:
        self.platform = platform
        self.folder = folder
        self.hosts = FarHosts({FEEDS: platform.url, SESSIONS: platform.url, LOGIN: platform.url})
        self.proof: str | None = None
        self.audiences: list[str] = []
        self.environ: dict[str, str] = {"PATH": str(folder)}
        self.now = NOW

    def _identify(self, audience: str) -> IdentityToken | None:
        self.audiences.append(audience)
        return IdentityToken(Secret(self.proof), "THE_CI") if self.proof else None

    def sign_in(self, *, says: str | None = None, status: int = 0) -> None:
        """Put an ``az`` on the PATH that notes its words, prints this, and ends so."""
        az = self.folder / "az"
        said = self.platform.person if says is None else says
        az.write_text(
            f"#!{sys.executable}\nimport os, sys\n"
            f"open({str(self.folder / 'words')!r}, 'w').write(' '.join([os.getcwd(), *sys.argv[1:]]))\n"
            f"print({said!r})\nprint('a traceback', file=sys.stderr)\nsys.exit({status})\n"
        )
        az.chmod(0o700)

    @property
    def words(self) -> str:
        return (self.folder / "words").read_text()

    def index(self, options: dict[str, str] | None = None, url: str = FEED) -> Index:
        return Index("acme", IndexUrl.parse(url), provider="azure", options=MappingProxyType(options or {}))

    @property
    def context(self) -> Context:
        return Context(
            http=http_to(self.hosts),
            sessions=FileSessions(self.folder / "sessions"),
            identify=self._identify,
            now=lambda: self.now,
            environ=self.environ,
        )

    def issue(
        self, operation: Operation = "read", options: dict[str, str] | None = None, url: str = FEED
    ) -> Credential:
        return AzureProvider().issue(self.index(options, url), operation, self.context)


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "MSI_ENDPOINT", "MSI_SECRET", "IMDS_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)  # MSAL reads them in the environment itself
    with azure_platform() as platform:
        yield Client(platform, tmp_path)


class TestContract(PlatformContract):
    write_mark = "vso.packaging_write"

    @pytest.fixture
    def subject(self, client: Client) -> Subject:
        client.sign_in()
        return Subject(AzureProvider(), client.index(), client.context, frozenset({FEEDS, SESSIONS}))


# People


def test_a_person_gets_a_session_token(client: Client) -> None:
    client.sign_in()
    credential = client.issue()
    assert credential.username == "VssSessionToken"
    assert credential.secret.reveal() != client.platform.person


@pytest.mark.parametrize(
    ("operation", "scope", "life"),
    [("read", "vso.packaging", 2400), ("upload", "vso.packaging_write", 900)],
    ids=["read", "upload"],
)
def test_a_session_token_is_for_one_operation(client: Client, operation: Operation, scope: str, life: int) -> None:
    client.sign_in()
    credential = client.issue(operation)
    assert client.platform.wanted[0]["scope"] == scope
    assert credential.expires_at == pytest.approx(NOW + life, abs=5)


def test_a_session_token_ends_by_the_clock_of_azure_devops(client: Client) -> None:
    client.sign_in()
    client.issue()  # by a machine whose clock shows NOW, wherever that is
    valid_to = datetime.fromisoformat(str(client.platform.wanted[0]["validTo"]).replace("Z", "+00:00"))
    assert valid_to.timestamp() == pytest.approx(time.time() + 2400, abs=120)


def test_az_is_asked_for_a_token_of_the_feeds_tenant_for_azure_devops(client: Client) -> None:
    client.sign_in()
    client.issue()
    assert f"--tenant {TENANT}" in client.words
    assert "--resource 499b84ac-1321-427f-aa17-267ca6975798" in client.words


def test_az_never_runs_where_a_project_could_have_put_something(client: Client) -> None:
    client.sign_in()
    client.issue()
    assert client.words.startswith(f"{client.folder} ")


def test_a_configured_tenant_wins(client: Client) -> None:
    client.sign_in()
    client.issue(options={"tenant": "acme.example"})
    assert "--tenant acme.example" in client.words


def test_without_az_the_hint_says_how_to_sign_in(client: Client) -> None:
    with pytest.raises(SessionError, match="az, is not installed") as caught:
        client.issue()
    assert caught.value.hint.endswith(f"az login --tenant {TENANT} --allow-no-subscriptions")


@pytest.mark.parametrize(("says", "status"), [("", 1), ("no token", 0)], ids=["fails", "prints-no-token"])
def test_a_sign_in_that_has_ended_says_how_to_sign_in_again(client: Client, says: str, status: int) -> None:
    client.sign_in(says=says, status=status)
    with pytest.raises(SessionError, match="has ended") as caught:
        client.issue()
    assert caught.value.hint == f"az login --tenant {TENANT} --allow-no-subscriptions"
    assert client.platform.wanted == []


@pytest.mark.parametrize(
    ("status", "error", "hint"),
    [
        (401, SessionError, f"az login --tenant {TENANT}"),
        (203, SessionError, f"az login --tenant {TENANT}"),
        (403, BrokerRefused, "ask for the role Feed Reader"),
        (400, BrokerMisbehaved, ""),
        (503, BrokerUnreachable, "try again"),
    ],
    ids=["not-taken", "page-for-signing-in", "forbidden", "odd", "not-ready"],
)
def test_a_session_token_that_is_refused(client: Client, status: int, error: type[Exception], hint: str) -> None:
    client.sign_in()
    client.platform.responses[SESSION_PATH] = PlainTextResponse("<html>", status_code=status)
    with pytest.raises(error) as caught:
        client.issue()
    assert isinstance(caught.value, IndexpassError)
    assert hint in caught.value.hint
    assert client.platform.person not in str(caught.value)


def test_a_throttled_organization_says_when_to_come_back(client: Client) -> None:
    client.sign_in()
    client.platform.responses[SESSION_PATH] = JSONResponse({}, status_code=429, headers={"Retry-After": "12"})
    with pytest.raises(BrokerUnreachable) as caught:
        client.issue()
    assert caught.value.retry_after == 12


@pytest.mark.parametrize(
    "url",
    [
        "https://app.vssps.visualstudio.com.evil.example/",
        "https://evilvssps.visualstudio.com/",
        "https://vssps.visualstudio.com:8443/",
        "https://app.vssps.visualstudio.com@evil.example/",
        "http://127.0.0.1/",
        "https://evil.example/vssps.visualstudio.com/",
        "",
    ],
    ids=["suffix", "no-dot", "port", "user-info", "loopback", "path", "none"],
)
def test_a_feed_that_names_another_place_for_session_tokens_gets_no_token_sent_there(client: Client, url: str) -> None:
    client.sign_in()
    client.platform.session_url = url
    with pytest.raises(BrokerMisbehaved, match="names no place for session tokens"):
        client.issue()
    assert client.hosts.asked == [FEED]


@pytest.mark.parametrize(
    "url",
    ["https://login.microsoftonline.com.evil.example/t", "https://evil.example/t", "https://login.windows.net:444/t"],
    ids=["suffix", "elsewhere", "port"],
)
def test_a_feed_that_sends_people_elsewhere_to_sign_in_is_not_believed(client: Client, url: str) -> None:
    client.sign_in()
    client.platform.tenant_url = url
    with pytest.raises(BrokerMisbehaved, match="not Microsoft's"):
        client.issue()
    assert not (client.folder / "words").exists()


def test_a_tenant_that_would_be_an_option_of_az_is_refused(client: Client) -> None:
    client.sign_in()
    client.platform.tenant_url = f"{LOGIN}/--debug"
    with pytest.raises(BrokerMisbehaved, match="a tenant that is none"):
        client.issue()


def test_a_feed_that_does_not_challenge_says_what_to_configure(client: Client) -> None:
    client.sign_in()
    client.platform.responses["/acme/tools/_packaging/acme/pypi/simple/"] = Response(status_code=404)
    with pytest.raises(BrokerMisbehaved) as caught:
        client.issue()
    assert 'tenant = "…"' in caught.value.hint


# Jobs in Azure Pipelines


@pytest.mark.parametrize(
    ("collection", "url"),
    [
        ("https://dev.azure.com/acme/", FEED),
        ("https://dev.azure.com/ACME/", FEED),
        ("https://acme.visualstudio.com/", "https://acme.pkgs.visualstudio.com/_packaging/acme/pypi/simple/"),
        ("https://acme.visualstudio.com/", FEED),
    ],
    ids=["new-name", "another-case", "old-name", "both"],
)
def test_a_job_hands_out_its_own_token(client: Client, collection: str, url: str) -> None:
    client.environ.update(IN_A_JOB, SYSTEM_COLLECTIONURI=collection)
    credential = client.issue(url=url)
    assert (credential.username, credential.secret.reveal()) == ("build", "job-token")
    assert client.hosts.asked == []


def test_the_token_of_a_job_is_never_kept(client: Client) -> None:
    client.environ.update(IN_A_JOB)
    assert not client.issue().is_kept


@pytest.mark.parametrize(
    "collection",
    ["https://dev.azure.com/others/", "https://others.visualstudio.com/", "https://evil.example/acme/", "", "acme"],
    ids=["another", "another-old-name", "another-host", "none", "no-url"],
)
def test_the_token_of_a_job_goes_to_its_own_organization_only(client: Client, collection: str) -> None:
    client.environ.update(IN_A_JOB, SYSTEM_COLLECTIONURI=collection)
    with pytest.raises(SessionError):
        client.issue()


# Applications


def test_an_application_is_proved_by_this_machines_identity_token(client: Client) -> None:
    client.proof = IDENTITY
    credential = client.issue(options=FEDERATED)
    assert (credential.username, credential.secret.reveal()) == ("bearer", "entra-token-of-the-app")
    assert (credential.issued_at, credential.expires_at) == (NOW, NOW + 3599)
    assert client.audiences == ["api://AzureADTokenExchange"]
    assert client.platform.asked[-1][1]["client_assertion"] == IDENTITY


def test_a_configured_application_comes_before_the_token_of_the_job(client: Client) -> None:
    client.proof = IDENTITY
    client.environ.update(IN_A_JOB)
    assert client.issue(options=FEDERATED).username == "bearer"


def test_nobody_but_entra_sees_the_identity_token(client: Client) -> None:
    client.proof = IDENTITY
    client.issue(options=FEDERATED)
    assert all(url.startswith(f"{LOGIN}/{TENANT}/") for url in client.hosts.asked)


def test_without_msal_the_error_says_what_to_install(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "msal", None)
    client.proof = IDENTITY
    with pytest.raises(ConfigError, match="msal is not installed") as caught:
        client.issue(options=FEDERATED)
    assert caught.value.hint == "pip install 'indexpass[azure]'"


@pytest.mark.parametrize("environ", [{}, IN_A_JOB], ids=["people", "job"])
def test_neither_people_nor_jobs_need_msal(
    client: Client, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    monkeypatch.setitem(sys.modules, "msal", None)
    client.sign_in()
    client.environ.update(environ)
    assert client.issue().secret


def test_a_configured_application_without_an_identity_token_is_an_error(client: Client) -> None:
    with pytest.raises(IdentityError) as caught:
        client.issue(options=FEDERATED)
    assert "az login" in caught.value.hint


def test_a_client_id_needs_a_tenant(client: Client) -> None:
    with pytest.raises(ConfigError, match="needs 'tenant'"):
        client.issue(options={"client-id": APP})


def test_a_tenant_is_an_id_or_a_domain(client: Client) -> None:
    with pytest.raises(ConfigError, match="'tenant' is not"):
        client.issue(options={"tenant": "acme/../common"})


def test_a_workload_in_aks_is_proved_by_its_file(client: Client) -> None:
    file = client.folder / "azure-identity-token"
    file.write_text(IDENTITY)
    client.environ.update(AZURE_TENANT_ID=TENANT, AZURE_CLIENT_ID=APP, AZURE_FEDERATED_TOKEN_FILE=str(file))
    assert client.issue().secret.reveal() == "entra-token-of-the-app"
    assert client.platform.asked[-1][1]["client_assertion"] == IDENTITY


def test_a_service_principal_is_proved_by_its_secret(client: Client) -> None:
    client.environ.update(AZURE_TENANT_ID=TENANT, AZURE_CLIENT_ID=APP, AZURE_CLIENT_SECRET="app-secret")
    assert client.issue().username == "bearer"


def test_a_wrong_secret_is_refused_with_the_command_for_a_new_one(client: Client) -> None:
    client.environ.update(AZURE_TENANT_ID=TENANT, AZURE_CLIENT_ID=APP, AZURE_CLIENT_SECRET="old-secret")
    with pytest.raises(BrokerRefused, match="AADSTS7000215") as caught:
        client.issue()
    assert f"az ad app credential reset --id {APP}" in caught.value.hint
    assert "old-secret" not in f"{caught.value} {caught.value.hint}"


def test_an_issuer_that_the_application_does_not_trust_is_refused_with_the_command_that_adds_it(client: Client) -> None:
    client.proof = IDENTITY
    client.platform.issuer_is_known = False
    with pytest.raises(BrokerRefused, match="AADSTS700211") as caught:
        client.issue(options=FEDERATED)
    assert f"az ad app federated-credential create --id {APP}" in caught.value.hint
    assert "THE_CI" in caught.value.hint


def test_the_ids_of_the_request_are_left_out(client: Client) -> None:
    client.proof = IDENTITY
    client.platform.issuer_is_known = False
    with pytest.raises(BrokerRefused) as caught:
        client.issue(options=FEDERATED)
    assert "Trace ID" not in caught.value.message


def test_another_application_is_refused_with_what_to_check(client: Client) -> None:
    client.proof = IDENTITY
    with pytest.raises(BrokerRefused) as caught:
        client.issue(options={"tenant": TENANT, "client-id": "another"})
    assert "check 'client-id' and 'tenant'" in caught.value.hint


def test_a_tenant_that_entra_does_not_know_is_an_error_in_the_configuration(client: Client) -> None:
    client.proof = IDENTITY
    with pytest.raises(ConfigError, match=r"has no tenant nobody\.example"):
        client.issue(options={"tenant": "nobody.example", "client-id": APP})


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (JSONResponse({}, status_code=503), BrokerUnreachable),
        (PlainTextResponse("<html>"), BrokerMisbehaved),
        (JSONResponse({"access_token": ""}), BrokerMisbehaved),
        (JSONResponse({}, status_code=302, headers={"Location": "https://evil.example/"}), BrokerMisbehaved),
    ],
    ids=["not-ready", "no-json", "no-token", "redirects"],
)
def test_what_is_no_token_of_entra_becomes_an_error(client: Client, response: Response, error: type[Exception]) -> None:
    client.proof = IDENTITY
    client.platform.responses[TOKEN_PATH] = response
    with pytest.raises(error):
        client.issue(options=FEDERATED)


def test_a_throttled_entra_says_when_to_come_back(client: Client) -> None:
    client.proof = IDENTITY
    client.platform.responses[TOKEN_PATH] = JSONResponse({}, status_code=429, headers={"Retry-After": "8"})
    with pytest.raises(BrokerUnreachable) as caught:
        client.issue(options=FEDERATED)
    assert caught.value.retry_after == 8


def test_an_endpoint_that_entra_names_at_another_host_is_not_asked(client: Client) -> None:
    client.proof = IDENTITY
    client.platform.responses[f"/{TENANT}/v2.0/.well-known/openid-configuration"] = JSONResponse(
        {
            "issuer": LOGIN,
            "authorization_endpoint": f"{LOGIN}/{TENANT}/authorize",
            "token_endpoint": f"https://evil.example/{TENANT}/token",
        }
    )
    with pytest.raises(BrokerMisbehaved, match="at another host"):
        client.issue(options=FEDERATED)


# Managed identities


@pytest.fixture
def machine(client: Client, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A virtual machine, whose metadata server is led to the double by MSAL's own variable."""
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", client.platform.url)
    return client


@pytest.mark.parametrize(("name", "token"), [("system", "entra-token-of-system"), (APP, f"entra-token-of-{APP}")])
def test_a_managed_identity_that_is_configured_is_asked(machine: Client, name: str, token: str) -> None:
    credential = machine.issue(options={"managed-identity": name})
    assert (credential.username, credential.secret.reveal()) == ("bearer", token)
    assert credential.expires_at == NOW + 86_399


def test_a_managed_identity_is_not_looked_for_without_a_word(machine: Client) -> None:
    machine.sign_in()
    assert machine.issue().username == "VssSessionToken"
    assert not any("metadata" in path for path, _ in machine.platform.asked)


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (
            JSONResponse({"error": "invalid_request", "error_description": "Identity not found"}, status_code=400),
            BrokerRefused,
        ),
        (JSONResponse({}, status_code=429), BrokerUnreachable),
        (PlainTextResponse("<html>"), BrokerMisbehaved),
    ],
    ids=["none-assigned", "throttled", "no-json"],
)
def test_a_managed_identity_that_gives_no_token(machine: Client, response: Response, error: type[Exception]) -> None:
    machine.platform.responses["/metadata/identity/oauth2/token"] = response
    with pytest.raises(error):
        machine.issue(options={"managed-identity": "system"})


def test_outside_azure_a_configured_managed_identity_says_so(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9")
    with pytest.raises(IdentityError, match="did not answer on this machine"):
        client.issue(options={"managed-identity": "system"})


# Other hosts


@pytest.mark.parametrize(
    "url",
    [
        "https://pkgs.dev.azure.com.evil.example/acme/_packaging/acme/pypi/simple/",
        "https://evilpkgs.dev.azure.com/acme/_packaging/acme/pypi/simple/",
        "https://packages.acme.example/simple/",
    ],
    ids=["suffix", "no-dot", "elsewhere"],
)
def test_no_token_is_issued_for_an_index_elsewhere(client: Client, url: str) -> None:
    client.environ.update(IN_A_JOB)
    with pytest.raises(ConfigError, match="is not at Azure Artifacts"):
        client.issue(url=url)
