"""The server flow: proof in, token out.

Everything that leads to a token being minted or not happens in :func:`exchange`, in this order. This module never
parses HTTP and never lets a token leave before its audit entry is committed.
"""

from __future__ import annotations

import json
import secrets
from hashlib import sha256
from typing import TYPE_CHECKING

from indexpass._url import IndexUrl
from indexpass._wire import CLIENT_ID, SCOPES, TYPE_ACCESS_TOKEN, TokenAnswer
from indexpass.broker.keys import fingerprint
from indexpass.broker.oauth import OAuthError
from indexpass.broker.policy import Denial, Grant, Person, decide, describe
from indexpass.broker.proofs import (
    CodeProof,
    DeviceProof,
    IdentityProof,
    SessionProof,
    UsedMeanwhile,
    end_session_of_code,
    identify,
    spend,
)
from indexpass.broker.state.audit import Entry
from indexpass.errors import UrlError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from indexpass._model import Operation
    from indexpass._secret import Secret
    from indexpass.broker.policy import Subject
    from indexpass.broker.service import Broker
    from indexpass.broker.settings import GuardedIndex, Settings

    Choose = Callable[[Subject], GuardedIndex]

_EVENTS = {
    CodeProof: "code-exchange",
    DeviceProof: "device-exchange",
    SessionProof: "session-exchange",
    IdentityProof: "identity-exchange",
}
_UNDECIDED = {"authorization_pending", "slow_down", "temporarily_unavailable"}  # asked again, so not audited
MAX_SUBJECT_LENGTH = 160  # as JSON; keeps a token below 1,200 characters


async def exchange(
    broker: Broker, form: Mapping[str, str], *, address: str, choose: Choose | None = None
) -> TokenAnswer:
    """Trade the proof in ``form`` for an access token. Raises OAuthError, and SQLAlchemyError as the store does.

    A refusal is audited too, with all that was known by then. With ``choose``, who asks decides which index is meant,
    instead of the form.
    """
    now = broker.now()
    known = {"event": "exchange", "address": address}  # what the audit will say
    try:
        _require_patience(broker, address, now)
        check_client(form)

        # Who is it?
        proof = await identify(broker, form, now)
        subject = proof.subject
        known |= {"event": _EVENTS[type(proof)], "who": describe(subject)}

        # Which index, and what for? What a person approved has said so when it began.
        begun = proof.approval if isinstance(proof, (CodeProof, DeviceProof)) else None
        resource = form.get("resource") or (begun.resource if begun else "")
        index = choose(subject) if choose else find_index(broker.settings, resource)
        known["index"] = index.name
        operations = find_operations(form.get("scope") or (begun.scope if begun else ""))
        known["operation"] = " ".join(operations)

        # May they?
        grants = [_require_grant(broker.settings, subject, index, operation) for operation in operations]
        policies = " ".join(dict.fromkeys(name for grant in grants for name in grant.policy.split()))
        seconds = min(grant.seconds for grant in grants)
        scope = " ".join(SCOPES[operation] for operation in operations)
        projects = {
            SCOPES[operation]: sorted(grant.projects)
            for operation, grant in zip(operations, grants, strict=True)
            if grant.projects is not None
        }

        # Mint. Nobody has the token before its proof is used up and its audit entry is written: both, or neither.
        token = _mint(
            broker,
            {
                "sub": _bounded(known["who"]),
                "aud": index.resource,
                "client_id": CLIENT_ID,
                "iat": int(now),
                "exp": int(now) + seconds,
                "jti": secrets.token_urlsafe(16),
                "scope": scope,
                "policy": policies,
                **({"projects": projects} if projects else {}),
                **({"sid": proof.session_id} if proof.session_id else {}),
            },
        )
        granted = Entry(now, result="granted", policy=policies, token_sha256=fingerprint(token), **known)
        refresh_token = await spend(broker, proof, granted)
    except OAuthError as refusal:
        if isinstance(refusal, UsedMeanwhile):  # what this one began was rolled back; what the other began has to end
            await end_session_of_code(broker, form, now)
        if refusal.code not in _UNDECIDED:
            broker.limits.exchanges.count(address, now)
            await broker.audit.keep(Entry(now, result="denied", reason=str(refusal), **known))
        raise
    return TokenAnswer(
        access_token=token,
        expires_in=seconds,
        scope=scope,
        refresh_token=refresh_token,
        issued_token_type=TYPE_ACCESS_TOKEN if isinstance(proof, IdentityProof) else None,
        user=subject.name if isinstance(subject, Person) else "",
    )


def check_client(form: Mapping[str, str]) -> None:
    """Refuse clients that are not known: there is one, it is public, and people are shown its name.

    Raises OAuthError; a request without ``client_id`` passes, for identity tokens speak for themselves.
    """
    if form.get("client_id", CLIENT_ID) != CLIENT_ID:
        raise OAuthError("invalid_client", f"the client_id must be {CLIENT_ID}", status=401)


def find_index(settings: Settings, resource: str) -> GuardedIndex:
    """Return the index that a ``resource`` names (RFC 8707), or the only one there is. Raises OAuthError."""
    if not resource:
        if len(settings.indexes) != 1:
            raise OAuthError("invalid_target", "resource is missing: name the URL of an index")
        return settings.indexes[0]
    try:
        index = settings.index_for(IndexUrl.parse(resource))
    except UrlError:
        index = None
    if index is None:
        raise OAuthError("invalid_target", "the resource is not the URL of an index that is known here")
    return index


def find_operations(scope: str) -> tuple[Operation, ...]:
    """Return the operations that a ``scope`` names; reading where it says nothing. Raises OAuthError."""
    asked = set(scope.split()) or {SCOPES["read"]}
    if not asked <= set(SCOPES.values()):
        raise OAuthError("invalid_scope", f"the scopes are {' and '.join(SCOPES.values())}")
    return tuple(operation for operation, name in SCOPES.items() if name in asked)


def _require_patience(broker: Broker, address: str, now: float) -> None:
    """Refuse an address from which too many exchanges have failed. Raises OAuthError."""
    if wait := broker.limits.exchanges.wait(address, now):
        raise OAuthError(
            "temporarily_unavailable", "too many requests from this address were refused", status=429, retry_after=wait
        )


def _require_grant(settings: Settings, subject: Subject, index: GuardedIndex, operation: Operation) -> Grant:
    decision = decide(settings, subject, index, operation)
    if isinstance(decision, Denial):
        raise OAuthError("invalid_target", decision.reason)  # RFC 8693 section 2.2.2
    return decision


def _mint(broker: Broker, claims: Mapping[str, object]) -> Secret:
    try:
        return broker.keys.mint(claims)
    except ValueError:  # the policies that add up name more projects than a token can carry
        raise OAuthError(
            "invalid_target", "the policies name too many projects for one token: ask for one operation at a time"
        ) from None


def _bounded(subject: str) -> str:
    """Return the subject, or its hash where it is too long for a token."""
    if len(json.dumps(subject)) <= MAX_SUBJECT_LENGTH:
        return subject
    issuer = subject.partition(":")[0]
    return f"{issuer}:sha256:{sha256(subject.encode()).hexdigest()}"
