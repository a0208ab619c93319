"""Who a new credential would be for where a job, an application or a managed identity stands for a person."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from indexpass._cache import Cache
from indexpass._credential import Credential, Index
from indexpass._http import HttpClient
from indexpass._model import Context, WithOwnProof
from indexpass._registry import provider_for
from indexpass._secret import Secret
from indexpass._sessions import FileSessions
from indexpass._standing import asks_identity_sources, examine, identify, look_up
from indexpass._url import IndexUrl

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NOW = 1_800_000_000.0
CANARY = "canary-77aa"
GITLAB = "https://gitlab.com/api/v4/projects/7/packages/pypi/simple/"
GITEA = "https://git.acme.example/api/packages/acme/pypi/simple/"
GITHUB = "https://github.com/acme/tools.git"
AZURE = "https://pkgs.dev.azure.com/acme/_packaging/feed/pypi/simple/"
IN_GITLAB = {"GITLAB_CI": "true", "CI_JOB_TOKEN": CANARY, "CI_SERVER_URL": "https://gitlab.com"}
IN_GITEA = {"GITEA_ACTIONS": "true", "GITHUB_SERVER_URL": "https://git.acme.example", "GITEA_TOKEN": CANARY}
IN_GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "acme/tools",
    "GITHUB_TOKEN": CANARY,
}
IN_PIPELINES = {"SYSTEM_ACCESSTOKEN": CANARY, "SYSTEM_COLLECTIONURI": "https://dev.azure.com/acme/"}
APPLICATION = {"AZURE_TENANT_ID": "acme.example", "AZURE_CLIENT_ID": "app-7", "AZURE_CLIENT_SECRET": CANARY}


def index_of(provider: str, url: str, **options: str) -> Index:
    named = MappingProxyType({key.replace("_", "-"): value for key, value in options.items()})
    return Index("acme", IndexUrl.parse(url), provider=provider, options=named)


def context_of(folder: Path, environ: Mapping[str, str]) -> Context:
    return Context(HttpClient(), FileSessions(folder / "sessions"), lambda _: None, lambda: NOW, environ)


@pytest.mark.parametrize(
    ("index", "environ", "expected"),
    [
        pytest.param(
            index_of("gitlab", GITLAB), IN_GITLAB, "this job at https://gitlab.com (CI_JOB_TOKEN)", id="gitlab"
        ),
        pytest.param(
            index_of("gitlab", GITLAB),
            {**IN_GITLAB, "CI_SERVER_URL": "https://gitlab.acme.example"},
            "unusable: this job runs for https://gitlab.acme.example, so its token is not for https://gitlab.com",
            id="another-gitlab",
        ),
        pytest.param(index_of("gitlab", GITLAB, client_id="7"), {}, None, id="gitlab-for-people"),
        pytest.param(index_of("gitea", GITEA), IN_GITEA, "this job at https://git.acme.example", id="gitea"),
        pytest.param(
            index_of("gitea", GITEA),
            {**IN_GITEA, "GITEA_TOKEN": ""},
            "unusable: this job of https://git.acme.example has not been given its token",
            id="gitea-without-its-token",
        ),
        pytest.param(
            index_of("github", GITHUB),
            IN_GITHUB,
            "this job of acme/tools at https://github.com (GITHUB_TOKEN)",
            id="github",
        ),
        pytest.param(
            index_of("github", GITHUB),
            {**IN_GITHUB, "GITHUB_REPOSITORY": "acme/site"},
            "unusable: the token of a job reads its own repository only, and https://github.com/acme/tools.git/ is not"
            " acme/site or the job has no GITHUB_TOKEN",
            id="another-repository",
        ),
        pytest.param(index_of("github", GITHUB, app_id="12"), {}, "the GitHub App 12", id="github-app"),
        pytest.param(index_of("azure", AZURE), IN_PIPELINES, "this job of acme (SYSTEM_ACCESSTOKEN)", id="pipelines"),
        pytest.param(
            index_of("azure", AZURE),
            {**IN_PIPELINES, **APPLICATION},
            "the application app-7 (AZURE_CLIENT_SECRET)",
            id="azure-application",
        ),
        pytest.param(
            index_of("azure", AZURE, tenant="acme.example", client_id="app-8"),
            {},
            "the application app-8, by an identity token",
            id="configured-application",
        ),
        pytest.param(
            index_of("azure", AZURE),
            {"IDENTITY_ENDPOINT": "http://127.0.0.1:9"},
            "the managed identity system",
            id="managed-identity",
        ),
        pytest.param(index_of("azure", AZURE), {}, "found by the provider azure", id="azure-for-people"),
    ],
)
def test_it_is_said_whose_proof_a_credential_would_come_from(
    tmp_path: Path, index: Index, environ: Mapping[str, str], expected: str | None
) -> None:
    assert identify(index, context_of(tmp_path, environ)) == expected


@pytest.mark.parametrize(
    ("provider", "url"),
    [("gitlab", GITLAB), ("gitea", GITEA), ("github", GITHUB), ("azure", AZURE)],
    ids=["gitlab", "gitea", "github", "azure"],
)
def test_who_knows_its_own_proof_is_not_said_to_ask_identity_sources(provider: str, url: str) -> None:
    index = index_of(provider, url)
    assert isinstance(provider_for(index), WithOwnProof)
    assert not asks_identity_sources(index)


def test_an_identity_token_is_no_answer_where_the_provider_asks_for_none(tmp_path: Path) -> None:
    context = context_of(tmp_path, {"INDEXPASS_IDENTITY_TOKEN": "a.b.c"})
    assert identify(index_of("gitlab", GITLAB, client_id="7"), context) is None


def test_no_secret_of_a_job_is_in_what_is_said(tmp_path: Path) -> None:
    context = context_of(tmp_path, {**IN_GITLAB, **IN_GITHUB, **IN_PIPELINES, **APPLICATION})
    for index in (index_of("gitlab", GITLAB), index_of("github", GITHUB), index_of("azure", AZURE)):
        assert CANARY not in repr(examine(index, Cache(tmp_path / "credentials"), context))


@pytest.mark.parametrize(
    ("life", "held"),
    [
        pytest.param(3600.0, ("fresh", 3000, 3600, 1800), id="with-an-end"),
        pytest.param(None, ("fresh", None, None, None), id="for-good"),
    ],
)
def test_what_is_held_is_renewed_before_its_end(
    tmp_path: Path, life: float | None, held: tuple[str, int | None, int | None, int | None]
) -> None:
    index = index_of("broker", "https://packages.acme.example/simple/", broker="https://tokens.acme.example")
    cache = Cache(tmp_path / "credentials")
    issued_at = NOW - 600.0
    ends = issued_at + life if life else None
    cache.store(index, "read", Credential("__token__", Secret(CANARY), issued_at, ends))
    found = look_up(index, "read", cache, NOW)
    assert (found.age, found.seconds_left, found.life_seconds, found.renews_in_seconds) == held
