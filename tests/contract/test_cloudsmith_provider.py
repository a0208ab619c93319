"""The Cloudsmith provider against a double of Cloudsmith's API, which alone may be asked."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import jwt
import pytest
from starlette.responses import JSONResponse, PlainTextResponse

from indexpass._model import Context, Credential, IdentityToken, Index, Operation
from indexpass._secret import Secret
from indexpass._sessions import FileSessions
from indexpass._url import IndexUrl
from indexpass.errors import BrokerError, BrokerMisbehaved, BrokerRefused, BrokerUnreachable, ConfigError, IdentityError
from indexpass.providers.cloudsmith import CloudsmithProvider
from servers.cloudsmith_platform import CloudsmithPlatform, cloudsmith_platform
from servers.far_hosts import FarHosts, http_to

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.responses import Response

NOW = 1_800_000_000
TOOLS = "https://dl.cloudsmith.io/basic/acme/tools/python/simple/"


class Client:
    """A job in CI with one index of the organization ``acme``."""

    def __init__(self, platform: CloudsmithPlatform, folder: Path) -> None:
        self.platform = platform
        self.hosts = FarHosts({"https://api.cloudsmith.io": platform.url})
        self.proof: str | None = platform.proof
        self.audiences: list[str] = []
        self.context = Context(
            http=http_to(self.hosts),
            sessions=FileSessions(folder / "sessions"),
            identify=self._identify,
            now=lambda: float(NOW),
        )

    def _identify(self, audience: str) -> IdentityToken | None:
        self.audiences.append(audience)
        return IdentityToken(Secret(self.proof), "THE_CI") if self.proof else None

    def issue(self, operation: Operation = "read", url: str = TOOLS, **options: str) -> Credential:
        settings = {"service": "ci-read", **{key.replace("_", "-"): value for key, value in options.items()}}
        index = Index("tools", IndexUrl.parse(url), provider="cloudsmith", options=MappingProxyType(settings))
        return CloudsmithProvider().issue(index, operation, self.context)


def service_of(credential: Credential) -> object:
    return jwt.decode(credential.secret.reveal(), options={"verify_signature": False})["sub"]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with cloudsmith_platform() as platform:
        yield Client(platform, tmp_path)


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
    client.platform.response = JSONResponse({"token": "opaque"})
    assert client.issue().expires_at == NOW + 300


@pytest.mark.parametrize(
    ("options", "audience"),
    [({}, "https://api.cloudsmith.io"), ({"audience": "acme-ci"}, "acme-ci")],
    ids=["the-api", "as-configured"],
)
def test_the_identity_token_is_made_for(client: Client, options: dict[str, str], audience: str) -> None:
    client.issue("read", **options)
    assert client.audiences == [audience]


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
    index = Index(
        "tools",
        IndexUrl.parse(TOOLS),
        upload_url=IndexUrl.parse("https://evil.example/acme/tools/"),
        provider="cloudsmith",
        options=MappingProxyType({"service": "ci-read"}),
    )
    with pytest.raises(ConfigError):
        CloudsmithProvider().issue(index, "upload", client.context)


def test_without_an_identity_token_nothing_is_asked(client: Client) -> None:
    client.proof = None
    with pytest.raises(IdentityError) as caught:
        client.issue()
    assert 'provider = "static"' in caught.value.hint
    assert client.hosts.asked == []


def test_in_ci_the_error_is_the_one_that_says_why_there_is_no_identity_token(client: Client) -> None:
    client.proof = None
    client.context = client.context._replace(unidentified=lambda audience: IdentityError(f"nothing for {audience}"))
    with pytest.raises(IdentityError, match="nothing for https://api"):
        client.issue()


def test_a_refusal_names_all_that_has_to_agree(client: Client) -> None:
    client.proof = "header.of-another.signature"
    with pytest.raises(BrokerRefused, match=r"Invalid credentials\. \(the identity token came from THE_CI\)") as caught:
        client.issue()
    for name in ("organization acme", "service account ci-read", "audience https://api.cloudsmith.io"):
        assert name in caught.value.hint
    assert client.proof not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (JSONResponse({"detail": ["odd"]}, status_code=422), BrokerRefused),
        (PlainTextResponse("not found", status_code=404), BrokerRefused),
        (JSONResponse({}, status_code=500), BrokerUnreachable),
        (JSONResponse({"token": ""}), BrokerMisbehaved),
        (JSONResponse({"token": 7}), BrokerMisbehaved),
        (PlainTextResponse("<html>"), BrokerMisbehaved),
    ],
    ids=["unprocessable", "no-json-404", "broken", "empty", "number", "no-json"],
)
def test_what_is_no_token_becomes_an_error(client: Client, response: Response, error: type[BrokerError]) -> None:
    client.platform.response = response
    with pytest.raises(error):
        client.issue()


def test_a_throttled_exchange_says_when_to_come_back(client: Client) -> None:
    client.platform.response = JSONResponse({}, status_code=429, headers={"Retry-After": "40"})
    with pytest.raises(BrokerUnreachable) as caught:
        client.issue()
    assert caught.value.retry_after == 40
