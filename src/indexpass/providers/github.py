"""Credentials for ``git+https`` packages on GitHub, which has no index for Python: every read is a clone.

Three can read: a job in Actions its own repository, with its own token; a machine what a GitHub App is installed on, by
an installation token for contents alone; a person what both they and a GitHub App may read. This module never sends the
job's token anywhere but to the GitHub that the job runs for, and never asks for more than reading contents.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from indexpass import _oauth_app
from indexpass._answer import read_life, read_skew, read_text, require_ready
from indexpass._files import read_key_file
from indexpass._model import Credential
from indexpass._oauth_app import OAuthApp
from indexpass._secret import Secret
from indexpass._url import IndexUrl
from indexpass.errors import (
    BrokerRefused,
    BrokerUnreachable,
    ConfigError,
    ExtraMissing,
    IdentityError,
    SessionError,
    UrlError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from indexpass._model import Answer, Context, Index, Invitation, Operation, Session

USERNAME = "x-access-token"
API_VERSION = "2022-11-28"
APP_OPTIONS = ("app-id", "installation-id", "key-file")
JWT_SECONDS = 540  # GitHub takes ten minutes, by its own clock
JWT_LEEWAY_SECONDS = 60  # for a clock here that is ahead; what GitHub's page on App JWTs advises
MIN_SKEW_SECONDS = 60.0
_MAX_TOKEN_LENGTH = 4096
_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")  # App and client ids, installation ids


class _Place(NamedTuple):
    """An owner's repositories, or one of them; ``repository`` is "" for all."""

    platform: str
    api: str
    owner: str
    repository: str

    @classmethod
    def of(cls, index: Index) -> _Place:
        """Return what the index stands for. Raises ConfigError if its URL is not that of an owner or repository."""
        owner, repository = (*index.url.segments, "", "")[:2]
        if not owner or len(index.url.segments) > 2:  # noqa: PLR2004  # OWNER and REPOSITORY
            raise ConfigError(
                f"{index.url} is not the URL of an owner or a repository at GitHub",
                hint='write url = "https://github.com/OWNER/", or "https://github.com/OWNER/REPOSITORY.git"',
            )
        origin = index.url.origin
        if origin.host == "github.com":
            api = "https://api.github.com"
        elif origin.host.endswith(".ghe.com"):
            api = f"https://api.{origin.netloc}"
        else:
            api = f"{origin}/api/v3"  # GitHub Enterprise Server
        return cls(str(origin), api, owner, repository.removesuffix(".git"))


class GitHubProvider:
    """Issues the job's token, an App's installation token, or a person's; implements Provider, SignIn, WithOwnProof."""

    def issue(self, index: Index, operation: Operation, context: Context) -> Credential:
        """Return a credential for cloning: the job's where it is enough, else the App's, else the person's.

        Raises ConfigError, IdentityError in a job that nobody lets in, SessionError or BrokerError.
        """
        if operation != "read":
            raise ConfigError("GitHub has no index for Python packages to upload to", hint="upload to another index")
        place = _Place.of(index)
        job_token = _job_token(place, context)
        if job_token:
            # It ends with its job, and the next job on the same machine has another.
            return Credential(USERNAME, job_token, context.now(), expires_at=None, is_kept=False)
        if any(key in index.options for key in APP_OPTIONS):
            return _issue_installation_token(place, index, context)
        _refuse_strange_job(index, context)
        asked_at = context.now()
        grant = _oauth_app.renew(_app(place, index), context, index)
        return Credential(USERNAME, grant.access_token, asked_at, asked_at + grant.expires_in)

    def sign_in(
        self,
        index: Index,
        context: Context,
        *,
        show: Callable[[Invitation], None],
        wait: Callable[[float], None],
        browse: Callable[[str], bool] | None = None,
    ) -> tuple[Session, Credential]:
        """Sign a person in by a page and a code; see :class:`indexpass._model.SignIn`."""
        del browse  # in the browser of this machine, GitHub wants the App's secret, which a public client cannot have
        place = _Place.of(index)
        app = _app(place, index)
        asked_at = context.now()
        grant = _oauth_app.sign_in_by_device(app, context, show=show, wait=wait)
        session = _oauth_app.keep(app, context, grant, user=_user(place, grant.access_token, context))
        return session, Credential(USERNAME, grant.access_token, asked_at, asked_at + grant.expires_in)

    def sign_out(self, index: Index, context: Context) -> Session | None:
        """Forget the session here; to end it at GitHub takes the App's secret, or the person's own page."""
        return _oauth_app.end(_app(_Place.of(index), index), context)

    def session(self, index: Index, context: Context) -> Session | None:
        """Return the person's session for the index, or None."""
        return context.sessions.load(str(index.url)) if "client-id" in index.options else None

    def own_proof(self, index: Index, context: Context) -> str | None:
        """Name the job or the App; see :class:`indexpass._model.WithOwnProof`."""
        place = _Place.of(index)
        if _job_token(place, context):
            return f"this job of {place.owner}/{place.repository} at {place.platform} (GITHUB_TOKEN)"
        if any(key in index.options for key in APP_OPTIONS):
            return f"the GitHub App {index.options.get('app-id', '')}".strip()
        _refuse_strange_job(index, context)
        return None


def _job_token(place: _Place, context: Context) -> Secret | None:
    """Return the job's token if this is a job of the very repository, on the very GitHub; else None."""
    environ = context.environ
    try:
        server = str(IndexUrl.parse(environ.get("GITHUB_SERVER_URL", "")).origin)
    except UrlError:
        return None
    is_own = (
        environ.get("GITHUB_ACTIONS") == "true"
        and server == place.platform
        and environ.get("GITHUB_REPOSITORY", "").lower() == f"{place.owner}/{place.repository}".lower()
    )
    token = environ.get("GITHUB_TOKEN") if is_own else None
    return Secret(token) if token else None


def _refuse_strange_job(index: Index, context: Context) -> None:
    """Raise IdentityError in a job whose token is not for the index, if nobody can sign in either."""
    if "client-id" not in index.options and context.environ.get("GITHUB_ACTIONS") == "true":
        raise IdentityError(
            f"the token of a job reads its own repository only, and {index.url} is not"
            f" {context.environ.get('GITHUB_REPOSITORY', 'it')} or the job has no GITHUB_TOKEN",
            hint="add to the workflow: env: GITHUB_TOKEN: ${{ github.token }}, with permissions: contents: read; or"
            " let a GitHub App in, by app-id, installation-id and key-file",
        )


def _issue_installation_token(place: _Place, index: Index, context: Context) -> Credential:
    """Return a new token of the App's installation, for reading contents alone (GitHub's "REST API for Apps")."""
    for key in APP_OPTIONS:
        if key not in index.options:
            raise ConfigError(f"the index {index.name!r} has no {key!r}", hint=f'add a line: {key} = "…"')
        if key != "key-file" and not _ID.fullmatch(index.options[key]):
            raise ConfigError(f"{key!r} of the index {index.name!r} is no id", hint="copy it from the App's page")
    asked_at = context.now()
    body: dict[str, object] = {"permissions": {"contents": "read"}}
    if place.repository:
        body["repositories"] = [place.repository]
    answer = context.http.send(
        "POST",
        f"{place.api}/app/installations/{index.options['installation-id']}/access_tokens",
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": Secret(f"Bearer {_sign_app_jwt(index, asked_at).reveal()}"),
            "X-GitHub-Api-Version": API_VERSION,
        },
        json=body,
    )
    _require_quota(place, answer, asked_at)
    if answer.status != 201 or not isinstance(answer.body, dict):  # noqa: PLR2004  # what the page documents
        raise _refusal(place, index, answer, asked_at)
    token = read_text(answer.body, "token", limit=_MAX_TOKEN_LENGTH)
    return Credential(
        USERNAME, Secret(token), asked_at, asked_at + read_life(answer, answer.body, "expires_at", now=asked_at)
    )


def _sign_app_jwt(index: Index, now: float) -> Secret:
    """Return what proves the App to GitHub: RS256, ten minutes at most. Raises ConfigError."""
    try:
        import jwt  # noqa: PLC0415  # only installations of Apps need it
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ExtraMissing(
            f"{error.name} is not installed, which credentials for {index.url} need",
            hint="pip install 'indexpass[github]'",
        ) from error
    path = index.options["key-file"]
    wrong = ConfigError(
        f"key-file {path} holds no RSA key in PEM", hint="save the .pem file that GitHub gave for the App"
    )
    try:
        key = load_pem_private_key(read_key_file(path).encode(), None)
    except (ValueError, TypeError):
        raise wrong from None  # the cause could quote the file
    if not isinstance(key, RSAPrivateKey):
        raise wrong
    claims = {
        "iss": index.options["app-id"],
        "iat": int(now) - JWT_LEEWAY_SECONDS,
        "exp": int(now) + JWT_SECONDS,
    }
    return Secret(jwt.encode(claims, key, algorithm="RS256"))


def _require_quota(place: _Place, answer: Answer, now: float) -> None:
    """Raise BrokerUnreachable if GitHub asks to come back later: also by 403, and also without Retry-After."""
    require_ready(answer, place.api)
    left, reset = answer.headers.get("x-ratelimit-remaining"), answer.headers.get("x-ratelimit-reset", "")
    if answer.status == 403 and (answer.retry_after is not None or left == "0"):  # noqa: PLR2004  # RFC 9110
        wait = answer.retry_after
        if wait is None and reset.isascii() and reset.isdigit():
            wait = max(float(reset[:12]) - now, 1.0)
        raise BrokerUnreachable(f"{place.api} counts too many requests", hint="try again later", retry_after=wait)


def _refusal(place: _Place, index: Index, answer: Answer, now: float) -> BrokerRefused:
    skew = read_skew(answer, now=now)
    if answer.status == 401 and abs(skew) >= MIN_SKEW_SECONDS:  # noqa: PLR2004  # RFC 9110
        direction = "ahead" if skew > 0 else "behind"
        return BrokerRefused(
            f"{place.api} does not take the App's proof: this machine's clock is {abs(skew):.0f} seconds {direction}",
            reason="clock_skew",
            hint="set the clock, then run the command again",
        )
    hints: Mapping[int, tuple[str, str]] = {
        401: (
            "does not know the App by this key",
            f"check app-id ({index.options['app-id']}), and make a new key on the App's page for key-file",
        ),
        403: ("does not let the App in", "ask an owner whether the App's installation is suspended"),
        404: (
            f"has no installation {index.options['installation-id']} of the App",
            f"take the number after {place.platform}/organizations/{place.owner}/settings/installations/",
        ),
        422: (
            f"does not let the App read {place.owner}/{place.repository or '*'}",
            "give the App the repository permission Contents: read, and let its installation have the repository",
        ),
    }
    words, hint = hints.get(answer.status, (f"made no token (status {answer.status})", "try again in a minute"))
    return BrokerRefused(f"{place.api} {words}", reason="access_denied", hint=hint)


def _app(place: _Place, index: Index) -> OAuthApp:
    client_id = index.options.get("client-id")
    if client_id is None:
        raise SessionError(
            f"nobody can sign in at {place.platform} for {index.url} yet: the index has no client-id",
            hint="make a GitHub App with the device flow enabled and the repository permission Contents: read, install"
            ' it, and add its client id to the index\'s table: client-id = "…"',
        )
    return OAuthApp(
        platform=place.platform,
        session=str(index.url),  # each has its own: a refresh ends the token before it, which another may still use
        client_id=client_id,
        scope="",  # a GitHub App's permissions say it all
        settings="a GitHub App with the device flow enabled, and with user tokens that expire",
        token_endpoint=f"{place.platform}/login/oauth/access_token",
        device_endpoint=f"{place.platform}/login/device/code",
    )


def _user(place: _Place, access_token: Secret, context: Context) -> str:
    answer = context.http.get_json(f"{place.api}/user", authorization=Secret(f"Bearer {access_token.reveal()}"))
    require_ready(answer, place.api)
    return read_text(answer.body, "login", default="") if isinstance(answer.body, dict) else ""
