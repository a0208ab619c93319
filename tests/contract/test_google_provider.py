"""Tokens for Google Artifact Registry: google-auth itself, and a double of Google that answers as documented."""

from __future__ import annotations

import json
import os
import time
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from indexpass._http import HttpClient
from indexpass._model import Context, Credential, IdentityToken, Index, Operation
from indexpass._resolve import default_resolver
from indexpass._secret import Secret
from indexpass._sessions import FileSessions
from indexpass._url import IndexUrl
from indexpass.errors import (
    BrokerMisbehaved,
    BrokerRefused,
    BrokerUnreachable,
    ConfigError,
    IdentityError,
    SessionError,
)
from indexpass.providers.google import GoogleProvider
from indexpass.testing import ProviderContract, Subject
from servers.any_host import Reply
from servers.google_platform import (
    ACCOUNT,
    GOOD_REFRESH_TOKEN,
    POOL,
    GooglePlatform,
    api_error,
    google_platform,
    write_person,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.raw import RawServer

URL = "https://europe-west1-python.pkg.dev/acme-packages/wheels/simple/"
READ_ONLY = "https://www.googleapis.com/auth/cloud-platform.read-only"
READ_AND_WRITE = "https://www.googleapis.com/auth/cloud-platform"
TOKEN = "head.claims.signature"


class Machine:
    """A machine with one index, in front of Google."""

    def __init__(self, google: GooglePlatform, folder: Path) -> None:
        self.google = google
        self.folder = folder
        self.options: dict[str, str] = {}
        self.identity: IdentityToken | None = None
        self.unidentified: IdentityError | None = None
        self.audiences: list[str] = []

    def _identify(self, audience: str) -> IdentityToken | None:
        self.audiences.append(audience)
        return self.identity

    def federate(self, account: str = "") -> None:
        """Let the machine prove who it is, and configure the pool and perhaps a service account."""
        self.identity = IdentityToken(Secret(TOKEN), "THE_CI")
        self.options["workload-identity-provider"] = POOL
        if account:
            self.options["service-account"] = account

    def sign_in(self, refresh_token: str = GOOD_REFRESH_TOKEN) -> None:
        write_person(self.folder / "gcloud", refresh_token)

    def index(self, url: str = URL) -> Index:
        return Index("acme", IndexUrl.parse(url), provider="google", options=MappingProxyType(self.options))

    @property
    def context(self) -> Context:
        return Context(
            http=HttpClient(),
            sessions=FileSessions(self.folder),
            identify=self._identify,
            now=time.time,
            environ=os.environ,
            unidentified=lambda _: self.unidentified,
        )

    def issue(self, operation: Operation = "read", url: str = URL) -> Credential:
        return GoogleProvider().issue(self.index(url), operation, self.context)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Machine]:
    with google_platform(monkeypatch, tmp_path) as google:
        yield Machine(google, tmp_path)


def life(credential: Credential) -> float:
    assert credential.expires_at is not None
    return credential.expires_at - credential.issued_at


class TestContract(ProviderContract):
    max_requests = 0  # its library goes its own way

    @pytest.fixture
    def subject(self, machine: Machine) -> Subject:
        machine.sign_in()
        return Subject(GoogleProvider(), machine.index(), machine.context)


# A machine that can prove who it is


@pytest.mark.parametrize(("operation", "scope"), [("read", READ_ONLY), ("upload", READ_AND_WRITE)])
def test_an_identity_token_becomes_a_token_of_the_pool_with_the_least_scope(
    machine: Machine, operation: Operation, scope: str
) -> None:
    machine.federate()
    credential = machine.issue(operation)
    assert (credential.username, credential.secret) == ("oauth2accesstoken", Secret(f"federated {scope}"))
    assert life(credential) == pytest.approx(3599, abs=30)


def test_the_identity_token_is_made_for_the_pools_provider(machine: Machine) -> None:
    machine.federate()
    machine.issue()
    assert machine.audiences == [f"https://iam.googleapis.com/{POOL}"]
    assert machine.google.asked_at("sts.googleapis.com").form["subject_token"] == TOKEN


@pytest.mark.parametrize(
    ("operation", "scope", "seconds"), [("read", READ_ONLY, 2400), ("upload", READ_AND_WRITE, 900)]
)
def test_a_service_accounts_token_has_the_least_scope_and_life(
    machine: Machine, operation: Operation, scope: str, seconds: int
) -> None:
    machine.federate(ACCOUNT)
    credential = machine.issue(operation)
    assert credential.secret == Secret(f"account {scope}")
    assert life(credential) == seconds
    assert machine.google.asked_at("iamcredentials.googleapis.com").json["lifetime"] == f"{seconds}s"


def test_the_token_that_asks_for_the_service_accounts_may_do_nothing_else(machine: Machine) -> None:
    machine.federate(ACCOUNT)
    machine.issue()
    assert machine.google.asked_at("sts.googleapis.com").form["scope"] == "https://www.googleapis.com/auth/iam"


@pytest.mark.parametrize("hours", [-3, 3])
def test_the_life_of_a_service_accounts_token_does_not_depend_on_googles_clock(machine: Machine, hours: int) -> None:
    machine.federate(ACCOUNT)
    machine.google.ahead = timedelta(hours=hours)
    assert life(machine.issue()) == 2400


# Default credentials


def test_where_nobody_proves_anything_the_person_who_signed_in_with_gcloud_is_taken(machine: Machine) -> None:
    machine.federate(ACCOUNT)
    machine.identity = None
    machine.sign_in()
    assert machine.issue().secret == Secret("person")


def test_a_persons_scopes_are_not_asked_to_change(machine: Machine) -> None:
    machine.sign_in()
    machine.issue()
    assert "scope" not in machine.google.asked_at("oauth2.googleapis.com").form


def test_no_identity_token_is_asked_for_without_a_pool(machine: Machine) -> None:
    machine.sign_in()
    machine.issue()
    assert machine.audiences == []


@pytest.mark.parametrize(("operation", "scope"), [("read", READ_ONLY), ("upload", READ_AND_WRITE)])
def test_a_machine_at_google_has_a_token_of_its_own_service_account(
    machine: Machine, operation: Operation, scope: str
) -> None:
    machine.google.has_metadata_server = True
    credential = machine.issue(operation)
    assert credential.secret == Secret(f"machine {scope}")
    assert life(credential) == pytest.approx(1800, abs=30)


def test_where_there_are_no_credentials_the_hint_says_how_to_sign_in(machine: Machine) -> None:
    with pytest.raises(SessionError, match="nobody is signed in at Google") as caught:
        machine.issue()
    assert caught.value.hint.startswith("gcloud auth application-default login")
    assert "workload-identity-provider" in caught.value.hint


def test_a_job_in_ci_that_proves_nothing_is_told_what_it_lacks(machine: Machine) -> None:
    machine.federate()
    machine.identity = None
    machine.unidentified = IdentityError("the job has no identity token", hint="permissions: id-token: write")
    with pytest.raises(IdentityError, match="has no identity token"):
        machine.issue()


def test_a_metadata_server_that_is_not_there_is_asked_for_once(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, raw_server: RawServer
) -> None:
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, raw_server.url)
    with pytest.raises(SessionError):
        machine.issue()
    assert len(raw_server.asked) == 1


def test_a_sign_in_that_was_revoked_is_to_be_renewed(machine: Machine) -> None:
    machine.sign_in("revoked")
    with pytest.raises(SessionError, match="has ended") as caught:
        machine.issue()
    assert caught.value.hint == "gcloud auth application-default login"


def test_a_file_of_credentials_that_is_none_is_named(machine: Machine) -> None:
    machine.sign_in()
    (machine.folder / "gcloud/application_default_credentials.json").write_text("{}")
    with pytest.raises(ConfigError, match="Application Default Credentials"):
        machine.issue()


def test_a_file_that_names_another_that_is_not_there_is_told(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    source = {"file": str(machine.folder / "absent")}
    federated = {"type": "external_account", "audience": f"//iam.googleapis.com/{POOL}", "credential_source": source}
    federated |= {"subject_token_type": "urn:ietf:params:oauth:token-type:jwt"}
    federated |= {"token_url": "https://sts.googleapis.com/v1/token"}
    (machine.folder / "federated.json").write_text(json.dumps(federated))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(machine.folder / "federated.json"))
    with pytest.raises(ConfigError, match="cannot be used"):
        machine.issue()


# What Google refuses, as documented


@pytest.mark.parametrize(
    ("host", "reply", "message", "hint"),
    [
        pytest.param(
            "sts.googleapis.com",
            Reply(400, {"error": "invalid_target", "error_description": "The target service is invalid."}),
            "target service is invalid",
            "correct 'workload-identity-provider'",
            id="no-such-pool",
        ),
        pytest.param(
            "sts.googleapis.com",
            Reply(400, {"error": "unauthorized_client", "error_description": "rejected by the attribute condition."}),
            "attribute condition",
            "let the provider's attribute condition accept this job",
            id="attribute-condition",
        ),
        pytest.param(
            "sts.googleapis.com",
            Reply(400, {"error": "invalid_grant", "error_description": "The audience in ID Token does not match."}),
            "audience",
            "accept the audience https://iam.googleapis.com/",
            id="audience",
        ),
        pytest.param(
            "sts.googleapis.com",
            Reply(400, {"error": "invalid_grant", "error_description": "ID Token issued at 1 is stale to sign-in."}),
            "stale",
            "set this machine's clock",
            id="clock",
        ),
        pytest.param(
            "iamcredentials.googleapis.com",
            api_error(403, "PERMISSION_DENIED", "Permission 'iam.serviceAccounts.getAccessToken' denied on resource."),
            "iam.serviceAccounts.getAccessToken",
            "roles/iam.workloadIdentityUser",
            id="not-bound-to-the-account",
        ),
        pytest.param(
            "iamcredentials.googleapis.com",
            api_error(403, "PERMISSION_DENIED", "The API has not been used before.", "SERVICE_DISABLED"),
            "has not been used",
            "gcloud services enable iamcredentials.googleapis.com",
            id="api-disabled",
        ),
        pytest.param(
            "iamcredentials.googleapis.com",
            api_error(404, "NOT_FOUND", "Not found; Gaia id not found for email."),
            "Gaia id not found",
            "correct 'service-account'",
            id="no-such-account",
        ),
    ],
)
def test_a_refusal_is_told_with_what_to_do(machine: Machine, host: str, reply: Reply, message: str, hint: str) -> None:
    machine.federate(ACCOUNT)
    machine.google.replies[host] = reply
    with pytest.raises(BrokerRefused, match=message) as caught:
        machine.issue()
    assert hint in caught.value.hint
    assert TOKEN not in f"{caught.value!r} {caught.value.hint} {caught.value.__cause__!r}"


@pytest.mark.parametrize("host", ["sts.googleapis.com", "iamcredentials.googleapis.com"])
@pytest.mark.parametrize(
    ("reply", "seconds"),
    [
        pytest.param(
            api_error(429, "RESOURCE_EXHAUSTED", "Quota")._replace(headers={"Retry-After": "7"}), 7.0, id="429"
        ),
        pytest.param(api_error(503, "UNAVAILABLE", "Try again"), None, id="503"),
        pytest.param(
            api_error(429, "RESOURCE_EXHAUSTED", "Q")._replace(headers={"Retry-After": "9" * 8}), 3600, id="days"
        ),
    ],
)
def test_a_google_that_is_busy_is_left_alone_for_as_long_as_it_asks(
    machine: Machine, host: str, reply: Reply, seconds: float | None
) -> None:
    machine.federate(ACCOUNT)
    machine.google.replies[host] = reply
    with pytest.raises(BrokerUnreachable, match="not ready") as caught:
        machine.issue()
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>sign in", id="no-json"),
        pytest.param(b"[]", id="a-list"),
        pytest.param({}, id="no-token"),
        pytest.param({"access_token": "t"}, id="no-expiry"),
        pytest.param({"access_token": 7, "expires_in": 60}, id="a-number"),
        pytest.param({"access_token": "t", "expires_in": "soon"}, id="no-number"),
    ],
)
def test_an_answer_that_is_none_is_no_credential(machine: Machine, body: object) -> None:
    machine.federate()
    machine.google.replies["sts.googleapis.com"] = Reply(200, body)
    with pytest.raises(BrokerMisbehaved):
        machine.issue()


def test_an_answer_about_the_account_that_is_none_is_no_credential(machine: Machine) -> None:
    machine.federate(ACCOUNT)
    machine.google.replies["iamcredentials.googleapis.com"] = Reply(200, {})
    with pytest.raises(BrokerMisbehaved):
        machine.issue()


def test_a_google_that_cannot_be_reached_is_told(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.federate()
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(BrokerUnreachable, match=r"sts\.googleapis\.com cannot be reached"):
        machine.issue()


def test_an_authority_in_ssl_cert_file_is_trusted(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.federate()
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.setenv("SSL_CERT_FILE", str(machine.google.server.authority))
    assert machine.issue().secret


def test_nothing_is_sent_to_who_is_not_google(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.federate()
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(BrokerUnreachable):
        machine.issue()
    assert machine.google.server.asked == []


def test_a_redirect_is_not_followed(machine: Machine) -> None:
    machine.federate()
    machine.google.replies["sts.googleapis.com"] = Reply(307, {}, {"Location": "https://evil.example/"})
    with pytest.raises(BrokerRefused):
        machine.issue()
    assert [request.host for request in machine.google.server.asked] == ["sts.googleapis.com"]


# What is configured


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"workload-identity-provider": "ci"}, "not the full name", id="pool"),
        pytest.param({"workload-identity-provider": f"{POOL}/../x"}, "not the full name", id="dots"),
        pytest.param({"workload-identity-provider": POOL, "service-account": "a/b@c"}, "not the email", id="account"),
        pytest.param({"service-account": ACCOUNT}, "needs 'workload-identity-provider'", id="account-alone"),
    ],
)
def test_what_is_configured_wrongly_is_named(machine: Machine, options: dict[str, str], message: str) -> None:
    machine.options = options
    with pytest.raises(ConfigError, match=message):
        machine.issue()


@pytest.mark.parametrize(
    "url",
    ["https://packages.acme.example/simple/", "https://europe-west1-python.pkg.dev.evil.example/acme-packages/wheels/"],
)
def test_no_token_is_issued_for_an_index_that_is_elsewhere(machine: Machine, url: str) -> None:
    machine.sign_in()
    with pytest.raises(ConfigError, match="not at Google Artifact Registry"):
        machine.issue(url=url)
    assert machine.google.server.asked == []


def test_the_url_alone_is_enough(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.sign_in()
    monkeypatch.setenv("INDEXPASS_HOME", str(machine.folder / "home"))
    credential = default_resolver().credential(URL)
    assert credential is not None
    assert credential.secret == Secret("person")


def test_a_job_needs_two_variables(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INDEXPASS_HOME", str(machine.folder / "home"))
    monkeypatch.setenv("INDEXPASS_INDEX_URL", URL)
    monkeypatch.setenv("INDEXPASS_OPTIONS", f"workload-identity-provider={POOL} service-account={ACCOUNT}")
    monkeypatch.setenv("INDEXPASS_IDENTITY_TOKEN", TOKEN)
    credential = default_resolver().credential(URL)
    assert credential is not None
    assert credential.secret == Secret(f"account {READ_ONLY}")
