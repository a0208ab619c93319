"""All identity sources, against stand-ins that behave as their platforms are documented (``servers/ci_platforms``)."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import id as id_library
import jwt
import pytest
from starlette.responses import JSONResponse, PlainTextResponse

from indexpass._http import HttpClient
from indexpass._model import Context, IdentitySource, Index, Surroundings
from indexpass._registry import IDENTITY_SOURCES, explain_nobody, find_source, identify
from indexpass._sessions import FileSessions
from indexpass._url import IndexUrl
from indexpass.errors import BrokerUnreachable, ConfigError, IdentityError, IndexpassError
from indexpass.identity.aws import AwsSource
from indexpass.identity.azure import AzureSource
from indexpass.identity.azure_devops import AzureDevOpsSource
from indexpass.identity.bitbucket import BitbucketSource
from indexpass.identity.buildkite import BuildkiteSource
from indexpass.identity.circleci import CircleCISource
from indexpass.identity.generic import GenericSource
from indexpass.identity.github import GitHubSource
from indexpass.identity.gitlab import GitLabSource
from indexpass.identity.google import GoogleSource
from indexpass.identity.kubernetes import KubernetesSource
from indexpass.identity.spiffe import SpiffeSource
from indexpass.providers.broker import BrokerProvider
from indexpass.testing import IdentitySourceContract, SourceSubject
from servers.ci_platforms import ENTRA_AUDIENCE, Platforms, platforms, write_program
from servers.issuers import Issuer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from indexpass._model import IdentityToken

AUDIENCE = "https://tokens.acme.example"
GITLAB_VARIABLE = "HTTPS___TOKENS_ACME_EXAMPLE_ID_TOKEN"
NOW = 2_000_000_000.0
posix_only = pytest.mark.skipif(os.name != "posix", reason="the stand-ins of programs are shell scripts")


class Place(NamedTuple):
    """Where a source applies: the source, the variables, and the one token that is there (None: one is made)."""

    source: IdentitySource
    environ: dict[str, str]
    token: str | None = None

    def prove(self, audience: str = AUDIENCE, *, now: float = 0.0, **more: str) -> IdentityToken:
        environ = {**self.environ, **more}
        assert self.source.examine(audience, environ).source
        return self.source.prove(audience, Surroundings(environ, HttpClient(), lambda: now))

    def fail(self, audience: str = AUDIENCE, *, now: float = 0.0, **more: str) -> IndexpassError:
        with pytest.raises(IndexpassError) as caught:
            self.prove(audience, now=now, **more)
        return caught.value


class World(NamedTuple):
    platforms: Platforms
    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def token(self, **claims: object) -> str:
        said: dict[str, object] = {"aud": AUDIENCE, "exp": int(NOW), **claims}
        return self.platforms.issuer.token(**said).reveal()  # type: ignore[arg-type]  # claims only

    def file(self, name: str, token: str) -> str:
        (self.folder / name).write_text(f"{token}\n")
        return str(self.folder / name)

    def program(self, name: str, *, failure: str = "") -> tuple[str, Path]:
        token = self.token()
        return token, write_program(self.folder, name, token, failure=failure)

    @property
    def path(self) -> str:
        return f"{self.folder}{os.pathsep}{os.defpath}"


def generic(world: World) -> Place:
    token = world.token()
    return Place(GenericSource(), {"INDEXPASS_IDENTITY_TOKEN": token}, token)


def generic_file(world: World) -> Place:
    token = world.token()
    return Place(GenericSource(), {"INDEXPASS_IDENTITY_TOKEN_FILE": world.file("token", token)}, token)


def github(world: World) -> Place:
    return Place(GitHubSource(), world.platforms.github)


def gitlab(world: World) -> Place:
    token = world.token()
    return Place(GitLabSource(), {"GITLAB_CI": "true", GITLAB_VARIABLE: token}, token)


def circleci(world: World) -> Place:
    token, _ = world.program("circleci")
    return Place(CircleCISource(), {"CIRCLECI": "true", "PATH": world.path}, token)


def circleci_variable(world: World) -> Place:
    token = world.token()
    return Place(CircleCISource(), {"CIRCLECI": "true", "PATH": "", "CIRCLE_OIDC_TOKEN_V2": token}, token)


def buildkite(world: World) -> Place:
    token, _ = world.program("buildkite-agent")
    return Place(BuildkiteSource(), {"BUILDKITE": "true", "PATH": world.path}, token)


def bitbucket(world: World) -> Place:
    token = world.token(aud="ari:cloud:bitbucket::workspace/acme")
    environ = {"CI": "true", "BITBUCKET_BUILD_NUMBER": "7", "BITBUCKET_STEP_OIDC_TOKEN": token}
    return Place(BitbucketSource(), environ, token)


def azure_devops(world: World) -> Place:
    return Place(AzureDevOpsSource(), world.platforms.azure_devops)


def kubernetes(world: World) -> Place:
    token = world.token()
    source = KubernetesSource(world.file("indexpass", token))
    return Place(source, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, token)


def kubernetes_webhook(world: World) -> Place:
    token = world.token()
    source = KubernetesSource(str(world.folder / "missing"))
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "AZURE_FEDERATED_TOKEN_FILE": world.file("azure", token)}
    return Place(source, environ, token)


def spiffe(world: World) -> Place:
    token = world.token(sub="spiffe://acme.example/tools")
    source = SpiffeSource(world.file("indexpass.jwt", token))
    return Place(source, {"SPIFFE_ENDPOINT_SOCKET": "unix:///run/spire/agent.sock"}, token)


def aws(world: World) -> Place:
    for name, value in world.platforms.aws.items():
        world.monkeypatch.setenv(name, value)  # botocore reads the process's own environment
    return Place(AwsSource(), world.platforms.aws)


def azure_app(world: World) -> Place:
    return Place(AzureSource(), world.platforms.azure_app)


def azure_machine(world: World) -> Place:
    return Place(AzureSource(), world.platforms.azure_machine)


def google(world: World) -> Place:
    return Place(GoogleSource(str(world.folder / "missing")), world.platforms.google)


VARIABLES = [generic, gitlab, circleci_variable, bitbucket]
FILES = [generic_file, kubernetes, kubernetes_webhook, spiffe]
PROGRAMS = [pytest.param(circleci, marks=posix_only), pytest.param(buildkite, marks=posix_only)]
ENDPOINTS = [github, azure_devops, azure_app, azure_machine, google, aws]
FREE = [github, azure_app, azure_machine, google, aws]  # whose audience can be chosen
ALL = [*VARIABLES, *FILES, *PROGRAMS, *ENDPOINTS]

SOURCES: dict[str, Callable[[str], IdentitySource]] = {
    "generic": lambda _: GenericSource(),
    "github": lambda _: GitHubSource(),
    "gitlab": lambda _: GitLabSource(),
    "circleci": lambda _: CircleCISource(),
    "buildkite": lambda _: BuildkiteSource(),
    "bitbucket": lambda _: BitbucketSource(),
    "azure-devops": lambda _: AzureDevOpsSource(),
    "kubernetes": KubernetesSource,
    "spiffe": SpiffeSource,
    "aws": lambda _: AwsSource(),
    "azure": lambda _: AzureSource(),
    "google": GoogleSource,
}


@pytest.fixture(scope="module")
def served() -> Iterator[Platforms]:
    with platforms(Issuer()) as running:
        yield running


@pytest.fixture
def world(served: Platforms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    served.asked.clear()
    served.given.clear()
    served.parameters.clear()
    served.failure, served.sts_code = None, ""
    return World(served, tmp_path, monkeypatch)


def test_the_contract_holds_for_every_source_of_the_table() -> None:
    assert list(SOURCES) == list(IDENTITY_SOURCES)


# Every source


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_does_not_apply_where_nothing_speaks_for_it_and_says_why(name: str, tmp_path: Path) -> None:
    fit = SOURCES[name](str(tmp_path / "missing")).examine(AUDIENCE, {"PATH": ""})
    assert fit.source is None
    assert fit.reason


class TestContract(IdentitySourceContract):
    audience = AUDIENCE

    @pytest.fixture(params=ALL)
    def subject(self, request: pytest.FixtureRequest, world: World) -> SourceSubject:
        place: Place = request.param(world)
        surroundings = Surroundings(place.environ, HttpClient(), lambda: 0.0)
        return SourceSubject(place.source, surroundings, place.token, lambda: len(world.platforms.asked))


@pytest.mark.parametrize("make", ENDPOINTS)
def test_a_platform_s_answer_is_the_token(world: World, make: Callable[[World], Place]) -> None:
    assert make(world).prove().secret.reveal() == world.platforms.given[-1]


@pytest.mark.parametrize("make", FREE)
def test_a_token_is_asked_for_the_audience_it_is_needed_for(world: World, make: Callable[[World], Place]) -> None:
    token = make(world).prove("https://other.example/?a=b&c=d")
    assert world.platforms.asked == ["https://other.example/?a=b&c=d"]
    claims = jwt.decode(token.secret.reveal(), options={"verify_signature": False})
    assert claims["aud"] == "https://other.example/?a=b&c=d"


@pytest.mark.parametrize("make", [*VARIABLES, *FILES])
def test_a_token_that_has_expired_is_not_handed_on(world: World, make: Callable[[World], Place]) -> None:
    error = make(world).fail(now=NOW + 7200)
    assert isinstance(error, IdentityError)
    assert "expired 120 minutes ago" in error.message
    assert error.hint


@pytest.mark.parametrize("make", [*VARIABLES, *FILES])
def test_a_clock_that_is_wrong_by_a_minute_stops_nobody(world: World, make: Callable[[World], Place]) -> None:
    assert make(world).prove(now=NOW + 59)


@pytest.mark.parametrize("make", FILES)
def test_a_file_is_read_each_time(world: World, make: Callable[[World], Place]) -> None:
    place = make(world)
    renewed = world.token(sub="spiffe://acme.example/tools", jti="renewed")
    (file,) = world.folder.iterdir()
    file.write_text(renewed)
    assert place.prove().secret.reveal() == renewed


# What goes wrong


@pytest.mark.parametrize("make", ENDPOINTS)
@pytest.mark.parametrize("status", [400, 401, 403])
def test_an_endpoint_that_refuses_is_an_error_with_a_hint(
    world: World, make: Callable[[World], Place], status: int
) -> None:
    world.platforms.failure = JSONResponse({"message": "canary-message"}, status_code=status)
    error = make(world).fail()
    assert isinstance(error, IdentityError)
    assert error.hint
    assert "canary" not in f"{error!r} {error.hint}"


@pytest.mark.parametrize("make", ENDPOINTS)
@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_endpoint_that_is_not_ready_is_asked_again_later(
    world: World, make: Callable[[World], Place], status: int
) -> None:
    world.platforms.failure = JSONResponse({}, status_code=status, headers={"Retry-After": "7"})
    error = make(world).fail()
    assert isinstance(error, BrokerUnreachable)
    assert error.retry_after == (None if make is aws else 7.0)  # botocore keeps it to itself


@pytest.mark.parametrize("make", ENDPOINTS)
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(JSONResponse({"value": 7, "oidcToken": None, "access_token": ["canary-a.b.c"]}), id="no-text"),
        pytest.param(JSONResponse(["canary-a.b.c"]), id="a-list"),
        pytest.param(PlainTextResponse("<html>canary-page</html>", headers={"Metadata-Flavor": "Google"}), id="a-page"),
        pytest.param(PlainTextResponse("", headers={"Metadata-Flavor": "Google"}), id="nothing"),
    ],
)
def test_an_answer_without_a_token_is_an_error_that_does_not_repeat_it(
    world: World, make: Callable[[World], Place], answer: JSONResponse
) -> None:
    world.platforms.failure = answer
    error = make(world).fail()
    assert isinstance(error, IdentityError)
    assert "canary" not in f"{error!r} {error.hint}"


@pytest.mark.parametrize("make", [azure_app, google])
def test_a_metadata_server_at_a_public_address_is_not_asked(world: World, make: Callable[[World], Place]) -> None:
    place = make(world)
    public = {"GCE_METADATA_HOST": "8.8.8.8", "IDENTITY_ENDPOINT": "http://8.8.8.8/msi"}
    error = Place(place.source, {**place.environ, **public}).fail()
    assert "public address" in error.message


@pytest.mark.parametrize("make", [azure_app, google])
def test_a_metadata_server_that_is_not_there_is_an_error(world: World, make: Callable[[World], Place]) -> None:
    nobody = {"GCE_METADATA_HOST": "127.0.0.1:9", "IDENTITY_ENDPOINT": "http://127.0.0.1:9/msi"}
    error = Place(make(world).source, {**nobody, "IDENTITY_HEADER": "h"}).fail()
    assert isinstance(error, IdentityError)
    assert "did not answer" in error.message


def test_metadata_servers_are_asked_without_the_proxy(world: World) -> None:
    world.monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    world.monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert google(world).prove(HTTP_PROXY="http://127.0.0.1:9")


@posix_only
@pytest.mark.parametrize("make", [circleci, buildkite])
@pytest.mark.parametrize("failure", ["exit 1", "echo canary-page; exit 0", "echo canary-error >&2; exit 3"])
def test_a_program_that_fails_is_an_error_with_the_command_to_try(
    world: World, make: Callable[[World], Place], failure: str
) -> None:
    place = make(world)
    world.program("circleci", failure=failure)
    world.program("buildkite-agent", failure=failure)
    error = place.fail()
    assert isinstance(error, IdentityError)
    assert error.hint.startswith("see why: ")
    assert "canary" not in f"{error!r} {error.hint}"


# GitHub


def test_github_says_which_permission_is_missing() -> None:
    fit = GitHubSource().examine(AUDIENCE, {"GITHUB_ACTIONS": "true"})
    assert fit.source is None
    assert "permissions: { contents: read, id-token: write }" in fit.hint


def test_github_s_token_is_not_asked_for_with_a_wrong_bearer(world: World) -> None:
    error = github(world).fail(ACTIONS_ID_TOKEN_REQUEST_TOKEN="canary-other")
    assert "status 401" in error.message


# GitLab


def test_gitlab_says_which_block_is_missing_and_for_which_audience() -> None:
    fit = GitLabSource().examine(AUDIENCE, {"GITLAB_CI": "true"})
    assert f'id_tokens: {{ INDEXPASS_IDENTITY_TOKEN: {{ aud: "{AUDIENCE}" }} }}' in fit.hint


@pytest.mark.parametrize(
    ("audience", "variable"),
    [
        pytest.param("sigstore", "SIGSTORE_ID_TOKEN", id="word"),
        pytest.param(AUDIENCE, GITLAB_VARIABLE, id="url"),
        pytest.param("7up", "_UP_ID_TOKEN", id="digit-first"),
    ],
)
def test_gitlab_s_variable_is_named_as_other_clients_name_it(audience: str, variable: str) -> None:
    assert GitLabSource().examine(audience, {variable: "a.b.c"}).source == f"GitLab ({variable})"


def test_gitlab_s_token_for_another_audience_is_left_alone() -> None:
    assert GitLabSource().examine("https://other.example", {GITLAB_VARIABLE: "a.b.c"}).source is None


# CircleCI and Buildkite


@posix_only
def test_circleci_is_asked_for_the_audience_by_the_organization_s_own_issuer(world: World) -> None:
    place = circleci(world)
    place.prove()
    assert (world.folder / "circleci.log").read_text() == f'run oidc get --claims {{"aud": "{AUDIENCE}"}}\n'


@posix_only
def test_circleci_s_variable_is_left_alone_if_it_is_for_another_audience(world: World) -> None:
    place = circleci(world)
    assert place.prove(CIRCLE_OIDC_TOKEN_V2=world.token(aud="organization")).secret.reveal() == place.token


@posix_only
def test_buildkite_is_asked_for_the_ids_that_are_never_given_twice(world: World) -> None:
    buildkite(world).prove()
    words = "oidc request-token --audience https://tokens.acme.example --claim organization_id --claim pipeline_id\n"
    assert (world.folder / "buildkite-agent.log").read_text() == words


@posix_only
def test_a_program_in_the_working_directory_is_never_run(world: World) -> None:
    write_program(world.folder, "buildkite-agent", "a.b.c")
    world.monkeypatch.chdir(world.folder)
    assert BuildkiteSource().examine(AUDIENCE, {"PATH": f".{os.pathsep}"}).source is None


# Azure DevOps


def test_azure_pipelines_says_how_to_give_the_step_its_access_token(world: World) -> None:
    environ = {name: value for name, value in world.platforms.azure_devops.items() if name != "SYSTEM_ACCESSTOKEN"}
    assert 'SYSTEM_ACCESSTOKEN: "$(System.AccessToken)"' in AzureDevOpsSource().examine(AUDIENCE, environ).hint


def test_azure_pipelines_refuses_an_access_token_that_is_over_without_a_redirect(world: World) -> None:
    assert "status 401" in azure_devops(world).fail(SYSTEM_ACCESSTOKEN="canary-old").message


# Kubernetes and SPIFFE


def test_the_token_that_opens_the_cluster_s_own_api_is_never_read(world: World) -> None:
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    fit = KubernetesSource(str(world.folder / "missing")).examine(AUDIENCE, environ)
    assert fit.source is None
    assert f'audience: "{AUDIENCE}"' in fit.hint


def test_a_token_that_a_webhook_projected_for_another_cloud_is_left_alone(world: World) -> None:
    place = kubernetes_webhook(world)
    assert place.source.examine(ENTRA_AUDIENCE, place.environ).source is None


def test_the_webhook_s_token_is_taken_before_our_own_where_it_is_for_the_audience(world: World) -> None:
    ours = KubernetesSource(world.file("indexpass", world.token(aud=AUDIENCE)))
    theirs = world.token(aud=[ENTRA_AUDIENCE])
    place = Place(ours, {"AZURE_FEDERATED_TOKEN_FILE": world.file("azure", theirs)})
    assert place.prove(ENTRA_AUDIENCE).secret.reveal() == theirs


def test_a_file_that_holds_no_jwt_svid_is_refused(world: World) -> None:
    place = Place(SpiffeSource(world.file("indexpass.jwt", world.token(sub="canary-other"))), {})
    with pytest.raises(IdentityError, match="its subject is no SPIFFE ID") as caught:
        place.source.examine(AUDIENCE, {})
    assert "jwt_svid_file_name" in caught.value.hint


# The clouds


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        pytest.param("AccessDenied", "sts:GetWebIdentityToken", id="no-permission"),
        pytest.param(
            "OutboundWebIdentityFederationDisabledException",
            "aws iam enable-outbound-web-identity-federation",
            id="not-enabled",
        ),
        pytest.param("ExpiredToken", "be renewed", id="expired"),
        pytest.param("RequestTimeTooSkewed", "clock", id="clock"),
        pytest.param("SessionDurationEscalationException", "300 seconds", id="short-session"),
        pytest.param("SomethingNew", "aws sts get-caller-identity", id="unknown"),
    ],
)
def test_what_aws_refuses_names_the_fix(world: World, code: str, hint: str) -> None:
    world.platforms.sts_code = code
    error = aws(world).fail()
    assert isinstance(error, IdentityError)
    assert code in error.message
    assert hint in error.hint
    assert "canary" not in f"{error!r} {error.hint}"


def test_aws_throttles(world: World) -> None:
    world.platforms.sts_code = "Throttling"
    assert isinstance(aws(world).fail(), BrokerUnreachable)


def test_aws_without_a_region_says_so(world: World) -> None:
    place = aws(world)
    world.monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    error = Place(place.source, {**place.environ, "AWS_REGION": ""}).fail()
    assert "export AWS_REGION=" in error.hint


def test_aws_without_credentials_says_so(world: World) -> None:
    place = aws(world)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        world.monkeypatch.delenv(name)
    assert "give the workload a role" in place.fail().hint


def test_aws_is_asked_for_a_token_of_five_minutes(world: World) -> None:
    aws(world).prove()
    assert (world.platforms.parameters[-1]["DurationSeconds"], world.platforms.parameters[-1]["SigningAlgorithm"]) == (
        "300",
        "RS256",
    )


@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({"AWS_PROFILE": "acme"}, id="profile"),
        pytest.param({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}, id="keys"),
        pytest.param(
            {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1/", "AWS_EXECUTION_ENV": "CloudShell"}, id="shell"
        ),
    ],
)
def test_what_a_person_has_of_aws_is_not_taken_unasked(environ: dict[str, str]) -> None:
    assert AwsSource().examine(AUDIENCE, environ).source is None
    assert AwsSource().examine(AUDIENCE, {**environ, "INDEXPASS_IDENTITY_SOURCE": "aws"}).source


@pytest.mark.parametrize("sign", IDENTITY_SOURCES["aws"].signs)
def test_each_sign_of_aws_in_the_table_is_one_that_the_source_knows(sign: str) -> None:
    assert AwsSource().examine(AUDIENCE, {sign: "x"}).source


@pytest.mark.parametrize(
    ("environ", "applies"),
    [
        pytest.param({"K_SERVICE": "tools"}, True, id="cloud-run"),
        pytest.param({"K_SERVICE": "tools", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, False, id="knative-elsewhere"),
    ],
)
def test_cloud_run_is_told_from_knative_on_a_cluster(tmp_path: Path, environ: dict[str, str], applies: bool) -> None:  # noqa: FBT001  # a table
    assert bool(GoogleSource(str(tmp_path / "missing")).examine(AUDIENCE, environ).source) is applies


@pytest.mark.parametrize("make", [azure_app, azure_machine])
def test_azure_is_told_which_of_several_identities(world: World, make: Callable[[World], Place]) -> None:
    make(world).prove(AZURE_CLIENT_ID="0b1c2d3e")
    assert world.platforms.parameters[-1]["client_id"] == "0b1c2d3e"


def test_a_machine_whose_firmware_names_google_is_google_s(world: World) -> None:
    product = world.file("product_name", "Google Compute Engine")
    assert GoogleSource(product).examine(AUDIENCE, {}).source


def test_a_machine_without_a_service_account_says_so(world: World) -> None:
    world.platforms.failure = PlainTextResponse("", status_code=404)
    assert "no service account" in google(world).fail().message


def test_who_is_not_google_s_metadata_server_is_not_believed(world: World) -> None:
    world.platforms.failure = PlainTextResponse("a.b.c")
    assert isinstance(google(world).fail(), IdentityError)


# Which one


def environ_of(*places: Place) -> dict[str, str]:
    return {name: value for place in places for name, value in place.environ.items()}


def test_what_somebody_has_set_for_us_comes_before_the_ci_system(world: World) -> None:
    found = find_source(AUDIENCE, environ_of(github(world), generic(world)))
    assert found is not None
    assert found[0] == "generic"


def test_the_ci_system_comes_before_the_machine_that_its_job_runs_on(world: World) -> None:
    found = find_source(AUDIENCE, environ_of(google(world), aws(world), github(world)))
    assert found is not None
    assert found[0] == "github"


def test_a_ci_system_that_gives_nothing_leaves_it_to_the_machine(world: World) -> None:
    found = find_source(AUDIENCE, {"GITHUB_ACTIONS": "true", **google(world).environ})
    assert found is not None
    assert found[0] == "google"


def test_the_source_can_be_chosen(world: World) -> None:
    environ = environ_of(github(world), generic(world), google(world))
    token = identify(
        AUDIENCE, Surroundings({**environ, "INDEXPASS_IDENTITY_SOURCE": "google"}, HttpClient(), lambda: 0.0)
    )
    assert token is not None
    assert token.source == "Google's metadata server"


def test_the_choice_of_none_leaves_it_to_a_person(world: World) -> None:
    assert find_source(AUDIENCE, {**generic(world).environ, "INDEXPASS_IDENTITY_SOURCE": "none"}) is None


def test_a_chosen_source_that_does_not_apply_says_why() -> None:
    with pytest.raises(IdentityError, match="INDEXPASS_IDENTITY_SOURCE is gitlab, but the job has no") as caught:
        find_source(AUDIENCE, {"INDEXPASS_IDENTITY_SOURCE": "gitlab"})
    assert "id_tokens:" in caught.value.hint


def test_a_choice_that_is_unknown_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError) as caught:
        find_source(AUDIENCE, {"INDEXPASS_IDENTITY_SOURCE": "jenkins"})
    assert all(name in caught.value.hint for name in [*IDENTITY_SOURCES, "none"])


# Nobody


def nobody(environ: dict[str, str], folder: Path) -> IndexpassError:
    """Return what the broker's provider raises where nobody is signed in."""
    index = Index("acme", IndexUrl.parse("https://packages.acme.example/simple/"), options={"broker": AUDIENCE})
    context = Context(
        http=HttpClient(),
        sessions=FileSessions(folder / "sessions"),
        identify=lambda audience: identify(audience, Surroundings(environ, HttpClient(), lambda: 0.0)),
        now=lambda: 0.0,
        environ=environ,
        unidentified=lambda audience: explain_nobody(audience, environ),
    )
    with pytest.raises(IndexpassError) as caught:
        BrokerProvider().issue(index, "read", context)
    return caught.value


def test_in_a_known_ci_system_the_error_says_what_is_missing_there_and_what_to_paste(tmp_path: Path) -> None:
    error = nobody({"CI": "true", "GITHUB_ACTIONS": "true"}, tmp_path)
    assert isinstance(error, IdentityError)
    assert "github: the job may not ask for identity tokens (ACTIONS_ID_TOKEN_REQUEST_URL is not set)" in error.message
    assert not any(f"{name}: " in error.message for name in IDENTITY_SOURCES if name != "github")
    assert "id-token: write" in error.hint


def test_in_an_unknown_ci_system_the_error_lists_all_that_was_looked_for(tmp_path: Path) -> None:
    error = nobody({"CI": "true"}, tmp_path)
    assert all(f"{name}: " in error.message for name in IDENTITY_SOURCES)
    assert error.hint == f"set INDEXPASS_IDENTITY_TOKEN to a token made for {AUDIENCE}"


@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({}, id="laptop"),
        pytest.param({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, id="pod"),
        pytest.param({"CI": "true", "INDEXPASS_IDENTITY_SOURCE": "none"}, id="chosen"),
    ],
)
def test_where_a_person_may_sign_in_the_error_says_only_that(tmp_path: Path, environ: dict[str, str]) -> None:
    error = nobody(environ, tmp_path)
    assert (error.code, error.hint) == ("sign-in-needed", "indexpass login acme")
    assert "github" not in error.message


# Beside the library that PyPI's own clients use


@pytest.mark.parametrize("make", [github, gitlab, *PROGRAMS])
def test_the_id_library_gets_its_token_in_the_same_place(world: World, make: Callable[[World], Place]) -> None:
    place = make(world)
    for name in (*IDENTITY_SOURCES["github"].signs, "GITLAB_CI", "BUILDKITE", "CIRCLECI"):
        world.monkeypatch.delenv(name, raising=False)
    for name, value in place.environ.items():
        world.monkeypatch.setenv(name, value)
    assert id_library.detect_credential(AUDIENCE) == (place.token or world.platforms.given[-1])


# What it costs


def test_where_nothing_speaks_for_a_source_it_is_not_even_loaded() -> None:
    program = f"""
import sys
from indexpass._registry import find_source
found = find_source({AUDIENCE!r}, {{}})
loaded = {{name for name in sys.modules if name.startswith("indexpass.identity.")}}
heavy = {{"id", "botocore", "google.auth", "azure", "msal", "requests"}} & set(sys.modules)
print(found, sorted(loaded), sorted(heavy))
"""
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "None ['indexpass.identity.google'] []"
