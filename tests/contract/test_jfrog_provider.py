"""The JFrog provider against a double of JFrog's token exchange."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest
from starlette.responses import JSONResponse, PlainTextResponse

from indexpass._http import HttpClient
from indexpass._model import Context, Credential, IdentityToken, Index, Operation
from indexpass._secret import Secret
from indexpass._sessions import FileSessions
from indexpass._url import IndexUrl
from indexpass.errors import BrokerError, BrokerMisbehaved, BrokerRefused, BrokerUnreachable, ConfigError, IdentityError
from indexpass.providers.jfrog import JFrogProvider
from servers.jfrog_platform import JFrogPlatform, jfrog_platform

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.responses import Response

NOW = 1_800_000_000.0


class Client:
    """A job in CI with one index on the platform."""

    def __init__(self, platform: JFrogPlatform, folder: Path) -> None:
        self.platform = platform
        self.proof: str | None = platform.proof
        self.audiences: list[str] = []
        self.context = Context(
            http=HttpClient(), sessions=FileSessions(folder / "sessions"), identify=self._identify, now=lambda: NOW
        )

    def _identify(self, audience: str) -> IdentityToken | None:
        self.audiences.append(audience)
        return IdentityToken(Secret(self.proof), "THE_CI") if self.proof else None

    def issue(self, operation: Operation = "read", **options: str) -> Credential:
        settings = {"oidc-provider": "ci", **{key.replace("_", "-"): value for key, value in options.items()}}
        url = IndexUrl.parse(f"{self.platform.url}/artifactory/api/pypi/tools/simple")
        index = Index("tools", url, provider="jfrog", options=MappingProxyType(settings))
        return JFrogProvider().issue(index, operation, self.context)


@pytest.fixture
def platform() -> Iterator[JFrogPlatform]:
    with jfrog_platform() as running:
        yield running


@pytest.fixture
def client(platform: JFrogPlatform, tmp_path: Path) -> Client:
    return Client(platform, tmp_path)


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
    assert client.audiences == [audience or client.platform.url]


def test_the_project_is_named_if_it_is_configured(client: Client) -> None:
    client.issue(project="tls")
    client.issue()
    assert [asked.get("project_key") for asked in client.platform.requests] == ["tls", None]


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
    index = Index("tools", IndexUrl.parse(f"{client.platform.url}/artifactory/api/pypi/tools/simple"), provider="jfrog")
    index = index._replace(**{place: IndexUrl.parse("https://evil.example/")})  # type: ignore[arg-type]  # either one
    with pytest.raises(ConfigError, match="goes nowhere else"):
        JFrogProvider().issue(index, "upload", client.context)
    assert client.platform.requests == []


def test_without_an_identity_token_nothing_is_asked(client: Client) -> None:
    client.proof = None
    with pytest.raises(IdentityError, match="nothing here proves") as caught:
        client.issue()
    assert 'provider = "static"' in caught.value.hint
    assert client.platform.requests == []


def test_in_ci_the_error_is_the_one_that_says_why_there_is_no_identity_token(client: Client) -> None:
    client.proof = None
    client.context = client.context._replace(unidentified=lambda audience: IdentityError(f"nothing for {audience}"))
    with pytest.raises(IdentityError, match="nothing for http"):
        client.issue()


def test_a_token_that_no_mapping_matches_is_refused_with_the_settings_to_check(client: Client) -> None:
    client.proof = "header.of-another.signature"
    with pytest.raises(BrokerRefused, match="came from THE_CI") as caught:
        client.issue()
    assert caught.value.reason == "UNAUTHORIZED"
    assert f"set the audience {client.platform.url}, and an identity mapping" in caught.value.hint


def test_no_token_is_in_the_words_of_a_refusal(client: Client) -> None:
    client.proof = f"header.{'of-another' * 10}.signature"
    with pytest.raises(BrokerRefused) as caught:
        client.issue()
    assert client.proof not in f"{caught.value} {caught.value.hint}"


def test_an_integration_that_does_not_exist_is_named(client: Client) -> None:
    with pytest.raises(BrokerRefused) as caught:
        client.issue(oidc_provider="another")
    assert 'check oidc-provider = "another"' in caught.value.hint


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (JSONResponse({}, status_code=403), BrokerRefused),
        (JSONResponse({"errors": "none"}, status_code=400), BrokerRefused),
        (PlainTextResponse("gone", status_code=404), BrokerRefused),
        (JSONResponse({}, status_code=503), BrokerUnreachable),
        (JSONResponse({"username": "ci"}), BrokerMisbehaved),
        (JSONResponse({"access_token": "a", "expires_in": "soon"}), BrokerMisbehaved),
        (PlainTextResponse("<html>"), BrokerMisbehaved),
    ],
    ids=["forbidden", "odd-errors", "not-jfrog", "not-ready", "no-token", "no-seconds", "no-json"],
)
def test_what_is_no_token_becomes_an_error(client: Client, response: Response, error: type[BrokerError]) -> None:
    client.platform.response = response
    with pytest.raises(error):
        client.issue()


def test_a_throttled_exchange_says_when_to_come_back(client: Client) -> None:
    client.platform.response = JSONResponse({}, status_code=429, headers={"Retry-After": "17"})
    with pytest.raises(BrokerUnreachable) as caught:
        client.issue()
    assert caught.value.retry_after == 17
