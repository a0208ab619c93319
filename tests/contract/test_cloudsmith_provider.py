"""The Cloudsmith provider against a double of Cloudsmith's API, which alone may be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jwt
import pytest

from indexpass._url import IndexUrl
from indexpass.errors import BrokerError, BrokerMisbehaved, BrokerRefused, BrokerUnreachable, ConfigError, IdentityError
from indexpass.providers.cloudsmith import API, CloudsmithProvider
from indexpass.testing import (
    NOW,
    ExchangeContract,
    FakeIdentity,
    FarHosts,
    Reply,
    Subject,
    http_to,
    make_context,
    make_index,
)
from servers.cloudsmith_platform import CloudsmithPlatform

if TYPE_CHECKING:
    from collections.abc import Iterator

    from indexpass._model import Credential, Index, Operation

TOOLS = "https://dl.cloudsmith.io/basic/acme/tools/python/simple/"


class Client:
    """A job in CI with one index of the organization ``acme``."""

    def __init__(self, platform: CloudsmithPlatform) -> None:
        self.platform = platform
        self.hosts = FarHosts({API: platform.url})
        self.identity = FakeIdentity(platform.proof)
        self.context = make_context(http=http_to(self.hosts), identify=self.identity)

    def index(self, url: str = TOOLS, **options: str) -> Index:
        return make_index(url, provider="cloudsmith", **{"service": "ci-read", **options})

    def issue(self, operation: Operation = "read", url: str = TOOLS, **options: str) -> Credential:
        return CloudsmithProvider().issue(self.index(url, **options), operation, self.context)


def service_of(credential: Credential) -> object:
    return jwt.decode(credential.secret.reveal(), options={"verify_signature": False})["sub"]


@pytest.fixture
def client() -> Iterator[Client]:
    with CloudsmithPlatform() as platform:
        yield Client(platform)


class TestContract(ExchangeContract):
    max_requests = 1
    write_mark = "ci-publish"

    @pytest.fixture
    def subject(self, client: Client) -> Subject:
        index = client.index(upload_service="ci-publish")
        return Subject(CloudsmithProvider(), index, client.context, frozenset({API}))


def test_an_identity_token_yields_a_token_of_the_service_account(client: Client) -> None:
    credential = client.issue()
    assert (credential.username, service_of(credential)) == ("token", "ci-read")
    assert client.hosts.asked == ["https://api.cloudsmith.io/openid/acme/"]


def test_a_token_that_was_created_is_as_good(client: Client) -> None:
    client.platform.status = 201
    assert service_of(client.issue()) == "ci-read"


def test_an_upload_is_done_by_its_own_service_account(client: Client) -> None:
    assert service_of(client.issue("upload", upload_service="ci-publish")) == "ci-publish"


def test_reading_never_has_the_token_of_the_account_that_uploads(client: Client) -> None:
    assert service_of(client.issue("read", upload_service="ci-publish")) == "ci-read"


@pytest.mark.parametrize(
    ("claims", "life"),
    [
        ({"iat": NOW, "exp": NOW + 5400}, 5400),
        ({"iat": NOW - 86_400, "exp": NOW - 86_400 + 5400}, 5400),
        ({"exp": NOW + 7200}, 7200),
        ({"exp": NOW - 10}, 0),
        ({}, 300),
    ],
    ids=["90-minutes", "this-clock-is-a-day-ahead", "no-time-of-issue", "expired", "says-nothing"],
)
def test_the_credential_lives_as_long_as_the_token_says(client: Client, claims: dict[str, object], life: int) -> None:
    client.platform.claims = claims
    credential = client.issue()
    assert (credential.issued_at, credential.expires_at) == (NOW, NOW + life)


def test_a_token_that_is_no_jwt_counts_as_good_for_five_minutes(client: Client) -> None:
    client.platform.fail(Reply(200, {"token": "opaque"}))
    assert client.issue().expires_at == NOW + 300


@pytest.mark.parametrize(
    ("options", "audience"),
    [({}, "https://api.cloudsmith.io"), ({"audience": "acme-ci"}, "acme-ci")],
    ids=["the-api", "as-configured"],
)
def test_the_identity_token_is_made_for(client: Client, options: dict[str, str], audience: str) -> None:
    client.issue("read", **options)
    assert client.identity.audiences == [audience]


def test_an_index_on_a_domain_of_ones_own_names_its_organization(client: Client) -> None:
    assert service_of(client.issue(url="https://packages.acme.example/basic/tools/", organization="acme")) == "ci-read"


@pytest.mark.parametrize(
    "url",
    [
        "https://packages.acme.example/basic/acme/tools/python/simple/",
        "https://dl.cloudsmith.io.evil.example/basic/acme/tools/python/simple/",
        "https://dl.cloudsmith.io/public/acme/tools/python/simple/",
        "https://dl.cloudsmith.io/",
    ],
    ids=["own-domain", "look-alike", "public", "no-path"],
)
def test_an_organization_is_never_guessed(client: Client, url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        client.issue(url=url)
    assert caught.value.hint == 'add a line: organization = "…"'
    assert client.hosts.asked == []


def test_uploads_elsewhere_need_the_organization_too(client: Client) -> None:
    index = client.index()._replace(upload_url=IndexUrl.parse("https://evil.example/acme/tools/"))
    with pytest.raises(ConfigError):
        CloudsmithProvider().issue(index, "upload", client.context)


def test_without_an_identity_token_people_are_told_what_they_use(client: Client) -> None:
    client.identity.token = None
    with pytest.raises(IdentityError) as caught:
        client.issue()
    assert 'provider = "static"' in caught.value.hint


def test_a_refusal_names_all_that_has_to_agree(client: Client) -> None:
    client.identity.token = "header.of-another.signature"
    with pytest.raises(BrokerRefused, match=r"Invalid credentials\. \(the identity token came from THE_CI\)") as caught:
        client.issue()
    for name in ("organization acme", "service account ci-read", "audience https://api.cloudsmith.io"):
        assert name in caught.value.hint
    assert client.identity.token not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(422, {"detail": ["odd"]}), BrokerRefused),
        (Reply(404, "not found"), BrokerRefused),
        (Reply(500, {}), BrokerUnreachable),
        (Reply(200, {"token": ""}), BrokerMisbehaved),
        (Reply(200, {"token": 7}), BrokerMisbehaved),
        (Reply(200, "<html>"), BrokerMisbehaved),
    ],
    ids=["unprocessable", "no-json-404", "broken", "empty", "number", "no-json"],
)
def test_what_is_no_token_becomes_an_error(client: Client, reply: Reply, error: type[BrokerError]) -> None:
    client.platform.fail(reply)
    with pytest.raises(error):
        client.issue()
