"""A person's session at a platform, by an OAuth application that somebody has registered there.

The platform is no broker of ours: it publishes nothing that could be relied on, knows no ``resource``, and its tokens
are good for more than one index. So its endpoints come from the provider, which also decides what becomes of the access
token. People sign in as ``_sign_in`` describes. This module never keeps an access token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from indexpass import _wire
from indexpass._authorization import challenge_of, new_state, new_verifier, parse_answer
from indexpass._browser import Listener
from indexpass._model import Answer, Session
from indexpass._sign_in import await_approval, explained, invite
from indexpass.errors import BrokerMisbehaved, BrokerRefused, BrokerUnreachable, SessionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from indexpass._model import Context, Index, Invitation
    from indexpass._secret import Secret
    from indexpass._wire import TokenAnswer

# RFC 6749 section 5.2; GitHub's word for it; and Gitea's for a refresh token that is spent or has expired.
_SESSION_IS_OVER = frozenset({"invalid_grant", "bad_refresh_token", "unauthorized_client"})
_WRONG_APP = frozenset(
    {"invalid_client", "unauthorized_client", "incorrect_client_credentials", "device_flow_disabled", "Not Found"}
)


class OAuthApp(NamedTuple):
    """A public client, without a secret, and the platform's endpoints for it; "" is one that it does not have.

    ``platform`` is the platform's URL, where all of them are; ``session`` names the session, and is that URL unless
    each index needs one of its own. ``settings`` is what the application must be like, in words that end a hint.
    """

    platform: str
    session: str
    client_id: str
    scope: str
    settings: str
    token_endpoint: str
    device_endpoint: str = ""
    authorization_endpoint: str = ""
    revocation_endpoint: str = ""


def sign_in_by_device(
    app: OAuthApp, context: Context, *, show: Callable[[Invitation], None], wait: Callable[[float], None]
) -> TokenAnswer:
    """Return the grant that a person approved on whatever screen (RFC 8628). Raises BrokerError or SessionError."""
    form = {"client_id": app.client_id, **({"scope": app.scope} if app.scope else {})}
    answer = context.http.post_form(app.device_endpoint, form)
    try:
        device = _wire.DeviceAuthorization.parse(_plain(answer), who=app.platform)
    except BrokerRefused as error:
        raise _with_hint(app, error) from error
    invite(device, app.platform, show=show)
    asked = {**_wire.device_token_form(device.device_code), "client_id": app.client_id}
    return await_approval(device, lambda: _ask(app, context, asked), wait=wait, now=context.now)


def sign_in_by_browser(app: OAuthApp, context: Context, *, browse: Callable[[str], bool]) -> TokenAnswer | None:
    """Return the grant that a person approved in the browser which ``browse`` opens; None if none opens.

    The platform need not name itself in its answer (RFC 9207): no other is asked on this port, and ``state`` is known
    to the page of this one only. Raises BrokerError or SessionError.
    """
    verifier, state = new_verifier(), new_state()

    def accept(query: str) -> Secret | None:
        return parse_answer(query, state=state, issuer=app.platform, who=app.platform, names_itself=False)

    with Listener(accept) as listener:
        redirect_uri = listener.redirect_uri
        asked = {
            "response_type": "code",
            "client_id": app.client_id,
            "redirect_uri": redirect_uri,
            "scope": app.scope,
            "state": state,
            "code_challenge": challenge_of(verifier),
            "code_challenge_method": "S256",
        }
        try:
            code = listener.wait(lambda: browse(f"{app.authorization_endpoint}?{urlencode(asked)}"))
        except BrokerRefused as error:
            raise explained(error) from error
    if code is None:
        return None
    form = _wire.code_form(code, verifier=verifier, redirect_uri=redirect_uri)
    return _ask(app, context, {**form, "client_id": app.client_id})


def keep(app: OAuthApp, context: Context, grant: TokenAnswer, *, user: str) -> Session:
    """Keep what a sign-in has brought, and return the session. Raises BrokerMisbehaved if it cannot go on."""
    if grant.refresh_token is None:
        raise BrokerMisbehaved(f"{app.platform} did not start a session", hint=f"check the application: {app.settings}")
    session = Session(app.session, user, grant.refresh_token)
    with context.sessions.exclusive(app.session):
        context.sessions.save(session)
    return session


def renew(app: OAuthApp, context: Context, index: Index) -> TokenAnswer:
    """Return a new grant of the person's session, and keep the successor of its refresh token (RFC 6749 section 6).

    Raises SessionError if there is no session or it has ended, and BrokerError.
    """
    sign_in = f"indexpass login {index.name}"
    with context.sessions.exclusive(app.session):
        session = context.sessions.load(app.session)
        if session is None:
            raise SessionError(f"nobody is signed in at {app.platform} for {index.url}", hint=sign_in)
        # A disk that is full has to say so now: a token that is spent, and whose successor is lost, ends the session.
        context.sessions.save(session)
        form: dict[str, str | Secret] = {
            "grant_type": _wire.GRANT_REFRESH,
            "client_id": app.client_id,
            "refresh_token": session.refresh_token,
        }
        try:
            grant = _ask(app, context, form)
        except BrokerRefused as error:
            if error.reason not in _SESSION_IS_OVER:
                raise
            context.sessions.forget(app.session)
            raise SessionError(f"your session at {app.platform} has ended", hint=sign_in) from error
        if grant.refresh_token:
            context.sessions.save(session._replace(refresh_token=grant.refresh_token))
    return grant


def end(app: OAuthApp, context: Context) -> Session | None:
    """Forget the session here, then revoke it there (RFC 7009) if the platform lets a program do that.

    Raises BrokerUnreachable if the platform does not confirm it.
    """
    with context.sessions.exclusive(app.session):
        session = context.sessions.load(app.session)
        context.sessions.forget(app.session)
    if session and app.revocation_endpoint:
        form = {**_wire.revoke_form(session.refresh_token), "client_id": app.client_id}
        status = context.http.post_form(app.revocation_endpoint, form).status
        if status != 200:  # noqa: PLR2004  # RFC 7009 section 2.2
            raise BrokerUnreachable(
                f"{app.platform} did not confirm that the session has ended (status {status})",
                hint=f"the session is gone from this machine; end it at {app.platform} too: revoke the application",
            )
    return session


def _ask(app: OAuthApp, context: Context, form: Mapping[str, str | Secret]) -> TokenAnswer:
    answer = _plain(context.http.post_form(app.token_endpoint, form))
    try:
        return _wire.TokenAnswer.parse(answer, who=app.platform)
    except BrokerRefused as error:
        raise _with_hint(app, error) from error


def _plain(answer: Answer) -> Answer:
    """Return a refusal as RFC 6749 has it: GitHub says no with status 200."""
    says_no = isinstance(answer.body, dict) and "error" in answer.body
    return answer._replace(status=400) if says_no and answer.status < 400 else answer  # noqa: PLR2004  # RFC 9110


def _with_hint(app: OAuthApp, error: BrokerRefused) -> BrokerRefused:
    hint = (
        f"check client-id ({app.client_id}) and the application: {app.settings}"
        if error.reason in _WRONG_APP
        else f"look at the application {app.client_id} and at your account, at {app.platform}; then sign in again"
    )
    return BrokerRefused(error.message, reason=error.reason, hint=hint)
