"""Tokens for AWS CodeArtifact: botocore itself, moto's STS, and a double of CodeArtifact that answers as documented."""

from __future__ import annotations

import json
import os
import time
import traceback
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest
from botocore.session import Session

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
    IndexpassError,
    SessionError,
)
from indexpass.providers.aws import AwsProvider
from indexpass.testing import ProviderContract, Subject
from servers.any_host import Reply
from servers.aws_platform import ACCOUNT, REGION, ROLE, AwsPlatform, aws_platform, refusal, sts_refusal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOST = f"acme-{ACCOUNT}.d.codeartifact.{REGION}.amazonaws.com"
URL = f"https://{HOST}/pypi/wheels/simple/"
TOKEN = "head.claims.signature"


class Machine:
    """A machine with one index, in front of AWS."""

    def __init__(self, aws: AwsPlatform, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.aws = aws
        self.folder = folder
        self.options: dict[str, str] = {}
        self.identity: IdentityToken | None = None
        self.unidentified: IdentityError | None = None
        self.audiences: list[str] = []
        self._setenv = monkeypatch.setenv

    def _identify(self, audience: str) -> IdentityToken | None:
        self.audiences.append(audience)
        return self.identity

    def assume(self, *, moto: bool = True) -> None:
        """Let the machine prove who it is, configure a role, and perhaps let moto be STS."""
        self.identity = IdentityToken(Secret(TOKEN), "THE_CI")
        self.options["role"] = ROLE
        if moto:
            self._setenv("AWS_ENDPOINT_URL_STS", self.aws.sts)

    def sign_in(self, profile: str = "default") -> None:
        """Keep keys of a person's, in the form of the AWS CLI."""
        keys = f"[{profile}]\naws_access_key_id = AKIA{profile.upper()}\naws_secret_access_key = s\n"
        (self.folder / "credentials").write_text(keys)

    def configure(self, text: str) -> None:
        (self.folder / "config").write_text(text)

    def index(self, url: str = URL) -> Index:
        return Index("acme", IndexUrl.parse(url), provider="aws", options=MappingProxyType(self.options))

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
        return AwsProvider().issue(self.index(url), operation, self.context)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Machine]:
    with aws_platform(monkeypatch, tmp_path) as aws:
        yield Machine(aws, tmp_path, monkeypatch)


class TestContract(ProviderContract):
    max_requests = 0  # its library goes its own way

    @pytest.fixture
    def subject(self, machine: Machine) -> Subject:
        machine.sign_in()
        return Subject(AwsProvider(), machine.index(), machine.context)


# Whose token it is


def test_a_persons_keys_become_a_token(machine: Machine) -> None:
    machine.sign_in()
    credential = machine.issue()
    assert (credential.username, credential.secret) == ("aws", Secret("token signed by AKIADEFAULT"))


@pytest.mark.parametrize("how", ["option", "variable"])
def test_the_profile_that_is_named_is_taken(machine: Machine, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.sign_in("work")
    if how == "option":
        machine.options["profile"] = "work"
    else:
        monkeypatch.setenv("AWS_PROFILE", "work")
    assert machine.issue().secret == Secret("token signed by AKIAWORK")


def test_a_machine_that_proves_who_it_is_has_a_session_of_the_role(machine: Machine) -> None:
    machine.assume()
    key = machine.issue().secret.reveal().rpartition(" ")[2]
    sts = Session().create_client(
        "sts", region_name=REGION, endpoint_url=machine.aws.sts, aws_access_key_id=key, aws_secret_access_key="any"
    )
    assert sts.get_caller_identity()["Arn"] == "arn:aws:sts::123456789012:assumed-role/reader/indexpass"


def test_a_machine_that_proves_who_it_is_does_not_fall_back_on_a_person(machine: Machine) -> None:
    machine.sign_in()
    machine.assume(moto=False)
    machine.aws.replies["sts"] = sts_refusal(403, "AccessDenied", "Not authorized")
    with pytest.raises(BrokerRefused):
        machine.issue()
    assert machine.aws.asked_at("codeartifact") == []


def test_the_identity_token_is_made_for_sts(machine: Machine) -> None:
    machine.assume()
    machine.issue()
    assert machine.audiences == ["sts.amazonaws.com"]


def test_where_nobody_proves_anything_the_person_is_taken_although_a_role_is_configured(machine: Machine) -> None:
    machine.assume()
    machine.identity = None
    machine.sign_in()
    assert machine.issue().secret == Secret("token signed by AKIADEFAULT")


def test_no_identity_token_is_asked_for_without_a_role(machine: Machine) -> None:
    machine.sign_in()
    machine.issue()
    assert machine.audiences == []


# Least


@pytest.mark.parametrize(("operation", "seconds"), [("read", 2400), ("upload", 900)])
def test_a_token_lives_no_longer_than_a_run_needs(machine: Machine, operation: Operation, seconds: int) -> None:
    machine.sign_in()
    credential = machine.issue(operation)
    (request,) = machine.aws.asked_at("codeartifact")
    assert request.query == {"domain": "acme", "domain-owner": ACCOUNT, "duration": str(seconds)}
    assert credential.expires_at == credential.issued_at + seconds


@pytest.mark.parametrize(
    ("operation", "actions"),
    [
        ("read", {"ReadFromRepository"}),
        ("upload", {"ReadFromRepository", "PublishPackageVersion", "PutPackageMetadata"}),
    ],
)
def test_the_session_of_the_role_may_do_no_more_than_the_operation_needs(
    machine: Machine, operation: Operation, actions: set[str]
) -> None:
    machine.assume(moto=False)
    machine.aws.replies["sts"] = sts_refusal(403, "AccessDenied", "Not authorized")
    with pytest.raises(BrokerRefused):
        machine.issue(operation)
    (request,) = machine.aws.asked_at("sts")
    (statement,) = json.loads(request.form["Policy"])["Statement"]
    asking = {"codeartifact:GetAuthorizationToken", "sts:GetServiceBearerToken"}
    assert set(statement["Action"]) == {f"codeartifact:{action}" for action in actions} | asking
    assert (request.form["DurationSeconds"], request.form["WebIdentityToken"]) == ("900", TOKEN)


def test_what_trades_the_identity_token_is_not_signed_by_a_person(machine: Machine) -> None:
    machine.sign_in()
    machine.assume(moto=False)
    machine.aws.replies["sts"] = sts_refusal(403, "AccessDenied", "Not authorized")
    with pytest.raises(BrokerRefused):
        machine.issue()
    (request,) = machine.aws.asked_at("sts")
    assert "authorization" not in request.headers


def test_no_keys_are_looked_for_where_an_identity_token_is_the_proof(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    machine.assume(moto=False)
    machine.aws.replies["sts"] = sts_refusal(403, "AccessDenied", "Not authorized")
    with pytest.raises(BrokerRefused):
        machine.issue()
    assert {request.host for request in machine.aws.server.asked} == {f"sts.{REGION}.amazonaws.com"}


# Where it is asked


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        pytest.param(HOST, f"codeartifact.{REGION}.amazonaws.com", id="ipv4"),
        pytest.param(f"acme-{ACCOUNT}.d.codeartifact.{REGION}.on.aws", f"codeartifact.{REGION}.api.aws", id="both"),
    ],
)
def test_the_host_name_says_whom_to_ask(machine: Machine, host: str, asked: str) -> None:
    machine.sign_in()
    machine.issue(url=f"https://{host}/pypi/wheels/simple/")
    assert [request.host for request in machine.aws.server.asked] == [asked]


@pytest.mark.parametrize(
    "url",
    [
        "https://packages.acme.example/simple/",
        f"https://{HOST}.evil.example/pypi/wheels/simple/",
        f"https://{HOST}/npm/wheels/",
    ],
)
def test_no_token_is_issued_for_an_index_that_is_elsewhere(machine: Machine, url: str) -> None:
    machine.sign_in()
    with pytest.raises(ConfigError, match="not at AWS CodeArtifact"):
        machine.issue(url=url)
    assert machine.aws.server.asked == []


def test_a_role_that_is_none_is_named(machine: Machine) -> None:
    machine.options["role"] = "reader"
    with pytest.raises(ConfigError, match="not the ARN of a role"):
        machine.issue()


# What CodeArtifact refuses, as documented

DENIED = "User: arn:aws:iam::111122223333:{} is not authorized to perform: codeartifact:GetAuthorizationToken"


@pytest.mark.parametrize(
    ("reply", "kind", "hint"),
    [
        pytest.param(
            refusal(403, "AccessDeniedException", DENIED.format("user/eve")),
            BrokerRefused,
            f"allow codeartifact:GetAuthorizationToken on arn:aws:codeartifact:{REGION}:{ACCOUNT}:domain/acme, and "
            "sts:GetServiceBearerToken; then codeartifact:ReadFromRepository on the repository",
            id="iam",
        ),
        pytest.param(
            refusal(403, "AccessDeniedException", DENIED.format("root")),
            BrokerRefused,
            "use a role or an IAM Identity Center user",
            id="root",
        ),
        pytest.param(
            refusal(404, "ResourceNotFoundException", "Domain not found."),
            BrokerRefused,
            f"aws codeartifact list-domains --region {REGION}",
            id="no-such-domain",
        ),
        pytest.param(
            refusal(403, "ExpiredTokenException", "The security token included in the request is expired"),
            SessionError,
            "aws sso login --profile work",
            id="expired",
        ),
        pytest.param(
            refusal(403, "UnrecognizedClientException", "The security token included in the request is invalid."),
            BrokerRefused,
            "aws configure --profile work",
            id="unknown-keys",
        ),
        pytest.param(
            refusal(403, "InvalidSignatureException", "Signature expired: 20260101T000000Z is now earlier than"),
            BrokerRefused,
            "set this machine's clock",
            id="clock-behind",
        ),
        pytest.param(
            refusal(403, "InvalidSignatureException", "Signature not yet current: 20270101T000000Z"),
            BrokerRefused,
            "set this machine's clock",
            id="clock-ahead",
        ),
    ],
)
def test_a_refusal_is_told_with_what_to_do(
    machine: Machine, reply: Reply, kind: type[IndexpassError], hint: str
) -> None:
    machine.sign_in("work")
    machine.options["profile"] = "work"
    machine.aws.replies["codeartifact"] = reply
    with pytest.raises(kind) as caught:
        machine.issue()
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("reply", "seconds"),
    [
        pytest.param(refusal(429, "ThrottlingException", "Rate exceeded", Retry_After="7"), 7.0, id="quota"),
        pytest.param(refusal(429, "ThrottlingException", "Rate exceeded"), None, id="quota-without-a-time"),
        pytest.param(refusal(500, "InternalServerException", "Oops"), None, id="broken"),
    ],
)
def test_an_aws_that_is_busy_is_left_alone_for_as_long_as_it_asks(
    machine: Machine, reply: Reply, seconds: float | None
) -> None:
    machine.sign_in()
    machine.aws.replies["codeartifact"] = reply
    with pytest.raises(BrokerUnreachable, match="not ready") as caught:
        machine.issue()
    assert caught.value.retry_after == seconds


def test_an_answer_without_a_token_is_no_credential(machine: Machine) -> None:
    machine.sign_in()
    machine.aws.replies["codeartifact"] = Reply(200, {"expiration": 1})
    with pytest.raises(BrokerMisbehaved):
        machine.issue()


# What STS refuses, as documented


@pytest.mark.parametrize(
    ("reply", "message", "hint"),
    [
        pytest.param(
            sts_refusal(403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"),
            "Not authorized",
            f"let the trust policy of {ROLE} allow sts:AssumeRoleWithWebIdentity",
            id="trust-policy",
        ),
        pytest.param(
            sts_refusal(400, "InvalidIdentityToken", "No OpenIDConnect provider found in your account"),
            "No OpenIDConnect provider",
            "aws iam create-open-id-connect-provider",
            id="no-such-issuer",
        ),
        pytest.param(
            sts_refusal(400, "ExpiredTokenException", "Token expired: current date/time must be before"),
            "Token expired",
            "let THE_CI give a new identity token",
            id="expired",
        ),
        pytest.param(
            sts_refusal(403, "RegionDisabledException", "STS is not activated in this region"),
            "not activated",
            f"use STS in {REGION}",
            id="region",
        ),
    ],
)
def test_a_role_that_is_not_given_is_told_with_what_to_do(
    machine: Machine, reply: Reply, message: str, hint: str
) -> None:
    machine.assume(moto=False)
    machine.aws.replies["sts"] = reply
    with pytest.raises(BrokerRefused, match=message) as caught:
        machine.issue()
    assert hint in caught.value.hint
    assert TOKEN not in f"{caught.value!r} {caught.value.hint} {caught.value.__cause__!r}"


# When nothing can be asked

SSO = """\
[profile work]
sso_start_url = https://acme.awsapps.com/start
sso_region = eu-west-1
sso_account_id = 111122223333
sso_role_name = reader
"""


def test_a_sign_in_by_identity_center_that_has_ended_is_to_be_renewed(machine: Machine) -> None:
    machine.configure(SSO)
    machine.options["profile"] = "work"
    with pytest.raises(SessionError, match="has ended") as caught:
        machine.issue()
    assert caught.value.hint == "aws sso login --profile work"


def test_where_there_are_no_credentials_the_hint_says_how_to_sign_in(machine: Machine) -> None:
    with pytest.raises(SessionError, match="nobody is signed in at AWS") as caught:
        machine.issue()
    assert caught.value.hint.startswith("aws configure sso")
    assert "configure 'role'" in caught.value.hint


def test_a_job_in_ci_that_proves_nothing_is_told_what_it_lacks(machine: Machine) -> None:
    machine.assume()
    machine.identity = None
    machine.unidentified = IdentityError("the job has no identity token", hint="permissions: id-token: write")
    with pytest.raises(IdentityError, match="has no identity token"):
        machine.issue()


def test_a_profile_that_is_not_there_is_named(machine: Machine) -> None:
    machine.options["profile"] = "home"
    with pytest.raises(ConfigError, match="no profile 'home'") as caught:
        machine.issue()
    assert caught.value.hint == "aws configure sso --profile home"


def test_a_program_of_the_profile_that_fails_is_told_without_its_words(machine: Machine) -> None:
    machine.configure("[default]\ncredential_process = sh -c 'echo secret-words >&2; exit 1'\n")
    with pytest.raises(IdentityError, match="no credentials") as caught:
        machine.issue()
    assert "secret-words" not in "".join(traceback.format_exception(caught.value)) + caught.value.hint


def test_an_aws_that_cannot_be_reached_is_told(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.sign_in()
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(BrokerUnreachable, match=f"AWS in {REGION} cannot be reached"):
        machine.issue()


def test_nothing_is_sent_to_who_is_not_aws(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.sign_in()
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(BrokerUnreachable):
        machine.issue()
    assert machine.aws.server.asked == []


def test_an_authority_in_ssl_cert_file_is_trusted(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.sign_in()
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.setenv("SSL_CERT_FILE", str(machine.aws.server.authority))
    assert machine.issue().secret


def test_an_authority_in_ssl_cert_file_is_trusted_for_sts_as_well(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.assume(moto=False)
    machine.aws.replies["sts"] = sts_refusal(403, "AccessDenied", "Not authorized")
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.setenv("SSL_CERT_FILE", str(machine.aws.server.authority))
    with pytest.raises(BrokerRefused):
        machine.issue()


def test_the_url_alone_is_enough(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.sign_in()
    monkeypatch.setenv("INDEXPASS_HOME", str(machine.folder / "home"))
    credential = default_resolver().credential(URL)
    assert credential is not None
    assert credential.secret == Secret("token signed by AKIADEFAULT")


def test_what_is_kept_is_not_asked_for_again(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.sign_in()
    monkeypatch.setenv("INDEXPASS_HOME", str(machine.folder / "home"))
    assert default_resolver().credential(URL) == default_resolver().credential(URL)
    assert len(machine.aws.asked_at("codeartifact")) == 1
