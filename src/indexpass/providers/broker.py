"""Credentials from a self-hosted broker, or any other that speaks the same standards.

A machine that can prove who it is trades its identity token (RFC 8693); a person's session is refreshed (RFC 6749
section 6, with the index as ``resource``, RFC 8707); people sign in as ``_sign_in`` describes. This module never keeps
a credential: that is the cache's work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexpass import _wire
from indexpass._identity_token import is_for
from indexpass._metadata import METADATA_PATH, Metadata, well_known_url
from indexpass._model import Credential, Session
from indexpass._url import IndexUrl
from indexpass.errors import BrokerMisbehaved, BrokerRefused, BrokerUnreachable, SessionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from indexpass._model import Context, IdentityToken, Index, Invitation, Operation
    from indexpass._secret import Secret
    from indexpass._wire import TokenAnswer

    _Form = Mapping[str, str | Secret]


class BrokerProvider:
    """Speaks the broker's protocol; implements Provider and SignIn."""

    def issue(self, index: Index, operation: Operation, context: Context) -> Credential:
        """Return a new credential: by identity token where there is one, else by the person's session.

        Raises SessionError if there is neither, and BrokerError or IdentityError.
        """
        broker = index.options["broker"]
        identity = context.identify(_audience(index))
        if identity:
            return self._exchange(index, operation, context, identity)
        with context.sessions.exclusive(broker):
            session = context.sessions.load(broker)
            if session is None:
                raise context.unidentified(_audience(index)) or SessionError(
                    f"nobody is signed in at {broker}", hint=f"indexpass login {index.name}"
                )
            return self._refresh(index, operation, context, session)

    def sign_in(
        self,
        index: Index,
        context: Context,
        *,
        show: Callable[[Invitation], None],
        wait: Callable[[float], None],
        browse: Callable[[str], bool] | None = None,
    ) -> tuple[Session, Credential]:
        """Sign a person in, in the browser of this machine or on any screen; see :class:`indexpass._model.SignIn`."""
        from indexpass._sign_in import by_browser, by_device  # noqa: PLC0415  # only a person in person needs it

        broker = index.options["broker"]
        metadata = _metadata(broker, context)
        grant = by_browser(index.url, metadata, context.http, browse=browse) if browse else None
        if grant is None:
            grant = by_device(index.url, metadata, context.http, show=show, wait=wait, now=context.now)
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

        def form(proof: IdentityToken) -> _Form:
            return _wire.exchange_form(proof.secret, resource=index.url, operation=operation)

        def form_again() -> _Form:
            # The token may have been used up by an answer that was lost: where the source can, it proves anew.
            return form(context.identify(_audience(index)) or identity)

        asked_at = context.now()
        try:
            grant = _ask(context, metadata.token_endpoint, form(identity), again=form_again)
        except BrokerRefused as error:
            raise BrokerRefused(
                f"{error} (the identity token came from {identity.source})",
                reason=error.reason,
                hint=(
                    _new_proof_hint(identity, _audience(index))
                    if error.reason == "invalid_request"  # RFC 8693 section 2.2.2: the token itself is refused
                    else f"ask who runs {metadata.issuer} for a policy that allows {operation} on {index.url}"
                ),
            ) from error
        return _credential(grant, asked_at)

    def _refresh(self, index: Index, operation: Operation, context: Context, session: Session) -> Credential:
        metadata = _metadata(session.broker, context)
        # A disk that is full has to say so now: a token that is spent, and whose successor is lost, ends the session.
        context.sessions.save(session)
        form = _wire.refresh_form(session.refresh_token, resource=index.url, operation=operation)
        asked_at = context.now()
        try:
            # Within 30 seconds the broker gives the same successor to the same token.
            grant = _ask(context, metadata.token_endpoint, form, again=lambda: form)
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
        return _credential(grant, asked_at)


def _audience(index: Index) -> str:
    """Return what the broker expects identity tokens to be made for: itself, unless the settings say another."""
    return index.options.get("audience", index.options["broker"])


def _new_proof_hint(refused: IdentityToken, audience: str) -> str:
    hint = f"let {refused.source} give a new identity token, made for the audience {audience}"
    return hint if is_for(refused.secret, audience) else f"{hint} (this one was made for another)"


def _ask(context: Context, endpoint: str, form: _Form, *, again: Callable[[], _Form]) -> TokenAnswer:
    """Return the broker's answer. If it was cut off, ask once more: a replica may be there, or the broker again."""
    try:
        return _wire.TokenAnswer.parse(context.http.post_form(endpoint, form))
    except BrokerUnreachable as error:
        if not error.is_cut_off:
            raise
    return _wire.TokenAnswer.parse(context.http.post_form(endpoint, again()))


def _metadata(broker: str, context: Context) -> Metadata:
    answer = context.http.get_json(well_known_url(METADATA_PATH, IndexUrl.parse(broker)))
    try:
        return Metadata.parse(answer, issuer=broker)
    except BrokerRefused as error:
        error.hint = f"check the broker's URL: at {broker} there is none that says where to ask"
        raise


def _credential(grant: TokenAnswer, issued_at: float) -> Credential:
    """Return what was granted; ``issued_at`` is when a machine asked for it, because an answer may come late."""
    secret: Secret = grant.access_token
    return Credential(_wire.TOKEN_USERNAME, secret, issued_at=issued_at, expires_at=issued_at + grant.expires_in)
