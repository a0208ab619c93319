"""The indexes of all platforms as the tests have them: their URLs, hosts, user names, settings, and who issues what.

``SHAPES`` is the table; ``GITHUB`` stands beside it, because it has repositories in place of an index.
"""

from __future__ import annotations

import secrets
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from servers import aws_platform, azure_platform, github_platform, gitlab_platform, google_platform

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKAGE = "acme-hello"
GIVEN = f"given-{secrets.token_hex(20)}"  # what a job or a person has at hand already


class Shape(NamedTuple):
    """An index as one platform has it.

    ``files`` is the folder of its distributions, "" where a real server has them. Its credential is ``username`` with
    what ``member`` of the answer to a request at ``issued_by`` says, or with :data:`GIVEN` if nobody issues it.
    ``lines`` are the settings that it needs beside name and URL, ``audience`` who its identity token is for.
    """

    name: str
    url: str
    files: str
    username: str
    issued_by: str = ""
    member: str = ""
    lines: str = ""
    audience: str = ""
    environ: Mapping[str, str] = MappingProxyType({})

    @property
    def host(self) -> str:
        """Where the index is."""
        return urlsplit(self.url).hostname or ""

    @property
    def path(self) -> str:
        """The path of its simple page, which ends with a slash."""
        return urlsplit(self.url).path


_CODEARTIFACT = f"acme-{aws_platform.ACCOUNT}.d.codeartifact.{aws_platform.REGION}.amazonaws.com"
SHAPES = {
    shape.name: shape
    for shape in (
        Shape(
            "google",
            "https://europe-west1-python.pkg.dev/acme-packages/wheels/simple/",
            "/acme-packages/wheels/acme-hello/",
            "oauth2accesstoken",
            "iamcredentials.googleapis.com/",
            "accessToken",
            f'workload-identity-provider = "{google_platform.POOL}"\nservice-account = "{google_platform.ACCOUNT}"',
            f"https://iam.googleapis.com/{google_platform.POOL}",
        ),
        Shape(
            "aws",
            f"https://{_CODEARTIFACT}/pypi/wheels/simple/",
            "/pypi/wheels/simple/acme-hello/1.0.0/",
            "aws",
            f"codeartifact.{aws_platform.REGION}.amazonaws.com/v1/authorization-token",
            "authorizationToken",
            f'role = "{aws_platform.ROLE}"',
            "sts.amazonaws.com",
        ),
        Shape(
            "azure",
            "https://pkgs.dev.azure.com/acme/tools/_packaging/acme/pypi/simple/",
            "/acme/tools/_packaging/acme/pypi/download/acme-hello/1/",
            "bearer",
            f"login.microsoftonline.com/{azure_platform.TENANT}/oauth2/v2.0/token",
            "access_token",
            f'tenant = "{azure_platform.TENANT}"\nclient-id = "{azure_platform.APP}"',
            "api://AzureADTokenExchange",
        ),
        Shape(
            "azure-person",
            "https://acme.pkgs.visualstudio.com/_packaging/acme/pypi/simple/",
            "/_packaging/acme/pypi/download/acme-hello/1/",
            "VssSessionToken",
            "app.vssps.visualstudio.com/_apis/Token/SessionTokens",
            "token",
        ),
        Shape(
            "gitlab-job",
            f"https://gitlab.com/api/v4/projects/{gitlab_platform.PROJECT}/packages/pypi/simple/",
            f"/api/v4/projects/{gitlab_platform.PROJECT}/packages/pypi/files/0123abcd/",
            "gitlab-ci-token",
            environ={"CI_JOB_TOKEN": GIVEN, "CI_SERVER_URL": "https://gitlab.com"},
        ),
        Shape(
            "gitlab-person",
            f"https://gitlab.com/api/v4/groups/{gitlab_platform.GROUP}/-/packages/pypi/simple/",
            f"/api/v4/groups/{gitlab_platform.GROUP}/-/packages/pypi/files/0123abcd/",
            "gitlab+deploy-token-1",
            f"gitlab.com/api/v4/groups/{gitlab_platform.GROUP}/deploy_tokens",
            "token",
            f'client-id = "{gitlab_platform.CLIENT_ID}"',
        ),
        Shape(
            "gitea-job",
            "https://forge.acme.example/api/packages/acme/pypi/simple/",
            "/api/packages/acme/pypi/files/acme-hello/1.0.0/",
            "oauth2",
            lines='provider = "gitea"',
            environ={
                "GITEA_ACTIONS": "true",
                "GITHUB_SERVER_URL": "https://forge.acme.example",
                "GITEA_TOKEN": GIVEN,
            },
        ),
        Shape(
            "jfrog",
            "https://acme.jfrog.io/artifactory/api/pypi/tools/simple/",
            "/artifactory/api/pypi/tools/acme-hello/1.0.0/",
            "ci-reader",
            "acme.jfrog.io/access/api/v1/oidc/token",
            "access_token",
            'oidc-provider = "ci"',
            "https://acme.jfrog.io",
        ),
        Shape(
            "cloudsmith",
            "https://dl.cloudsmith.io/basic/acme/tools/python/simple/",
            "/basic/acme/tools/python/",
            "token",
            "api.cloudsmith.io/openid/acme/",
            "token",
            'service = "ci-read"',
            "https://api.cloudsmith.io",
        ),
        Shape(
            "static",
            "https://nexus.acme.example/repository/wheels/simple/",
            "/repository/wheels/packages/acme-hello/1.0.0/",
            "ci",
            lines='provider = "static"\nusername = "ci"\nkey-variable = "NEXUS_KEY"',
            environ={"NEXUS_KEY": GIVEN},
        ),
        Shape(
            "vault",
            "https://packages.acme.example/acme/simple/",
            "",
            "ci",
            "vault.acme.example/v1/auth/jwt/login",
            lines=(
                'provider = "vault"\nvault = "https://vault.acme.example"\nrole = "ci"\npath = "secret/data/packages"'
            ),
            audience="https://vault.acme.example",
        ),
        Shape(
            "devpi",
            "https://devpi.acme.example/alice/dev/+simple/",
            "",
            "alice",
            lines='provider = "devpi"\nusername = "alice"',
        ),
    )
}
GITHUB = Shape(  # has no index: pip has git clone its packages
    "github",
    "https://github.com/acme/",
    "",
    "x-access-token",
    "api.github.com/app/installations/",
    "token",
    f'app-id = "{github_platform.APP_ID}"\ninstallation-id = "{github_platform.INSTALLATION_ID}"\n'
    'key-file = "{sessions}/github.pem"',
)
ALL = (*SHAPES.values(), GITHUB)
HOSTS = (
    *sorted({shape.host for shape in ALL}),
    "api.github.com",
    *google_platform.HOSTS,
    *aws_platform.HOSTS,
    "login.microsoftonline.com",
    "app.vssps.visualstudio.com",
    "api.cloudsmith.io",
    "vault.acme.example",
)
