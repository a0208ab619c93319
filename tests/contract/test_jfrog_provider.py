"""The JFrog provider against a double of JFrog's token exchange."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from indexpass._url import IndexUrl
from indexpass.errors import BrokerError, BrokerMisbehaved, BrokerRefused, BrokerUnreachable, ConfigError, IdentityError
from indexpass.providers.jfrog import JFrogProvider
from indexpass.testing import NOW, ExchangeContract, FakeIdentity, Reply, Subject, make_context, make_index
from servers.jfrog_platform import JFrogPlatform

if TYPE_CHECKING:
    from collections.abc import Iterator

    from indexpass._model import Credential, Index, Operation


class Client:
    """A job in CI with one index on the platform."""

    def __init__(self, platform: JFrogPlatform) -> None:
        self.platform = platform
        self.identity = FakeIdentity(platform.proof)
        self.context = make_context(identify=self.identity)

    def index(self, **options: str) -> Index:
        url = f"{self.platform.url}/artifactory/api/pypi/tools/simple"
        return make_index(url, provider="jfrog", **{"oidc_provider": "ci", **options})

    def issue(self, operation: Operation = "read", **options: str) -> Credential:
        return JFrogProvider().issue(self.index(**options), operation, self.context)


@pytest.fixture
def platform() -> Iterator[JFrogPlatform]:
    with JFrogPlatform() as running:
        yield running


@pytest.fixture
def client(platform: JFrogPlatform) -> Client:
    return Client(platform)


class TestContract(ExchangeContract):
    max_requests = 1
    write_mark = "publishers"

    @pytest.fixture
    def subject(self, client: Client) -> Subject:
        mappings = {"identity_mapping": "readers", "upload_identity_mapping": "publishers"}
        return Subject(JFrogProvider(), client.index(**mappings), client.context, frozenset({client.platform.url}))


def test_an_identity_token_yields_the_access_token_and_the_user_that_jfrog_names(client: Client) -> None:
    credential = client.issue()
    assert (credential.username, credential.secret.reveal()) == ("ci-reader", client.platform.issued[0])


def test_the_credential_lives_as_long_as_jfrog_says(client: Client) -> None:
    client.platform.expires_in = 60
    credential = client.issue()
    assert (credential.issued_at, credential.expires_at) == (NOW, NOW + 60)


def test_a_life_that_is_not_said_counts_as_five_minutes(client: Client) -> None:
    client.platform.expires_in = None
    assert client.issue().expires_at == NOW + 300


def test_a_user_that_is_not_said_is_empty(client: Client) -> None:
    client.platform.username_is_said = False
    assert client.issue().username == ""


@pytest.mark.parametrize(
    ("options", "audience"), [({}, None), ({"audience": "jfrog-ci"}, "jfrog-ci")], ids=["the-platform", "as-configured"]
)
def test_the_identity_token_is_made_for(client: Client, options: dict[str, str], audience: str | None) -> None:
    client.issue("read", **options)
    assert client.identity.audiences == [audience or client.platform.url]


def test_the_project_is_named_if_it_is_configured(client: Client) -> None:
    client.issue(project="tls")
    client.issue()
    assert [asked.json.get("project_key") for asked in client.platform.asked] == ["tls", None]


@pytest.mark.parametrize(
    ("operation", "options", "user"),
    [
        ("read", {}, "ci-reader"),
        ("read", {"identity_mapping": "readers", "upload_identity_mapping": "publishers"}, "ci-reader"),
        ("upload", {"identity_mapping": "readers", "upload_identity_mapping": "publishers"}, "ci-publisher"),
        ("upload", {"identity_mapping": "publishers"}, "ci-publisher"),
    ],
    ids=["jfrog-chooses", "read", "upload", "one-for-both"],
)
def test_the_identity_mapping_is(client: Client, operation: Operation, options: dict[str, str], user: str) -> None:
    assert client.issue(operation, **options).username == user


@pytest.mark.parametrize("place", ["upload_url", "files_url"])
def test_no_token_is_issued_for_an_index_that_is_elsewhere_as_well(client: Client, place: str) -> None:
    index = client.index()._replace(**{place: IndexUrl.parse("https://evil.example/")})  # type: ignore[arg-type]  # either one
    with pytest.raises(ConfigError, match="goes nowhere else"):
        JFrogProvider().issue(index, "upload", client.context)
    assert client.platform.asked == []


def test_without_an_identity_token_people_are_told_what_they_use(client: Client) -> None:
    client.identity.token = None
    with pytest.raises(IdentityError, match="nothing here proves") as caught:
        client.issue()
    assert 'provider = "static"' in caught.value.hint


def test_a_token_that_no_mapping_matches_is_refused_with_the_settings_to_check(client: Client) -> None:
    client.identity.token = "header.of-another.signature"
    with pytest.raises(BrokerRefused, match="came from THE_CI") as caught:
        client.issue()
    assert caught.value.reason == "UNAUTHORIZED"
    assert f"set the audience {client.platform.url}, and an identity mapping" in caught.value.hint


def test_no_token_is_in_the_words_of_a_refusal(client: Client) -> None:
    client.identity.token = f"header.{'of-another' * 10}.signature"
    with pytest.raises(BrokerRefused) as caught:
        client.issue()
    assert client.identity.token not in f"{caught.value} {caught.value.hint}"


def test_an_integration_that_does_not_exist_is_named(client: Client) -> None:
    with pytest.raises(BrokerRefused) as caught:
        client.issue(oidc_provider="another")
    assert 'check oidc-provider = "another"' in caught.value.hint


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(403, {}), BrokerRefused),
        (Reply(400, {"errors": "none"}), BrokerRefused),
        (Reply(404, "gone"), BrokerRefused),
        (Reply(503, {}), BrokerUnreachable),
        (Reply(200, {"username": "ci"}), BrokerMisbehaved),
        (Reply(200, {"access_token": "a", "expires_in": "soon"}), BrokerMisbehaved),
        (Reply(200, "<html>"), BrokerMisbehaved),
    ],
    ids=["forbidden", "odd-errors", "not-jfrog", "not-ready", "no-token", "no-seconds", "no-json"],
)
def test_what_is_no_token_becomes_an_error(client: Client, reply: Reply, error: type[BrokerError]) -> None:
    client.platform.fail(reply)
    with pytest.raises(error):
        client.issue()
