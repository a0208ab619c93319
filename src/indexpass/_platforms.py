"""The table of providers: by name, where each one's code is, and what may be configured for it.

Adding a platform is one file in ``providers``, and one row here; if its indexes can be known by their URL, a row in
``_known`` as well. This module imports nothing of a platform and never asks any of them anything.
"""

from __future__ import annotations

from typing import NamedTuple


class Platform(NamedTuple):
    """Where a provider's code is (``module:attribute``), and the keys that an index of it needs, or may have.

    ``extra`` is what has to be installed for it: ``pip install 'indexpass[extra]'``; "" is nothing. A provider that
    issues nothing for an operation lets others answer. One ``in_files_only`` runs what its index says, so no variable
    may configure it: many a tool fills in variables from files of the project.
    """

    place: str
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    extra: str = ""
    operations: tuple[str, ...] = ("read", "upload")
    in_files_only: bool = False


PLATFORMS = {
    "aws": Platform("indexpass.providers.aws:AwsProvider", takes=("profile", "role"), extra="aws"),
    "azure": Platform(
        "indexpass.providers.azure:AzureProvider",
        takes=("client-id", "managed-identity", "tenant"),
        extra="azure",
    ),
    "broker": Platform("indexpass.providers.broker:BrokerProvider", needs=("broker",), takes=("audience",)),
    "cloudsmith": Platform(
        "indexpass.providers.cloudsmith:CloudsmithProvider",
        needs=("service",),
        takes=("audience", "organization", "upload-service"),
    ),
    "command": Platform("indexpass.providers.command:CommandProvider", needs=("command",), in_files_only=True),
    "devpi": Platform("indexpass.providers.devpi:DevpiProvider", takes=("username",)),
    "gitea": Platform("indexpass.providers.gitea:GiteaProvider", takes=("client-id",)),
    "github": Platform(
        "indexpass.providers.github:GitHubProvider",
        takes=("app-id", "client-id", "installation-id", "key-file"),
        extra="github",
        operations=("read",),
    ),
    "gitlab": Platform("indexpass.providers.gitlab:GitLabProvider", takes=("client-id",)),
    "google": Platform(
        "indexpass.providers.google:GoogleProvider",
        takes=("service-account", "workload-identity-provider"),
        extra="google",
    ),
    "jfrog": Platform(
        "indexpass.providers.jfrog:JFrogProvider",
        needs=("oidc-provider",),
        takes=("audience", "identity-mapping", "project", "upload-identity-mapping"),
    ),
    "static": Platform(
        "indexpass.providers.static:StaticProvider",
        takes=("expires", "key-as", "key-file", "key-variable", "username"),
    ),
    "trusted-publishing": Platform(
        "indexpass.providers.trusted_publishing:TrustedPublishingProvider", takes=("audience",), operations=("upload",)
    ),
    "vault": Platform(
        "indexpass.providers.vault:VaultProvider",
        needs=("vault", "role", "path"),
        takes=("audience", "mount", "namespace", "secret-field", "upload-path", "upload-role", "username-field"),
    ),
}
URL_OPTIONS = frozenset({"broker", "vault"})  # those options that are URLs, and have to be as safe as that of an index
