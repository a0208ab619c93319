"""The provider for Vault, against a double that behaves as Vault's API pages describe."""

from __future__ import annotations

import pytest
from starlette.responses import JSONResponse, RedirectResponse, Response

from indexpass._model import Credential, IdentityToken, Index, Operation
from indexpass._secret import Secret
from indexpass.errors import (
    BrokerError,
    BrokerMisbehaved,
    BrokerRefused,
    BrokerUnreachable,
    ConfigError,
    IdentityError,
    IndexpassError,
)
from indexpass.providers.vault import VaultProvider
from indexpass.testing import NOW, ExchangeContract, Subject, make_context, make_index
from servers.issuers import Issuer
from servers.vault_platform import Role, VaultPlatform

URL = "https://packages.acme.example/simple/"
CANARY = "canary-90ab"
KV1, KV2, MADE = "kv/pypi", "secret/data/pypi", "artifactory/token/ci"


class Job:
    """A job in CI that Vault knows, with one index configured."""

    def __init__(self, vault: VaultPlatform) -> None:
        self.vault = vault
        self.issuer = Issuer()
        vault.key = self.issuer.public_pem()
        vault.fixed = {KV1: {"username": "ci", "password": CANARY}}
        vault.versioned = {KV2: {"username": "ci", "password": CANARY}, "secret/data/up": {"password": f"up-{CANARY}"}}
        vault.on_demand = {MADE: 900}
        vault.roles = {"reader": Role(vault.url, {"project_id": "1234"}, (KV1, KV2, MADE, "secret/data/none"))}
        vault.roles["releaser"] = Role(vault.url, {"project_id": "1234"}, ("secret/data/up",))
        self.identity: Secret | None = self.issuer.token(aud=vault.url)
        self.audiences: list[str] = []
        self.context = make_context(identify=self._identify)

    def _identify(self, audience: str) -> IdentityToken | None:
        self.audiences.append(audience)
        return IdentityToken(self.identity, "THE_CI") if self.identity else None

    def issue(self, path: str = KV2, operation: Operation = "read", **options: str) -> Credential:
        return VaultProvider().issue(self.index(path, **options), operation, self.context)

    def index(self, path: str = KV2, **options: str) -> Index:
        return make_index(URL, provider="vault", **{"vault": self.vault.url, "role": "reader", "path": path, **options})

    def fails(self, kind: type[IndexpassError], path: str = KV2, **options: str) -> IndexpassError:
        with pytest.raises(kind) as caught:
            self.issue(path, **options)
        return caught.value


@pytest.fixture
def job(vault_platform: VaultPlatform) -> Job:
    return Job(vault_platform)


class TestContract(ExchangeContract):
    write_mark = "secret/data/up"

    @pytest.fixture
    def subject(self, job: Job) -> Subject:
        index = job.index(upload_path="secret/data/up", upload_role="releaser")
        return Subject(VaultProvider(), index, job.context, frozenset({job.vault.url}))


# What is read


@pytest.mark.parametrize("path", [KV1, KV2], ids=["kv-1", "kv-2"])
def test_a_fixed_secret_of_either_version_is_a_credential(job: Job, path: str) -> None:
    credential = job.issue(path)
    assert (credential.username, credential.secret) == ("ci", Secret(CANARY))


def test_a_secret_made_on_demand_is_a_credential(job: Job) -> None:
    credential = job.issue(MADE)
    assert credential.username == "v-ci"
    assert credential.secret


def test_the_members_of_the_secret_may_have_other_names(job: Job) -> None:
    job.vault.versioned[KV2] = {"who": "eve", "key": CANARY}
    credential = job.issue(username_field="who", secret_field="key")
    assert (credential.username, credential.secret) == ("eve", Secret(CANARY))


def test_a_secret_without_a_user_name_goes_with_any(job: Job) -> None:
    job.vault.versioned[KV2] = {"password": CANARY}
    assert job.issue().username == "__token__"


@pytest.mark.parametrize("options", [{"secret_field": "key"}, {"username_field": "who"}], ids=["secret", "user-name"])
def test_a_member_that_is_missing_is_named_beside_those_that_are_there(job: Job, options: dict[str, str]) -> None:
    error = job.fails(ConfigError, **options)
    assert "it has password, username" in error.message
    assert CANARY not in f"{error!r} {error.hint}"


def test_a_member_that_is_no_text_is_refused(job: Job) -> None:
    job.vault.versioned[KV2] = {"password": {"nested": CANARY}}
    assert CANARY not in repr(job.fails(BrokerMisbehaved))


# Least


def test_one_login_and_one_read_are_all_that_vault_is_asked(job: Job) -> None:
    job.issue(MADE)
    assert job.vault.asked == ["POST auth/jwt/login", f"GET {MADE}"]
    assert [token.uses for token in job.vault.tokens.values()] == [1]


def test_uploads_have_a_path_and_a_role_of_their_own(job: Job) -> None:
    credential = job.issue(operation="upload", upload_path="secret/data/up", upload_role="releaser")
    assert credential.secret == Secret(f"up-{CANARY}")


def test_reading_never_touches_the_path_for_uploads(job: Job) -> None:
    job.issue(upload_path="secret/data/up", upload_role="releaser")
    assert job.vault.asked[1:] == [f"GET {KV2}"]


def test_without_a_path_of_their_own_uploads_are_refused_before_anybody_is_asked(job: Job) -> None:
    with pytest.raises(ConfigError, match="no secret for uploading") as caught:
        job.issue(operation="upload")
    assert "upload-path" in caught.value.hint
    assert (job.vault.asked, job.audiences) == ([], [])


@pytest.mark.parametrize("audience", [None, "vault-of-acme"], ids=["vault-s-url", "configured"])
def test_the_identity_token_is_made_for_vault(job: Job, audience: str | None) -> None:
    options = {"audience": audience} if audience else {}
    job.vault.roles["reader"].audience = audience or job.vault.url
    job.identity = job.issuer.token(aud=audience or job.vault.url)
    job.issue(**options)
    assert job.audiences == [audience or job.vault.url]


def test_mount_and_namespace_are_those_of_the_settings(job: Job) -> None:
    job.vault.mount, job.vault.namespace = "ci/github", "python"
    assert job.issue(mount="ci/github", namespace="python").username == "ci"


# How long it lives


@pytest.mark.parametrize(
    ("path", "token_ttl", "life"),
    [
        pytest.param(MADE, 3600, 900, id="the-lease"),
        pytest.param(MADE, 600, 600, id="the-token-that-made-it-ends-sooner"),
        pytest.param(MADE, 0, 900, id="a-token-without-an-end"),
        pytest.param(KV1, 3600, 3600, id="kv-1-has-no-lease-but-a-hint"),
        pytest.param(KV2, 3600, 3600, id="kv-2-is-read-anew-with-a-new-token"),
    ],
)
def test_a_credential_lives_as_long_as_lease_and_token(job: Job, path: str, token_ttl: int, life: float) -> None:
    job.vault.roles["reader"].token_ttl = token_ttl
    credential = job.issue(path)
    assert (credential.issued_at, credential.expires_at, credential.is_kept) == (NOW, NOW + life, True)


def test_what_has_no_end_at_all_is_not_kept(job: Job) -> None:
    job.vault.roles["reader"].token_ttl = 0
    credential = job.issue(KV2)
    assert (credential.expires_at, credential.is_kept) == (None, False)


# When it fails


def test_without_an_identity_token_a_machine_is_told_that_nothing_proves_it(job: Job) -> None:
    job.identity = None
    assert "nothing on this machine proves" in job.fails(IdentityError).message


def test_another_audience_is_told_with_the_role_to_look_at(job: Job) -> None:
    job.identity = job.issuer.token(aud="https://elsewhere.example")
    error = job.fails(BrokerRefused)
    assert "invalid audience" in error.message
    assert "THE_CI" in error.message
    assert "vault read auth/jwt/role/reader" in error.hint


def test_a_clock_that_is_wrong_is_told_in_vault_s_words(job: Job) -> None:
    job.identity = job.issuer.token(aud=job.vault.url, exp=1000)
    assert "expired" in job.fails(BrokerRefused).message


@pytest.mark.parametrize("role", ["nobody", "other"])
def test_a_role_that_is_not_for_this_job_is_refused(job: Job, role: str) -> None:
    job.vault.roles["other"] = Role(job.vault.url, {"project_id": "99"}, (KV2,))
    assert f"role {role}" in job.fails(BrokerRefused, role=role).message


def test_a_refused_identity_token_is_not_repeated(job: Job) -> None:
    job.identity = job.issuer.token(aud="https://elsewhere.example")
    error = job.fails(BrokerRefused)
    assert job.identity.reveal() not in f"{error!r} {error.hint} {error.__cause__!r} {error.__context__!r}"


def test_a_mount_that_is_not_there_is_told(job: Job) -> None:
    assert "mount = " in job.fails(BrokerRefused, mount="oidc").hint


def test_a_path_that_is_forbidden_comes_with_the_line_of_the_policy(job: Job) -> None:
    error = job.fails(BrokerRefused, "secret/data/other")
    assert "permission denied" in error.message
    assert 'path "secret/data/other" { capabilities = ["read"] }' in error.hint


def test_a_path_with_nothing_at_it_comes_with_the_usual_reason(job: Job) -> None:
    assert "data/" in job.fails(BrokerRefused, "secret/data/none").hint


def test_a_token_for_one_use_is_told_where_vault_ends_what_it_made(job: Job) -> None:
    job.vault.roles["reader"].token_num_uses = 1
    assert "token_num_uses=0" in job.fails(BrokerRefused, MADE).hint


@pytest.mark.parametrize(
    ("answer", "message", "retry_after"),
    [
        pytest.param(JSONResponse({"errors": ["Vault is sealed"]}, 503), "sealed", None, id="sealed"),
        pytest.param(
            JSONResponse({"errors": ["request path: rate limit quota exceeded"]}, 429, {"Retry-After": "7"}),
            "not ready",
            7.0,
            id="throttled",
        ),
        pytest.param(JSONResponse({"errors": ["internal error"]}, 500), "not ready", None, id="broken"),
        pytest.param(Response("<html>", 502), "not ready", None, id="a-proxy"),
    ],
)
def test_a_vault_that_is_not_ready_is_asked_later(
    job: Job, answer: Response, message: str, retry_after: float | None
) -> None:
    job.vault.failure = answer
    error = job.fails(BrokerUnreachable)
    assert isinstance(error, BrokerUnreachable)
    assert message in error.message
    assert error.retry_after == retry_after


def test_a_vault_that_is_away_is_told(job: Job) -> None:
    job.fails(BrokerUnreachable, vault="http://127.0.0.1:9")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(RedirectResponse("https://evil.example/v1/auth/jwt/login"), id="a-redirect"),
        pytest.param(Response("<html>sign in</html>", 200), id="a-page"),
        pytest.param(JSONResponse({"auth": None}), id="no-token"),
        pytest.param(JSONResponse({"auth": {"client_token": 7}}), id="a-token-that-is-a-number"),
        pytest.param(JSONResponse({"errors": "x" * 5000}, 400), id="errors-that-are-no-list"),
    ],
)
def test_whatever_else_is_answered_is_an_error_of_ours(job: Job, answer: Response) -> None:
    job.vault.failure = answer
    job.fails(BrokerError)
