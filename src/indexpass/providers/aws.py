"""Credentials for AWS CodeArtifact: an authorization token for a domain, as botocore obtains it.

A machine that can prove who it is assumes the role that is configured, by its identity token. Everyone else is whom
the AWS CLI would find: a profile that signs in by IAM Identity Center, or the machine's own role. Domain, account and
region stand in the host name. This module never keeps a token, and asks only whom AWS's own settings name.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

from indexpass._answer import refusal
from indexpass._known import find_codeartifact_domain, is_all_at
from indexpass._model import Credential
from indexpass._secret import Secret
from indexpass._vendor import run_library
from indexpass.errors import (
    BrokerMisbehaved,
    BrokerRefused,
    BrokerUnreachable,
    ConfigError,
    IdentityError,
    IndexpassError,
    SessionError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.session import Session

    from indexpass._known import CodeArtifactDomain
    from indexpass._model import Context, Index, Operation

USERNAME = "aws"  # CodeArtifact User Guide, "Configure pip without the login command"
AUDIENCE = "sts.amazonaws.com"  # of identity tokens; IAM User Guide, "Create an OpenID Connect identity provider"
# At least 900 (GetAuthorizationToken). uv and Poetry never ask again in mid-run: with 40 minutes, what they are handed
# lasts for 20 at least. An upload is one request after the other, right away. 0 would mean the end of the role's
# session, which is hours off for one, seconds for another, and said of none.
LIFE_SECONDS: Mapping[Operation, int] = {"read": 40 * 60, "upload": 15 * 60}
# What the session of the role may do at most, whatever the role may. Service Authorization Reference for CodeArtifact.
ACTIONS: Mapping[Operation, tuple[str, ...]] = {
    "read": ("codeartifact:ReadFromRepository",),
    "upload": (
        "codeartifact:PublishPackageVersion",
        "codeartifact:PutPackageMetadata",
        "codeartifact:ReadFromRepository",
    ),
}
_TO_ASK = ("codeartifact:GetAuthorizationToken", "sts:GetServiceBearerToken")
_ROLE_SECONDS = 900  # the least that STS allows; the session is for one request
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]{1,576}", re.ASCII)
_MAX_RETRY_AFTER_SECONDS = 3600.0
_CLOCK = ("expired: ", "not yet current", "RequestExpired", "RequestTimeTooSkewed")
_THROTTLED = ("ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded")
_KEYS_ENDED = ("ExpiredToken", "ExpiredTokenException")
_KEYS_UNKNOWN = ("InvalidClientTokenId", "UnrecognizedClientException")


class _Request(NamedTuple):
    """What is wanted, and of whom."""

    domain: CodeArtifactDomain
    operation: Operation
    role: str
    profile: str
    identity: Secret | None
    source: str


class AwsProvider:
    """Asks CodeArtifact for authorization tokens; implements Provider."""

    def issue(self, index: Index, operation: Operation, context: Context) -> Credential:
        """Return a new token: as the role if one is configured and there is an identity token, else as whom AWS finds.

        Raises ConfigError, SessionError, IdentityError or BrokerError.
        """
        domain = find_codeartifact_domain(index.url.origin.host)
        if domain is None or not is_all_at(index, "aws"):
            raise ConfigError(
                f"the index {index.name!r} is not at AWS CodeArtifact",
                hint="write its url as https://DOMAIN-ACCOUNT.d.codeartifact.REGION.amazonaws.com/pypi/REPOSITORY/simple/",
            )
        role = index.options.get("role", "")
        if role and not _ROLE.fullmatch(role):
            raise ConfigError(
                f"the index {index.name!r}: 'role' is not the ARN of a role",
                hint="write it as arn:aws:iam::ACCOUNT:role/NAME",
            )
        identity = context.identify(AUDIENCE) if role else None
        request = _Request(
            domain,
            operation,
            role,
            index.options.get("profile", ""),
            identity.secret if identity else None,
            identity.source if identity else "",
        )
        profile = request.profile or context.environ.get("AWS_PROFILE", "")
        issued_at = context.now()
        try:
            token = run_library(lambda: _ask(request, profile, context.environ), platform="AWS", extra="aws")
        except SessionError as error:
            unidentified = context.unidentified(AUDIENCE) if role and not identity else None
            raise unidentified or error from None
        # What we asked for: the answer has a time by AWS's clock, which this machine's need not agree with.
        return Credential(USERNAME, token, issued_at=issued_at, expires_at=issued_at + LIFE_SECONDS[operation])


def _ask(request: _Request, profile: str, environ: Mapping[str, str]) -> Secret:
    """Return a new authorization token. Raises IndexpassError."""
    from botocore.config import Config  # noqa: PLC0415  # only where a token is issued
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    from botocore.session import Session  # noqa: PLC0415

    bounds = Config(connect_timeout=6, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 2})
    region, domain = request.domain.region, request.domain.domain
    try:
        session = Session(profile=request.profile or None)
        session.set_config_variable("sts_regional_endpoints", "regional")  # as newer releases of botocore do
        # As everywhere in indexpass, these are heard after AWS's own setting; botocore itself knows the first only.
        bundles = (environ.get(name) for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"))
        verify = session.get_config_variable("ca_bundle") or next(filter(None, bundles), None)
        keys = _assume(session, request, bounds, verify) if request.identity else {}
        client = session.create_client(
            "codeartifact",
            region_name=region,
            verify=verify,
            config=bounds.merge(Config(use_dualstack_endpoint=request.domain.is_dual_stack or None)),
            **keys,
        )
        answer = client.get_authorization_token(
            domain=domain, domainOwner=request.domain.account, durationSeconds=LIFE_SECONDS[request.operation]
        )
    except ClientError as error:
        raise _explain_answer(error, request, profile) from None
    except BotoCoreError as error:
        raise _explain_failure(error, request, profile) from None
    token = answer.get("authorizationToken")
    if not isinstance(token, str) or not token:
        raise BrokerMisbehaved("CodeArtifact's answer has no authorizationToken")
    return Secret(token)


def _assume(session: Session, request: _Request, bounds: Config, verify: str | None) -> dict[str, str]:
    """Return the keys of a session of the role, which may do no more than the operation needs."""
    from botocore import UNSIGNED  # noqa: PLC0415  # loaded by whoever calls
    from botocore.config import Config  # noqa: PLC0415

    assert request.identity  # noqa: S101  # for the type checker: whoever calls has looked
    # The identity token is the proof. To sign as well, botocore would look for keys, at the metadata server too.
    config = bounds.merge(Config(signature_version=UNSIGNED))
    sts = session.create_client("sts", region_name=request.domain.region, verify=verify, config=config)
    statement = {"Effect": "Allow", "Action": [*_TO_ASK, *ACTIONS[request.operation]], "Resource": "*"}
    answer = sts.assume_role_with_web_identity(
        RoleArn=request.role,
        RoleSessionName="indexpass",
        WebIdentityToken=request.identity.reveal(),
        DurationSeconds=_ROLE_SECONDS,
        Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    found = answer["Credentials"]
    return {
        "aws_access_key_id": found["AccessKeyId"],
        "aws_secret_access_key": found["SecretAccessKey"],
        "aws_session_token": found["SessionToken"],
    }


def _explain_answer(error: ClientError, request: _Request, profile: str) -> IndexpassError:
    """Return what a refusal means; the codes are those of the API references of CodeArtifact, STS and SSO."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    refused = refusal({"error": _part(error, "Code"), "error_description": _part(error, "Message")}, "AWS")
    code = refused.reason
    if code in _THROTTLED or status == 429 or status >= 500:  # noqa: PLR2004  # RFC 6585, RFC 9110
        return BrokerUnreachable(
            f"AWS is not ready: it answered with {code}", hint="try again in a minute", retry_after=_retry_after(error)
        )
    if any(mark in f"{code} {_part(error, 'Message')}" for mark in _CLOCK) and code not in _KEYS_ENDED:
        refused.hint = "set this machine's clock: timedatectl set-ntp true"
        return refused
    if error.operation_name == "AssumeRoleWithWebIdentity" and request.identity:
        return _explain_role(refused, request)
    if code in _KEYS_ENDED:
        return SessionError("your sign-in at AWS has ended", hint=f"aws sso login{_option(profile)}")
    if code in _KEYS_UNKNOWN:
        refused.hint = f"AWS does not know these keys (any more): aws configure{_option(profile)}"
    elif code == "ResourceNotFoundException":
        refused.hint = (
            f"correct the URL: account {request.domain.account} has no domain {request.domain.domain} in "
            f"{request.domain.region}: aws codeartifact list-domains --region {request.domain.region}"
        )
    elif ":root" in _part(error, "Message"):
        refused.hint = "use a role or an IAM Identity Center user: the root user gets no authorization token"
    elif code in {"AccessDeniedException", "AccessDenied"}:
        refused.hint = _permissions(request)
    return refused


def _explain_role(refused: BrokerRefused, request: _Request) -> IndexpassError:
    """Return what it means that STS gives no session of the role."""
    refused.hint = {
        "InvalidIdentityToken": (
            "let the role's account know the issuer of the token, with the audience sts.amazonaws.com: "
            "aws iam create-open-id-connect-provider --url ISSUER --client-id-list sts.amazonaws.com"
        ),
        "ExpiredTokenException": f"let {request.source} give a new identity token",
        "RegionDisabledException": f"let the role's account use STS in {request.domain.region}",
    }.get(
        refused.reason,
        f"let the trust policy of {request.role} allow sts:AssumeRoleWithWebIdentity to this job: compare its "
        "conditions on the token's aud (sts.amazonaws.com) and sub",
    )
    return refused


def _explain_failure(error: BotoCoreError, request: _Request, profile: str) -> IndexpassError:
    """Return what it means that no answer came, or that nothing could be asked; its text may hold too much."""
    from botocore import exceptions  # noqa: PLC0415

    option = _option(profile)
    meanings: tuple[tuple[tuple[type[Exception], ...], IndexpassError], ...] = (
        (
            (exceptions.HTTPClientError, exceptions.ConnectionError),
            BrokerUnreachable(
                f"AWS in {request.domain.region} cannot be reached",
                hint="check your network, VPN, HTTPS_PROXY and AWS_CA_BUNDLE, and the region in the URL",
            ),
        ),
        (
            (exceptions.ProfileNotFound,),
            ConfigError(f"AWS's settings have no profile {profile!r}", hint=f"aws configure sso{option}"),
        ),
        (
            (exceptions.SSOError, exceptions.TokenRetrievalError, exceptions.NoAuthTokenError),
            SessionError("your sign-in at AWS has ended", hint=f"aws sso login{option}"),
        ),
        (
            (getattr(exceptions, "LoginError", exceptions.SSOError),),  # older releases have none
            SessionError("your sign-in at AWS has ended", hint=f"aws login{option}"),
        ),
        (
            (exceptions.NoCredentialsError, exceptions.PartialCredentialsError),
            SessionError(
                "nobody is signed in at AWS, and no identity token could be used in place of that",
                hint=f"aws configure sso{option} (in CI: configure 'role', and let the job have an identity token)",
            ),
        ),
        (
            (exceptions.CredentialRetrievalError, exceptions.MetadataRetrievalError),
            IdentityError(
                "AWS gives this machine, or the profile's own program, no credentials",
                hint=f"see why: aws sts get-caller-identity{option}",
            ),
        ),
    )
    other = ConfigError(
        f"botocore cannot use AWS's settings ({type(error).__name__})",
        hint=f"see why: aws sts get-caller-identity{option}",
    )
    return next((meaning for classes, meaning in meanings if isinstance(error, classes)), other)


def _permissions(request: _Request) -> str:
    domain = request.domain
    return (
        f"allow codeartifact:GetAuthorizationToken on arn:aws:codeartifact:{domain.region}:{domain.account}:domain/"
        f"{domain.domain}, and sts:GetServiceBearerToken; then {', '.join(ACTIONS[request.operation])} on "
        "the repository"
    )


def _part(error: ClientError, key: str) -> str:
    value = error.response.get("Error", {}).get(key)
    return value if isinstance(value, str) else ""


def _option(profile: str) -> str:
    return f" --profile {profile}" if profile else ""


def _retry_after(error: ClientError) -> float | None:
    """Return how long AWS asks to wait, in its body or as RFC 9110 section 10.2.3 has it; None if it does not say."""
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    text = str(error.response.get("retryAfterSeconds", headers.get("retry-after", "")))
    return min(float(text), _MAX_RETRY_AFTER_SECONDS) if re.fullmatch("[0-9]{1,9}", text) else None
