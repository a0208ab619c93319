"""Credentials for the package registry of a Gitea or Forgejo: the job's token in Actions, else a person's OAuth token.

Both take an OAuth access token as Basic password, whatever the user name (services/auth/basic.go of their sources).
They have no device flow, so a person signs in in the browser of the same machine. People get tokens for reading only:
a session has one scope for ever, and one that may write would be in every read. This module never sends the job's token
anywhere but to the server that the job runs for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from indexpass import _oauth_app
from indexpass._model import Credential
from indexpass._oauth_app import OAuthApp
from indexpass._secret import Secret
from indexpass._url import IndexUrl
from indexpass.errors import ConfigError, IdentityError, SessionError, UrlError

if TYPE_CHECKING:
    from collections.abc import Callable

    from indexpass._model import Context, Index, Invitation, Operation, Session
    from indexpass._wire import TokenAnswer

USERNAME = "oauth2"  # any would do
_ACTIONS = ("GITEA_ACTIONS", "FORGEJO_ACTIONS")  # "true" in every job
_TOKENS = ("GITEA_TOKEN", "FORGEJO_TOKEN", "GITHUB_TOKEN")  # what a workflow may call the job's token in `env:`
_INDEX = re.compile(r"(?P<home>(?:[^/]+/)*?)api/packages/[^/]+/pypi(?:/simple)?")


class GiteaProvider:
    """Issues the job's token in Actions, and OAuth tokens to people; implements Provider, SignIn, WithOwnProof."""

    def issue(self, index: Index, operation: Operation, context: Context) -> Credential:
        """Return the job's token where this is a job of the index's own server, else a token of the person's session.

        Raises IdentityError in a job that has no token to give, SessionError, ConfigError or BrokerError.
        """
        platform = _platform(index, operation)
        if _is_job_of(platform, index, context):
            return _job_credential(platform, context)
        if operation == "upload":
            raise SessionError(
                f"people sign in at {platform} for reading only",
                hint='upload from a job, or with a token that has write:package, by an index with provider = "static"',
            )
        asked_at = context.now()
        return _credential(_oauth_app.renew(_app(platform, index), context, index), asked_at)

    def sign_in(
        self,
        index: Index,
        context: Context,
        *,
        show: Callable[[Invitation], None],
        wait: Callable[[float], None],
        browse: Callable[[str], bool] | None = None,
    ) -> tuple[Session, Credential]:
        """Sign a person in in the browser of this machine; see :class:`indexpass._model.SignIn`."""
        del show, wait  # there is no device flow
        app = _app(_platform(index), index)
        asked_at = context.now()
        grant = _oauth_app.sign_in_by_browser(app, context, browse=browse) if browse else None
        if grant is None:
            raise SessionError(
                f"{app.platform} signs people in in the browser of the same machine only, and none opens here",
                hint='use a token with read:package by provider = "static", or run this on a desktop without --device',
            )
        return _oauth_app.keep(app, context, grant, user=""), _credential(grant, asked_at)

    def sign_out(self, index: Index, context: Context) -> Session | None:
        """Forget the session here; there is no way to end it there but the person's own page."""
        return _oauth_app.end(_app(_platform(index), index), context)

    def session(self, index: Index, context: Context) -> Session | None:
        """Return the session at the index's server, or None."""
        return context.sessions.load(_platform(index))

    def own_proof(self, index: Index, context: Context) -> str | None:
        """Name the job, if its token is for the index; see :class:`indexpass._model.WithOwnProof`."""
        platform = _platform(index)
        if not _is_job_of(platform, index, context):
            return None
        _job_credential(platform, context)
        return f"this job at {platform}"


def _platform(index: Index, operation: Operation = "read") -> str:
    """Return the URL of the server that has the index, or takes its uploads. Raises ConfigError if it has none."""
    url = (index.upload_url or index.url) if operation == "upload" else index.url
    found = _INDEX.fullmatch("/".join(url.segments))
    if found is None:
        raise ConfigError(
            f"{url} is not the URL of an index at a Gitea or Forgejo",
            hint='write url = "https://HOST/api/packages/OWNER/pypi/simple"',
        )
    return str(IndexUrl(url.origin, tuple(found["home"].split("/")[:-1]))).rstrip("/")


def _is_job_of(platform: str, index: Index, context: Context) -> bool:
    """Is this a job of the server that has the index: of the same scheme, host and port, and the same folder?"""
    if not any(context.environ.get(name) == "true" for name in _ACTIONS):
        return False
    try:
        server = IndexUrl.parse(context.environ.get("GITHUB_SERVER_URL", ""))
    except UrlError:
        return False
    is_all_there = index.files_url is None or server.covers(index.files_url)
    return is_all_there and str(server).rstrip("/") == platform


def _job_credential(platform: str, context: Context) -> Credential:
    token = next((found for name in _TOKENS if (found := context.environ.get(name))), None)
    if token is None:
        raise IdentityError(
            f"this job of {platform} has not been given its token",
            hint="add to the workflow: env: GITEA_TOKEN: ${{ secrets.GITEA_TOKEN }}",
        )
    # It ends with its job, and the next job on the same machine has another.
    return Credential(USERNAME, Secret(token), context.now(), expires_at=None, is_kept=False)


def _app(platform: str, index: Index) -> OAuthApp:
    client_id = index.options.get("client-id")
    if client_id is None:
        raise SessionError(
            f"nobody can sign in at {platform} for {index.url} yet: the index has no client-id",
            hint=f"register an application at {platform}/user/settings/applications (not confidential, redirect URI"
            ' http://127.0.0.1/callback), and add its id to the index\'s table: client-id = "…"',
        )
    return OAuthApp(
        platform=platform,
        session=platform,
        client_id=client_id,
        scope="read:package",
        settings="it has to be not confidential, with the redirect URI http://127.0.0.1/callback",
        token_endpoint=f"{platform}/login/oauth/access_token",
        authorization_endpoint=f"{platform}/login/oauth/authorize",
    )


def _credential(grant: TokenAnswer, asked_at: float) -> Credential:
    return Credential(USERNAME, grant.access_token, issued_at=asked_at, expires_at=asked_at + grant.expires_in)
