"""Loads providers and identity sources, by name; the only place that does.

Providers are in the table of ``_platforms``, those of other people behind the entry point ``indexpass.providers``;
identity sources are in the table here. This module never asks any of them anything but who proves what.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, NamedTuple, cast

from indexpass._identity_token import CHOICE_VARIABLE
from indexpass._model import Fit
from indexpass._platforms import PLATFORMS
from indexpass.errors import ConfigError, ExtraMissing, IdentityError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from indexpass._model import IdentitySource, IdentityToken, Index, Provider, Surroundings

ENTRY_POINTS = "indexpass.providers"
NOBODY = "none"  # a choice that leaves a machine's sign-in to a person
CI_VARIABLES = ("CI", "TF_BUILD")  # the second one is Azure Pipelines'


class Source(NamedTuple):
    """Where an identity source's code is, and the variables of which one is set wherever it may apply.

    They are looked at before the source is loaded. A source without such variables looks at the machine itself.
    """

    place: str
    signs: tuple[str, ...] = ()


# In the order in which they are asked: what somebody has set for us; then CI systems, because a job may run on any
# cloud's machines; then what was made for the workload; then what a whole machine can prove.
IDENTITY_SOURCES = {
    "generic": Source(
        "indexpass.identity.generic:GenericSource", ("INDEXPASS_IDENTITY_TOKEN", "INDEXPASS_IDENTITY_TOKEN_FILE")
    ),
    "github": Source("indexpass.identity.github:GitHubSource", ("GITHUB_ACTIONS", "ACTIONS_ID_TOKEN_REQUEST_URL")),
    "gitlab": Source("indexpass.identity.gitlab:GitLabSource", ("GITLAB_CI",)),
    "circleci": Source("indexpass.identity.circleci:CircleCISource", ("CIRCLECI",)),
    "buildkite": Source("indexpass.identity.buildkite:BuildkiteSource", ("BUILDKITE",)),
    "bitbucket": Source(
        "indexpass.identity.bitbucket:BitbucketSource", ("BITBUCKET_BUILD_NUMBER", "BITBUCKET_STEP_OIDC_TOKEN")
    ),
    "azure-devops": Source("indexpass.identity.azure_devops:AzureDevOpsSource", ("TF_BUILD", "SYSTEM_OIDCREQUESTURI")),
    "kubernetes": Source("indexpass.identity.kubernetes:KubernetesSource", ("KUBERNETES_SERVICE_HOST",)),
    "spiffe": Source("indexpass.identity.spiffe:SpiffeSource", ("SPIFFE_ENDPOINT_SOCKET",)),
    "aws": Source(
        "indexpass.identity.aws:AwsSource",
        (
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_LAMBDA_FUNCTION_NAME",
        ),
    ),
    "azure": Source("indexpass.identity.azure:AzureSource", ("IDENTITY_ENDPOINT",)),
    "google": Source("indexpass.identity.google:GoogleSource"),
}


def provider_for(index: Index) -> Provider:
    """Return the provider that the index names.

    Raises ConfigError if there is none of that name, or if what it is made of is not installed.
    """
    platform = PLATFORMS.get(index.provider)
    if platform is None:
        return _provider_of_others(index)
    try:
        return cast("Provider", _load(platform.place))
    except ModuleNotFoundError as error:
        if not platform.extra:
            raise
        raise ExtraMissing(
            f"{error.name} is not installed, which credentials for {index.url} need",
            hint=f"pip install 'indexpass[{platform.extra}]'",
        ) from error


def _provider_of_others(index: Index) -> Provider:
    """Return the provider that an installed distribution offers under this name (an entry point)."""
    found = entry_points(group=ENTRY_POINTS, name=index.provider)
    if len(found) != 1:
        problem = "several distributions offer" if found else "an unknown provider:"
        raise ConfigError(
            f"the index {index.name!r} names {problem} {index.provider!r}",
            hint=f"known providers are {', '.join([*PLATFORMS, *sorted(entry_points(group=ENTRY_POINTS).names)])}",
        )
    (entry_point,) = found
    return cast("Provider", entry_point.load()())


def who_offers(provider: str) -> str | None:
    """Return the name of the distribution that a provider comes from, or None if there is no provider of that name."""
    if provider in PLATFORMS:
        return "indexpass"
    found = [entry.dist for entry in entry_points(group=ENTRY_POINTS, name=provider)]
    return " and ".join(each.name if each else "an unknown distribution" for each in found) or None


def identify(audience: str, surroundings: Surroundings) -> IdentityToken | None:
    """Return a token from the first identity source that applies here, or None.

    Raises IdentityError, also if the one source that INDEXPASS_IDENTITY_SOURCE names does not apply; BrokerUnreachable
    if whoever makes the tokens is away; ConfigError if there is no such source.
    """
    found = find_source(audience, surroundings.environ)
    return _source(found[0]).prove(audience, surroundings) if found else None


def find_source(audience: str, environ: Mapping[str, str]) -> tuple[str, Fit] | None:
    """Return the name of the first identity source that applies here, and its fit, or None. Asks nobody.

    Raises IdentityError and ConfigError as :func:`identify` does.
    """
    found = next(((name, fit) for name, fit in examine_sources(audience, environ) if fit.source), None)
    choice = environ.get(CHOICE_VARIABLE)
    if found is None and choice and choice != NOBODY:
        fit = _source(choice).examine(audience, environ)
        raise IdentityError(
            f"{CHOICE_VARIABLE} is {choice}, but {fit.reason}",
            hint=fit.hint or f"run this where {choice} is, or unset {CHOICE_VARIABLE}",
        )
    return found


def examine_sources(audience: str, environ: Mapping[str, str]) -> Iterator[tuple[str, Fit]]:
    """Yield the name of each identity source that may be used, with its fit, in order. Asks nobody.

    Raises IdentityError if one that applies is broken, and ConfigError if INDEXPASS_IDENTITY_SOURCE names none.
    """
    choice = environ.get(CHOICE_VARIABLE)
    if choice and choice not in IDENTITY_SOURCES and choice != NOBODY:
        raise ConfigError(
            f"{CHOICE_VARIABLE} is {choice!r}, which is no identity source",
            hint=f"known ones are {', '.join([*IDENTITY_SOURCES, NOBODY])}",
        )
    for name, source in IDENTITY_SOURCES.items():
        if choice and choice != name:
            continue
        if not choice and source.signs and not any(environ.get(sign) for sign in source.signs):
            yield name, Fit(None, f"{' or '.join(source.signs)} is not set")
        else:
            yield name, _source(name).examine(audience, environ)


def explain_nobody(audience: str, environ: Mapping[str, str]) -> IdentityError | None:
    """Return the error that says in CI why no identity source applies; None where a person may sign in."""
    if not any(environ.get(name) for name in CI_VARIABLES) or environ.get(CHOICE_VARIABLE):
        return None
    fits = dict(examine_sources(audience, environ))
    is_here = {name: fit for name, fit in fits.items() if fit.hint}  # the platform is known, and a setting is missing
    reasons = "; ".join(f"{name}: {fit.reason}" for name, fit in (is_here or fits).items())
    hint = next((fit.hint for fit in is_here.values()), f"set INDEXPASS_IDENTITY_TOKEN to a token made for {audience}")
    return IdentityError(f"nothing here proves to {audience} who runs this: {reasons}", hint=hint)


def _source(name: str) -> IdentitySource:
    return cast("IdentitySource", _load(IDENTITY_SOURCES[name].place))


def _load(place: str) -> object:
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)()
