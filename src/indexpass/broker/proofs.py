"""Who asks for a token, and how do they prove it? By a code, a refresh token, or an identity token.

A proof is looked at first and spent only when the token is minted, so that a denial costs the client nothing. This
module never says what the subject may do.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
from indexpass.broker.state import codes, devices, sessions
from indexpass.broker.state.store import claim_once
from indexpass.broker.trust.verify import Unverified, VerifiedClaims
from indexpass.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from indexpass.broker.service import Broker
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
class Spent:
    """What a proof leaves behind: its session's id and next refresh token, or nothing where there is no session."""

    session_id: str = ""
    refresh_token: Secret | None = None


@dataclass(frozen=True, slots=True)
class CodeProof:
    """A code that a person's browser brought to the program, with the program's own secret beside it."""

    code: Secret
    approval: Approval

    @property
    def subject(self) -> Subject:
        """The person who approved it."""
        return Person(self.approval.user, self.approval.groups)

    def spend(self, broker: Broker, connection: Connection, now: float, address: str) -> Spent:
        """Begin the session. Raises UsedMeanwhile if the code has been used meanwhile."""
        spent = _begin_session(broker, connection, self.approval, now, address)
        keep_until = now + broker.settings.session_seconds
        if not codes.redeem(connection, self.code, spent.session_id, keep_until=keep_until):
            raise UsedMeanwhile
        return spent


@dataclass(frozen=True, slots=True)
class DeviceProof:
    """A device sign-in that a person has approved."""

    device_code: Secret
    approval: Approval

    @property
    def subject(self) -> Subject:
        """The person who approved it."""
        return Person(self.approval.user, self.approval.groups)

    def spend(self, broker: Broker, connection: Connection, now: float, address: str) -> Spent:
        """Begin the session. Raises OAuthError if the code has been used meanwhile."""
        if not devices.redeem(connection, self.device_code, now):
            raise OAuthError("invalid_grant", "the device code was used already")
        return _begin_session(broker, connection, self.approval, now, address)


@dataclass(frozen=True, slots=True)
class SessionProof:
    """A refresh token of a session."""

    refresh_token: Secret
    session: Session

    @property
    def subject(self) -> Subject:
        """The person whose session it is."""
        return Person(self.session.user, self.session.groups)

    def spend(self, broker: Broker, connection: Connection, now: float, address: str) -> Spent:
        """Put the successor in the token's place."""
        successor = sessions.rotate(connection, broker.keys, self.refresh_token, self.session, now, address=address)
        return Spent(self.session.session_id, successor)


@dataclass(frozen=True, slots=True)
class IdentityProof:
    """A verified identity token of a workload."""

    verified: VerifiedClaims

    @property
    def subject(self) -> Subject:
        """The workload, as its issuer describes it."""
        return self.verified

    def spend(self, broker: Broker, connection: Connection, now: float, address: str) -> Spent:  # noqa: ARG002  # as the others
        """Mark the token as used, where its issuer's tokens are accepted once.

        Raises UsedBefore if it has been used before.
        """
        if broker.settings.replay_of(self.verified.issuer) == "until-exp":
            return Spent()
        if not claim_once(connection, self.verified.replay_key, self.verified.expires_at):
            raise UsedBefore
        return Spent()


Proof = CodeProof | DeviceProof | SessionProof | IdentityProof


def identify(broker: Broker, form: Mapping[str, str], now: float) -> Proof:
    """Return who asks, by the grant type. Raises OAuthError if nobody can be told."""
    grant = required(form, "grant_type")
    if grant == GRANT_CODE:
        return _by_code(broker, form, now)
    if grant == GRANT_DEVICE:
        return _by_device_code(broker, Secret(required(form, "device_code")), now)
    if grant == GRANT_REFRESH:
        return _by_refresh_token(broker, Secret(required(form, "refresh_token")), now)
    if grant == GRANT_EXCHANGE:
        return _by_identity_token(broker, form)
    raise OAuthError(
        "unsupported_grant_type", "authorization_code, device_code, refresh_token and token-exchange are known here"
    )


def end_session_of_code(broker: Broker, form: Mapping[str, str], now: float) -> None:
    """End the session that somebody else has just begun with the code in ``form`` (RFC 6749 section 4.1.2)."""
    with suppress(OAuthError):
        _by_code(broker, form, now)  # whoever looks at a code that was used ends its session


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
    return CodeProof(code, outcome)


def _by_device_code(broker: Broker, device_code: Secret, now: float) -> DeviceProof:
    with broker.store.writing() as connection:
        outcome = devices.poll(connection, device_code, now)
    if isinstance(outcome, OAuthError):
        raise outcome
    return DeviceProof(device_code, outcome)


def _by_refresh_token(broker: Broker, refresh_token: Secret, now: float) -> SessionProof:
    with broker.store.writing() as connection:
        outcome = sessions.find(connection, refresh_token, now)
    if isinstance(outcome, OAuthError):
        broker.revocations.refresh(now)  # the session may have just been revoked
        raise outcome
    return SessionProof(refresh_token, outcome)


def _by_identity_token(broker: Broker, form: Mapping[str, str]) -> IdentityProof:
    if form.get("subject_token_type") not in {TYPE_ID_TOKEN, _TYPE_JWT}:
        raise OAuthError("invalid_request", "the subject_token_type must be id_token or jwt")
    if form.get("requested_token_type", TYPE_ACCESS_TOKEN) != TYPE_ACCESS_TOKEN:
        raise OAuthError("invalid_request", "only access tokens are issued")
    if "audience" in form:
        raise OAuthError("invalid_target", "name the index by its URL as resource, not as audience")
    if "actor_token" in form:
        raise OAuthError("invalid_request", "an actor_token is not accepted: nobody acts for another here")
    try:
        return IdentityProof(broker.verifier.verify(Secret(required(form, "subject_token"))))
    except Unverified as error:
        raise OAuthError("invalid_request", f"the identity token is refused: {error}") from None
    except BrokerError as error:
        raise OAuthError("temporarily_unavailable", str(error), status=503, retry_after=10) from error


def _begin_session(broker: Broker, connection: Connection, approval: Approval, now: float, address: str) -> Spent:
    session, refresh_token = sessions.begin(
        connection,
        approval.user,
        groups=approval.groups,
        client_id=CLIENT_ID,
        address=address,
        seconds=broker.settings.session_seconds,
        now=now,
    )
    return Spent(session.session_id, refresh_token)
