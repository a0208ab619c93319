"""Credentials from a self-hosted broker, or any other that speaks the same standards.

A machine that can prove who it is trades its identity token (RFC 8693); a person's session is refreshed (RFC 6749
section 6, with the index as ``resource``, RFC 8707); people sign in by the device flow (RFC 8628). This module never
keeps a credential: that is the cache's work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexpass import _wire
from indexpass._model import Credential, Invitation, Session
from indexpass._url import IndexUrl
from indexpass.errors import BrokerMisbehaved, BrokerRefused, BrokerUnreachable, SessionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from indexpass._model import Context, IdentityToken, Index, Operation
    from indexpass._secret import Secret
    from indexpass._wire import DeviceAuthorization, Metadata, TokenAnswer

_SLOW_DOWN_SECONDS = 5  # RFC 8628 section 3.5


class BrokerProvider:
    """Speaks the broker's protocol; implements Provider and SignIn."""

    def issue(self, index: Index, operation: Operation, context: Context) -> Credential:
        """Return a new credential: by identity token where there is one, else by the person's session.

        Raises SessionError if there is neither, and BrokerError or IdentityError.
        """
        broker = index.options["broker"]
        identity = context.identify(broker)
        if identity:
            return self._exchange(index, operation, context, identity)
        with context.sessions.exclusive(broker):
            session = context.sessions.load(broker)
            if session is None:
                raise SessionError(f"nobody is signed in at {broker}", hint=f"indexpass login {index.name}")
            return self._refresh(index, operation, context, session)

    def sign_in(
        self, index: Index, context: Context, *, show: Callable[[Invitation], None], wait: Callable[[float], None]
    ) -> tuple[Session, Credential]:
        """Sign a person in by the device flow; see :class:`indexpass._model.SignIn`."""
        broker = index.options["broker"]
        metadata = _metadata(broker, context)
        form = _wire.device_form(index.url)
        device = _wire.DeviceAuthorization.parse(context.http.post_form(metadata.device_authorization_endpoint, form))
        _require_same_origin(device, broker)
        show(
            Invitation(
                url=device.verification_uri,
                direct_url=device.verification_uri_complete,
                code=device.user_code,
                expires_in=device.expires_in,
            )
        )
        grant = _poll(device, metadata, context, wait)
        if grant.refresh_token is None:
            raise BrokerMisbehaved(f"{broker} did not start a session")
        session = Session(broker, grant.user, grant.refresh_token)
        with context.sessions.exclusive(broker):
            context.sessions.save(session)
        return session, _credential(grant, context.now())

    def sign_out(self, index: Index, context: Context) -> Session | None:
        """Forget the session here, then revoke it at the broker; see :class:`indexpass._model.SignIn`."""
        broker = index.options["broker"]
        with context.sessions.exclusive(broker):
            session = context.sessions.load(broker)
            context.sessions.forget(broker)
        if session:
            endpoint = _metadata(broker, context).revocation_endpoint
            status = context.http.post_form(endpoint, _wire.revoke_form(session.refresh_token)).status
            if status != 200:  # noqa: PLR2004  # RFC 7009 section 2.2
                raise BrokerUnreachable(
                    f"{broker} did not confirm that the session has ended (status {status})",
                    hint="the session is gone from this machine; end it on the broker's page too",
                )
        return session

    def session(self, index: Index, context: Context) -> Session | None:
        """Return the session at the index's broker, or None."""
        return context.sessions.load(index.options["broker"])

    def _exchange(self, index: Index, operation: Operation, context: Context, identity: IdentityToken) -> Credential:
        metadata = _metadata(index.options["broker"], context)
        form = _wire.exchange_form(identity.secret, resource=index.url, operation=operation)
        try:
            grant = _wire.TokenAnswer.parse(context.http.post_form(metadata.token_endpoint, form))
        except BrokerRefused as error:
            raise BrokerRefused(
                f"{error} (the identity token came from {identity.source})",
                reason=error.reason,
                hint=f"ask who runs {metadata.issuer} for a policy that allows {operation} on {index.url}",
            ) from error
        return _credential(grant, context.now())

    def _refresh(self, index: Index, operation: Operation, context: Context, session: Session) -> Credential:
        metadata = _metadata(session.broker, context)
        form = _wire.refresh_form(session.refresh_token, resource=index.url, operation=operation)
        try:
            grant = _wire.TokenAnswer.parse(context.http.post_form(metadata.token_endpoint, form))
        except BrokerRefused as error:
            if error.reason != "invalid_grant":
                error.hint = f"ask who runs {session.broker} for a policy that allows {operation} on {index.url}"
                raise
            context.sessions.forget(session.broker)
            raise SessionError(
                f"your session at {session.broker} has ended", hint=f"indexpass login {index.name}"
            ) from error
        if grant.refresh_token:
            # Kept before the credential is used: the old token is spent.
            context.sessions.save(Session(session.broker, grant.user or session.user, grant.refresh_token))
        return _credential(grant, context.now())


def _metadata(broker: str, context: Context) -> Metadata:
    answer = context.http.get_json(_wire.well_known_url(_wire.METADATA_PATH, IndexUrl.parse(broker)))
    return _wire.Metadata.parse(answer, issuer=broker)


def _require_same_origin(device: DeviceAuthorization, broker: str) -> None:
    """Refuse to send a person to another site than the broker that they chose."""
    home = IndexUrl.parse(broker).origin
    for url in (device.verification_uri, device.verification_uri_complete):
        if IndexUrl.parse(url).origin != home:
            raise BrokerMisbehaved(f"{broker} wants you to sign in on another site")


def _poll(
    device: DeviceAuthorization, metadata: Metadata, context: Context, wait: Callable[[float], None]
) -> TokenAnswer:
    """Ask until the person has decided, as slowly as the broker wants (RFC 8628 sections 3.4 and 3.5)."""
    interval = device.interval
    deadline = context.now() + device.expires_in
    while context.now() < deadline:
        wait(interval)
        answer = context.http.post_form(metadata.token_endpoint, _wire.device_token_form(device.device_code))
        try:
            return _wire.TokenAnswer.parse(answer)
        except BrokerRefused as error:
            if error.reason == "slow_down":
                interval += _SLOW_DOWN_SECONDS
            elif error.reason != "authorization_pending":
                raise _explained(error) from error
    raise SessionError("nobody approved the sign-in in time", hint="run the command again")


def _explained(error: BrokerRefused) -> BrokerRefused | SessionError:
    if error.reason == "expired_token":
        return SessionError("nobody approved the sign-in in time", hint="run the command again")
    if error.reason == "access_denied":
        return BrokerRefused("the sign-in was denied", reason=error.reason, hint="run the command again to retry")
    return error


def _credential(grant: TokenAnswer, now: float) -> Credential:
    secret: Secret = grant.access_token
    return Credential(_wire.TOKEN_USERNAME, secret, issued_at=now, expires_at=now + grant.expires_in)
