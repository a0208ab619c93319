"""Credentials for GitLab's package registry: the job's own token in GitLab CI, else a deploy token for a person.

GitLab takes no OAuth token as a Basic password (lib/api of its source), so a person's session serves to mint a deploy
token, which is for one project or group, for one operation, and ends by itself. This module never sends the job token
anywhere but to the GitLab that the job runs for.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from indexpass import _oauth_app
from indexpass._answer import read_life, read_text, require_ready
from indexpass._model import Credential
from indexpass._oauth_app import OAuthApp
from indexpass._secret import Secret
from indexpass._url import IndexUrl
from indexpass.errors import BrokerMisbehaved, BrokerRefused, ConfigError, IdentityError, SessionError, UrlError

if TYPE_CHECKING:
    from collections.abc import Callable

    from indexpass._model import Answer, Context, Index, Invitation, Operation, Session

JOB_USERNAME = "gitlab-ci-token"  # GitLab takes a job token with this name only
SCOPES: dict[Operation, str] = {"read": "read_package_registry", "upload": "write_package_registry"}
LIFE_SECONDS: dict[Operation, int] = {"read": 3600, "upload": 900}
_INDEX = re.compile(
    r"(?P<home>(?:[^/]+/)*?)api/v4/"
    r"(?:projects/(?P<project>[^/]+)/packages/pypi(?:/simple)?|groups/(?P<group>[^/]+)/-/packages/pypi/simple)"
)
_MIN_LIFE_SECONDS = 60  # less is a clock that is wrong, here or there
_ROLES = {"projects": "Maintainer of the project", "groups": "Owner of the group"}


class _Place(NamedTuple):
    """Where an index is: the URL of its GitLab, ``projects`` or ``groups``, and which of them (an id or a name)."""

    platform: str
    kind: str
    id: str

    @classmethod
    def of(cls, index: Index, operation: Operation = "read") -> _Place:
        """Return where the index is read, or uploaded to. Raises ConfigError if that is no URL of GitLab's."""
        url = (index.upload_url or index.url) if operation == "upload" else index.url
        found = _INDEX.fullmatch("/".join(url.segments))
        if found:
            home = tuple(found["home"].split("/")[:-1])
            platform = str(IndexUrl(url.origin, home)).rstrip("/")
            return cls(platform, "projects" if found["project"] else "groups", found["project"] or found["group"])
        raise ConfigError(
            f"{url} is not the URL of an index at GitLab",
            hint='write url = "https://HOST/api/v4/projects/ID/packages/pypi/simple" with the project\'s number for ID',
        )

    @property
    def minting_url(self) -> str:
        """Where deploy tokens for it are made (GitLab's page "Deploy tokens API")."""
        return f"{self.platform}/api/v4/{self.kind}/{quote(self.id, safe='')}/deploy_tokens"


class GitLabProvider:
    """Issues the job token in CI, and deploy tokens to people; implements Provider, SignIn, WithOwnProof."""

    def issue(self, index: Index, operation: Operation, context: Context) -> Credential:
        """Return the job token where this is a job of the index's own GitLab, else a new deploy token.

        Raises IdentityError in a job of another GitLab, SessionError, ConfigError or BrokerError.
        """
        place = _Place.of(index, operation)
        job_token = _job_token(place, index, context)
        if job_token:
            # It ends with its job, and the next job on the same machine has another.
            return Credential(JOB_USERNAME, job_token, context.now(), expires_at=None, is_kept=False)
        grant = _oauth_app.renew(_app(place, index), context, index)
        return _mint(place, operation, grant.access_token, context)

    def sign_in(
        self,
        index: Index,
        context: Context,
        *,
        show: Callable[[Invitation], None],
        wait: Callable[[float], None],
        browse: Callable[[str], bool] | None = None,
    ) -> tuple[Session, Credential]:
        """Sign a person in by a page and a code, and mint their first token; see :class:`indexpass._model.SignIn`."""
        del browse  # GitLab takes the redirect of a registered port only
        place = _Place.of(index)
        app = _app(place, index)
        grant = _oauth_app.sign_in_by_device(app, context, show=show, wait=wait)
        session = _oauth_app.keep(app, context, grant, user=_user(place, grant.access_token, context))
        return session, _mint(place, "read", grant.access_token, context)

    def sign_out(self, index: Index, context: Context) -> Session | None:
        """Forget the session, here and there; see :class:`indexpass._model.SignIn`.

        Deploy tokens end by themselves within the hour: to remove them takes the rights of the session.
        """
        return _oauth_app.end(_app(_Place.of(index), index), context)

    def session(self, index: Index, context: Context) -> Session | None:
        """Return the session at the index's GitLab, or None."""
        return context.sessions.load(_Place.of(index).platform) if "client-id" in index.options else None

    def own_proof(self, index: Index, context: Context) -> str | None:
        """Name the job, if its token is for the index; see :class:`indexpass._model.WithOwnProof`."""
        place = _Place.of(index)
        return f"this job at {place.platform} (CI_JOB_TOKEN)" if _job_token(place, index, context) else None


def _job_token(place: _Place, index: Index, context: Context) -> Secret | None:
    """Return the job's token if this is a job of the index's own GitLab, or None where a person may sign in.

    Raises IdentityError in a job of another GitLab at which nobody can sign in.
    """
    job_token = context.environ.get("CI_JOB_TOKEN")
    if not job_token:
        return None
    if _is_job_of(place, index, context):
        return Secret(job_token)
    if "client-id" in index.options:
        return None
    raise IdentityError(
        f"this job runs for {context.environ.get('CI_SERVER_URL') or 'an unnamed GitLab'}, so its token is not"
        f" for {place.platform}",
        hint='make a deploy token there, and configure the index with provider = "static"',
    )


def _is_job_of(place: _Place, index: Index, context: Context) -> bool:
    """Does this job run for the GitLab that has the index: the same scheme, host and port, and the same folder?"""
    try:
        server = IndexUrl.parse(context.environ.get("CI_SERVER_URL", ""))
    except UrlError:
        return False
    is_all_there = index.files_url is None or server.covers(index.files_url)
    return is_all_there and str(server).rstrip("/") == place.platform


def _app(place: _Place, index: Index) -> OAuthApp:
    client_id = index.options.get("client-id")
    if client_id is None:
        raise SessionError(
            f"nobody can sign in at {place.platform} for {index.url} yet: the index has no client-id",
            hint=f"register an application at {place.platform}/-/user_settings/applications (not confidential, scope"
            ' api), and add its id to the index\'s table: client-id = "…"',
        )
    return OAuthApp(
        platform=place.platform,
        session=place.platform,
        client_id=client_id,
        scope="api",  # nothing less may make deploy tokens
        settings="it has to be not confidential, with the scope api",
        token_endpoint=f"{place.platform}/oauth/token",
        device_endpoint=f"{place.platform}/oauth/authorize_device",
        revocation_endpoint=f"{place.platform}/oauth/revoke",
    )


def _user(place: _Place, access_token: Secret, context: Context) -> str:
    bearer = Secret(f"Bearer {access_token.reveal()}")
    answer = context.http.get_json(f"{place.platform}/api/v4/user", authorization=bearer)
    require_ready(answer, place.platform)
    return read_text(answer.body, "username", default="") if isinstance(answer.body, dict) else ""


def _mint(place: _Place, operation: Operation, access_token: Secret, context: Context) -> Credential:
    """Return a new deploy token for one project or group, which may do one thing there and ends by itself.

    The one before it is left to its end: another process may be in the middle of a run with it.
    """
    asked_at, life = context.now(), LIFE_SECONDS[operation]
    ends_at = datetime.fromtimestamp(asked_at + life, tz=timezone.utc)
    answer = context.http.send(
        "POST",
        place.minting_url,
        headers={"Authorization": Secret(f"Bearer {access_token.reveal()}")},
        json={
            "name": f"indexpass {operation}",
            "scopes": [SCOPES[operation]],
            "expires_at": ends_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
    )
    require_ready(answer, place.platform)
    if answer.status != 201 or not isinstance(answer.body, dict):  # noqa: PLR2004  # what the page documents
        raise _refusal(place, operation, answer)
    left = read_life(answer, answer.body, "expires_at", now=asked_at)
    if left < _MIN_LIFE_SECONDS:
        raise BrokerMisbehaved(
            f"{place.platform} counts a token that was made just now as expired: this machine's clock is behind",
            hint="set the clock, then run the command again",
        )
    return Credential(
        username=read_text(answer.body, "username"),
        secret=Secret(read_text(answer.body, "token")),
        issued_at=asked_at,
        expires_at=asked_at + min(left, life),
    )


def _refusal(place: _Place, operation: Operation, answer: Answer) -> BrokerRefused:
    thing = f"{place.kind.removesuffix('s')} {place.id}"
    ask = (
        f"ask its {_ROLES[place.kind].partition(' ')[0]} for a deploy token with {SCOPES[operation]}, and configure the"
        ' index with provider = "static"'
    )
    if answer.status == 401:  # noqa: PLR2004  # RFC 9110
        return BrokerRefused(
            f"{place.platform} does not take your session any more",
            reason="invalid_token",
            hint="sign in again with indexpass login",
        )
    if answer.status == 403:  # noqa: PLR2004  # RFC 9110
        body = answer.body if isinstance(answer.body, dict) else {}
        if body.get("error") == "insufficient_scope":
            return BrokerRefused(
                f"the application at {place.platform} may not make deploy tokens",
                reason="insufficient_scope",
                hint="give the application the scope api, then sign in again with indexpass login",
            )
        return BrokerRefused(
            f"{place.platform} makes no deploy tokens for the {thing} for you: only the {_ROLES[place.kind]} may",
            reason="access_denied",
            hint=ask,
        )
    if answer.status == 404:  # noqa: PLR2004  # RFC 9110
        return BrokerRefused(
            f"{place.platform} shows you no {thing}",
            reason="not_found",
            hint=f"check the number in the index's url, and that you are {_ROLES[place.kind]}",
        )
    return BrokerRefused(
        f"{place.platform} made no deploy token (status {answer.status})", reason="invalid_request", hint=ask
    )
