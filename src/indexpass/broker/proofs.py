"""Who asks for a token, and how do they prove it? By a code, a refresh token, or an identity token.

A proof is looked at first and spent only when the token is minted, so that a denial costs the client nothing. What
blocks runs on a thread; an identity token whose issuer's keys are at hand needs none. This module never says what the
subject may do.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anyio import to_thread

from indexpass._secret import Secret
from indexpass._wire import (
    CLIENT_ID,
    GRANT_CODE,
    GRANT_DEVICE,
    GRANT_EXCHANGE,
    GRANT_REFRESH,
    TYPE_ACCESS_TOKEN,
    TYPE_ID_TOKEN,
)
from indexpass.broker.oauth import OAuthError, required
from indexpass.broker.policy import Person, Subject
from indexpass.broker.state import audit, codes, devices, sessions
from indexpass.broker.state.replay import Use
from indexpass.broker.trust.verify import Unverified, VerifiedClaims
from indexpass.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection

    from indexpass.broker.service import Broker
    from indexpass.broker.state.audit import Entry
    from indexpass.broker.state.devices import Approval
    from indexpass.broker.state.sessions import Session

_TYPE_JWT = "urn:ietf:params:oauth:token-type:jwt"


class UsedBefore(OAuthError):
    """An identity token that is accepted once has been used before."""

    def __init__(self) -> None:
        """Say so, with the code of RFC 8693 section 2.2.2."""
        super().__init__("invalid_request", "the identity token was used before: it is accepted once")


class UsedMeanwhile(OAuthError):
    """Two have used the same code from the browser at the same moment, and this one came second."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__("invalid_grant", "the code was used before, so its session was ended")


@dataclass(frozen=True, slots=True)
class CodeProof:
    """A code that a person's browser brought to the program, with the program's own secret beside it."""

    code: Secret
    approval: Approval
    session_id: str

    @property
    def subject(self) -> Subject:
        """The person who approved it."""
        return Person(self.approval.user, self.approval.groups)

    def redeem(self, broker: Broker, connection: Connection, granted: Entry) -> Secret:
        """Begin the session; return its refresh token. Raises UsedMeanwhile if the code has been used meanwhile."""
        refresh_token = _begin_session(broker, connection, self, granted)
        keep_until = granted.time + broker.settings.session_seconds
        if not codes.redeem(connection, self.code, self.session_id, keep_until=keep_until):
            raise UsedMeanwhile
        return refresh_token


@dataclass(frozen=True, slots=True)
class DeviceProof:
    """A device sign-in that a person has approved."""

    device_code: Secret
    approval: Approval
    session_id: str

    @property
    def subject(self) -> Subject:
        """The person who approved it."""
        return Person(self.approval.user, self.approval.groups)

    def redeem(self, broker: Broker, connection: Connection, granted: Entry) -> Secret:
        """Begin the session; return its refresh token. Raises OAuthError if the code has been used meanwhile."""
        if not devices.redeem(connection, self.device_code, granted.time):
            raise OAuthError("invalid_grant", "the device code was used already")
        return _begin_session(broker, connection, self, granted)


@dataclass(frozen=True, slots=True)
class SessionProof:
    """A refresh token of a session."""

    refresh_token: Secret
    session: Session

    @property
    def subject(self) -> Subject:
        """The person whose session it is."""
        return Person(self.session.user, self.session.groups)

    @property
    def session_id(self) -> str:
        """The session's id."""
        return self.session.session_id

    def redeem(self, broker: Broker, connection: Connection, granted: Entry) -> Secret:
        """Put the successor in the token's place, and return it."""
        return sessions.rotate(
            connection, broker.keys, self.refresh_token, self.session, granted.time, address=granted.address
        )


@dataclass(frozen=True, slots=True)
class IdentityProof:
    """A verified identity token of a workload."""

    verified: VerifiedClaims

    @property
    def subject(self) -> Subject:
        """The workload, as its issuer describes it."""
        return self.verified

    @property
    def session_id(self) -> str:
        """Empty: a workload has no session."""
        return ""


Proof = CodeProof | DeviceProof | SessionProof | IdentityProof


async def identify(broker: Broker, form: Mapping[str, str], now: float) -> Proof:
    """Return who asks, by the grant type. Raises OAuthError if nobody can be told."""
    grant = required(form, "grant_type")
    if grant == GRANT_EXCHANGE:
        return await _by_identity_token(broker, form)
    if grant in _SESSION_GRANTS:
        return await to_thread.run_sync(_SESSION_GRANTS[grant], broker, form, now)
    raise OAuthError(
        "unsupported_grant_type", "authorization_code, device_code, refresh_token and token-exchange are known here"
    )


async def spend(broker: Broker, proof: Proof, granted: Entry) -> Secret | None:
    """Use the proof up and write the audit's entry: both, or neither.

    Returns the next refresh token of the proof's session, None where there is no session. Raises OAuthError if the
    proof has been used meanwhile, or before.
    """
    if not isinstance(proof, IdentityProof):
        return await to_thread.run_sync(_redeem, broker, proof, granted)
    verified = proof.verified
    is_once = broker.settings.replay_of(verified.issuer) == "once"
    if not await broker.audit.keep(granted, Use(verified.replay_key, verified.expires_at) if is_once else None):
        raise UsedBefore
    return None


async def end_session_of_code(broker: Broker, form: Mapping[str, str], now: float) -> None:
    """End the session that somebody else has just begun with the code in ``form`` (RFC 6749 section 4.1.2)."""
    with suppress(OAuthError):
        await to_thread.run_sync(_by_code, broker, form, now)  # whoever looks at a code that was used ends its session


def _by_code(broker: Broker, form: Mapping[str, str], now: float) -> CodeProof:
    code = Secret(required(form, "code"))
    client_id, redirect_uri = required(form, "client_id"), required(form, "redirect_uri")
    verifier = Secret(required(form, "code_verifier"))
    with broker.store.writing() as connection:
        outcome = codes.find(
            connection, code, client_id=client_id, redirect_uri=redirect_uri, verifier=verifier, now=now
        )
    if isinstance(outcome, OAuthError):
        broker.revocations.refresh(now)  # the session may have just been revoked
        raise outcome
    return CodeProof(code, outcome, sessions.new_id())


def _by_device_code(broker: Broker, form: Mapping[str, str], now: float) -> DeviceProof:
    device_code = Secret(required(form, "device_code"))
    with broker.store.writing() as connection:
        outcome = devices.poll(connection, device_code, now)
    if isinstance(outcome, OAuthError):
        raise outcome
    return DeviceProof(device_code, outcome, sessions.new_id())


def _by_refresh_token(broker: Broker, form: Mapping[str, str], now: float) -> SessionProof:
    refresh_token = Secret(required(form, "refresh_token"))
    with broker.store.writing() as connection:
        outcome = sessions.find(connection, refresh_token, now)
    if isinstance(outcome, OAuthError):
        broker.revocations.refresh(now)  # the session may have just been revoked
        raise outcome
    return SessionProof(refresh_token, outcome)


_SESSION_GRANTS: dict[str, Callable[[Broker, Mapping[str, str], float], Proof]] = {
    GRANT_CODE: _by_code,
    GRANT_DEVICE: _by_device_code,
    GRANT_REFRESH: _by_refresh_token,
}


async def _by_identity_token(broker: Broker, form: Mapping[str, str]) -> IdentityProof:
    if form.get("subject_token_type") not in {TYPE_ID_TOKEN, _TYPE_JWT}:
        raise OAuthError("invalid_request", "the subject_token_type must be id_token or jwt")
    if form.get("requested_token_type", TYPE_ACCESS_TOKEN) != TYPE_ACCESS_TOKEN:
        raise OAuthError("invalid_request", "only access tokens are issued")
    if "audience" in form:
        raise OAuthError("invalid_target", "name the index by its URL as resource, not as audience")
    if "actor_token" in form:
        raise OAuthError("invalid_request", "an actor_token is not accepted: nobody acts for another here")
    token = Secret(required(form, "subject_token"))
    try:
        verified = broker.verifier.verify_at_once(token)
        if verified is None:
            verified = await to_thread.run_sync(broker.verifier.verify, token)
    except Unverified as error:
        raise OAuthError("invalid_request", f"the identity token is refused: {error}") from None
    except BrokerError as error:
        raise OAuthError("temporarily_unavailable", str(error), status=503, retry_after=10) from error
    return IdentityProof(verified)


def _redeem(broker: Broker, proof: CodeProof | DeviceProof | SessionProof, granted: Entry) -> Secret:
    with broker.store.writing() as connection:
        refresh_token = proof.redeem(broker, connection, granted)
        audit.write(connection, granted)
    broker.audit.announce(granted)
    return refresh_token


def _begin_session(broker: Broker, connection: Connection, proof: CodeProof | DeviceProof, granted: Entry) -> Secret:
    _, refresh_token = sessions.begin(
        connection,
        proof.approval.user,
        session_id=proof.session_id,
        groups=proof.approval.groups,
        client_id=CLIENT_ID,
        address=granted.address,
        seconds=broker.settings.session_seconds,
        now=granted.time,
    )
    return refresh_token
