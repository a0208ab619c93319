"""AWS: the security token service makes an identity token of a role, for any audience (STS, "GetWebIdentityToken").

The credentials are those that botocore finds for workloads: of a container, a function, a build, a pod. What a person
has on a laptop (a profile, keys in variables) is taken only where INDEXPASS_IDENTITY_SOURCE says so. botocore is loaded
when a token is asked for, and not before.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from indexpass._identity_token import CHOICE_VARIABLE, read_token
from indexpass._model import Fit, IdentityToken
from indexpass._vendor import run_library
from indexpass.errors import BrokerUnreachable, IdentityError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass._model import Surroundings

_SOURCE = "AWS"
_VARIABLES = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_LAMBDA_FUNCTION_NAME",
)
_SECONDS = 300  # the token is traded at once; the shortest that is sure to arrive in time
_ALGORITHM = "RS256"  # not every verifier knows the other one, ES384
_CONNECT_SECONDS = 5
_READ_SECONDS = 8
_THROTTLED = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException"})
_CLOCK = frozenset({"RequestTimeTooSkewed", "SignatureDoesNotMatch", "RequestExpired", "InvalidSignatureException"})


class AwsSource:
    """Asks STS for a token, by botocore."""

    def examine(self, audience: str, environ: Mapping[str, str]) -> Fit:  # noqa: ARG002  # any audience is possible
        """Apply where AWS gives credentials to a workload, and botocore is installed."""
        is_a_person_s = environ.get("AWS_EXECUTION_ENV") == "CloudShell"
        is_workload = any(environ.get(name) for name in _VARIABLES) and not is_a_person_s
        if environ.get(CHOICE_VARIABLE) != "aws" and not is_workload:
            return Fit(None, f"AWS gives no credentials to a workload here ({' or '.join(_VARIABLES)} is not set)")
        if find_spec("botocore") is None:
            return Fit(None, "botocore is not installed", "pip install 'indexpass[aws]'")
        return Fit(_SOURCE)

    def prove(self, audience: str, surroundings: Surroundings) -> IdentityToken:
        """Return a new token. Raises IdentityError or BrokerUnreachable."""
        region = surroundings.environ.get("AWS_REGION")  # botocore itself knows AWS_DEFAULT_REGION only
        text = run_library(lambda: _ask(audience, region), platform=_SOURCE, extra="aws")
        return IdentityToken(read_token(text, where="the answer of AWS", hint="check AWS_ENDPOINT_URL_STS"), _SOURCE)


def _ask(audience: str, region: str | None) -> str:
    import botocore.session  # noqa: PLC0415  # an extra, and slow to load
    from botocore.config import Config  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    from botocore.parsers import ResponseParserError  # noqa: PLC0415

    # One attempt: the resolver remembers a failure, and the next run tries again.
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"total_max_attempts": 1, "mode": "standard"},
    )
    session = botocore.session.Session()
    region = region or session.get_config_variable("region")
    if not region:
        raise IdentityError(
            "AWS has no region here, and its global endpoint has no identity tokens", hint="export AWS_REGION=eu-west-1"
        )
    session.set_config_variable("sts_regional_endpoints", "regional")  # the global one does not know this call
    try:
        client = session.create_client("sts", region_name=region, config=config)
        if not hasattr(client, "get_web_identity_token"):
            raise IdentityError("this botocore knows no identity tokens", hint="pip install --upgrade botocore")
        answer = client.get_web_identity_token(
            Audience=[audience], SigningAlgorithm=_ALGORITHM, DurationSeconds=_SECONDS
        )
    except ClientError as error:
        raise _refusal(error.response, audience) from None  # the cause's text may hold more than its code
    except BotoCoreError as error:
        raise _failure(type(error).__name__, session.get_config_variable("profile")) from None
    except (ResponseParserError, KeyError):  # the second one for XML that is something else
        raise IdentityError(
            "what answers for AWS is not its security token service", hint="check HTTPS_PROXY and AWS_ENDPOINT_URL_STS"
        ) from None
    return str(answer.get("WebIdentityToken", ""))


def _refusal(response: Mapping[str, Any], audience: str) -> IdentityError | BrokerUnreachable:
    """Return what an error code of STS means."""
    code = str(response.get("Error", {}).get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _THROTTLED or status == 429 or status >= 500:  # noqa: PLR2004  # RFC 6585, RFC 9110
        return BrokerUnreachable(f"AWS gives no identity token now ({code or status})", hint="try again in a minute")
    hint = {
        "AccessDenied": (
            "allow the role sts:GetWebIdentityToken; a condition on sts:IdentityTokenAudience has to name " + audience
        ),
        "OutboundWebIdentityFederationDisabledException": (
            "let an administrator of the account run: aws iam enable-outbound-web-identity-federation"
        ),
        "SessionDurationEscalationException": f"let the role's own session last longer than {_SECONDS} seconds",
        "ExpiredToken": "let the credentials of the role be renewed, and unset AWS_SESSION_TOKEN if it is an old one",
        "ExpiredTokenException": "let the credentials of the role be renewed, and unset AWS_SESSION_TOKEN if it is old",
    }.get(code, "see why: aws sts get-caller-identity")
    if code in _CLOCK:
        hint = "set this machine's clock: timedatectl set-ntp true"
    return IdentityError(f"AWS refused an identity token: {code or status}", hint=hint)


def _failure(name: str, profile: object) -> IdentityError | BrokerUnreachable:
    """Return what an error of botocore's own means, by its class."""
    if name in ("ConnectTimeoutError", "ReadTimeoutError", "EndpointConnectionError", "ConnectionClosedError"):
        return BrokerUnreachable(
            "the security token service of AWS cannot be reached", hint="check your network, AWS_REGION and HTTPS_PROXY"
        )
    hint = {
        "NoCredentialsError": "give the workload a role",
        "UnauthorizedSSOTokenError": f"aws sso login --profile {profile or 'default'}",
        "SSOTokenLoadError": f"aws sso login --profile {profile or 'default'}",
        "TokenRetrievalError": f"aws sso login --profile {profile or 'default'}",
        "ProfileNotFound": "correct AWS_PROFILE: aws configure list-profiles",
    }.get(name, "see why: aws sts get-caller-identity")
    return IdentityError(f"AWS has no credentials for an identity token ({name})", hint=hint)
