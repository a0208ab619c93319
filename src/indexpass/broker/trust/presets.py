"""The platforms whose identity tokens are known here: one row each, with what their tokens demand of a policy.

A preset says where the issuer is, which claims name the workload by ids that are never given to another, how long one
token serves, and which audience it can have. This module holds facts and decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass.broker.settings import Replay

GENERIC = "generic"
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_HOST = r"[a-z0-9.-]+(?::[0-9]+)?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """What is known of a platform.

    ``url`` is the issuer where there is only one; every issuer's URL matches ``url_pattern`` as a whole, and
    ``example`` is one. Each policy binds ``ids`` exactly; ``ids_are`` says where to find them. Tokens with a claim of
    ``refused`` need a policy that names that claim. ``audience`` is the one to expect unless the settings say
    another, ``{broker}`` in it is the broker's URL; "" where it has to be said.
    """

    example: str
    url: str | None = None
    url_pattern: str = ".+"
    ids: tuple[str, ...] = ()
    ids_are: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)
    replay: Replay = "once"
    audience: str = "{broker}"
    has_one_audience: bool = False
    algorithms: tuple[str, ...] = ("RS256",)


PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        "github": Preset(
            url="https://token.actions.githubusercontent.com",
            # an enterprise's own issuer; GitHub with data residency; GitHub Enterprise Server
            url_pattern=(
                r"https://token\.actions\.githubusercontent\.com(?:/[A-Za-z0-9-]+)?"
                r"|https://token\.actions\.[a-z0-9-]+\.ghe\.com"
                rf"|https://{_HOST}/_services/token"
            ),
            example="https://token.actions.githubusercontent.com",
            ids=("repository_id", "repository_owner_id"),
            ids_are="gh api repos/OWNER/NAME --jq '.id, .owner.id' prints repository_id and repository_owner_id",
            # runs with the rights of the repository, on behalf of whoever opens a pull request
            refused={"event_name": "pull_request_target"},
        ),
        "gitlab": Preset(
            url="https://gitlab.com",
            url_pattern=r"https://.+",
            example="https://gitlab.acme.example",
            ids=("project_id", "namespace_id"),
            ids_are="CI_PROJECT_ID and CI_PROJECT_NAMESPACE_ID in a job are project_id and namespace_id",
            replay="until-exp",  # a job has one token for all that it does
        ),
        "google": Preset(
            url="https://accounts.google.com",
            url_pattern=r"https://accounts\.google\.com",
            example="https://accounts.google.com",
            ids=("sub",),
            ids_are="gcloud iam service-accounts describe ACCOUNT --format='value(uniqueId)' prints sub",
            replay="until-exp",  # the metadata server hands out one token for up to an hour
        ),
        "kubernetes": Preset(
            example="https://kubernetes.default.svc.cluster.local",
            ids=("/kubernetes.io/namespace", "/kubernetes.io/serviceaccount/uid"),
            ids_are="kubectl get serviceaccount NAME -n NAMESPACE -o jsonpath={.metadata.uid} prints the uid",
            replay="until-exp",  # a file that every process of the pod reads
            algorithms=("RS256", "ES256"),
        ),
        "azure": Preset(
            url_pattern=(
                rf"https://login\.microsoftonline\.com/{_UUID}/v2\.0"  # tokens of version 2
                rf"|https://sts\.windows\.net/{_UUID}/"  # tokens of version 1, as managed identities often have
            ),
            example="https://login.microsoftonline.com/TENANT-ID/v2.0",
            ids=("tid", "oid"),
            ids_are="az ad sp show --id CLIENT-ID --query id prints oid; tid is the tenant's id",
            replay="until-exp",  # one token for up to a day
            audience="",  # the id of an application that is registered for the broker
        ),
        "azure-devops": Preset(
            url_pattern=rf"https://vstoken\.dev\.azure\.com/{_UUID}",
            example="https://vstoken.dev.azure.com/ORGANIZATION-ID",
            ids=("prj_id", "def_id"),
            ids_are="SYSTEM_TEAMPROJECTID and SYSTEM_DEFINITIONID in a pipeline are prj_id and def_id",
            audience="api://AzureADTokenExchange",
            has_one_audience=True,
        ),
        "aws": Preset(
            url_pattern=rf"https://{_UUID}\.tokens\.sts\.global\.api\.aws",
            example="https://ID.tokens.sts.global.api.aws",
            ids=("sub", "/https:~1~1sts.amazonaws.com~1/aws_account"),
            ids_are="aws iam get-role --role-name NAME --query Role.Arn prints sub; its number is aws_account",
            algorithms=("RS256", "ES384"),
        ),
        "circleci": Preset(
            url_pattern=rf"https://oidc\.circleci\.com/org/{_UUID}",
            example="https://oidc.circleci.com/org/ORGANIZATION-ID",
            ids=("oidc.circleci.com/project-id",),
            ids_are="the project's settings show its id",
            # `circleci run oidc get` makes tokens for any audience. CIRCLE_OIDC_TOKEN_V2, for the organization's id and
            # the whole job, is not what our client takes.
        ),
        "buildkite": Preset(
            url="https://agent.buildkite.com",
            url_pattern=r"https://agent\.buildkite\.com",
            example="https://agent.buildkite.com",
            ids=("organization_id", "pipeline_id"),
            ids_are="BUILDKITE_ORGANIZATION_ID and BUILDKITE_PIPELINE_ID in a job; ask for both with --claim",
        ),
        GENERIC: Preset(
            example="https://ci.acme.example",
            algorithms=("RS256", "ES256", "EdDSA"),
        ),
    }
)
