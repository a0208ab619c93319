"""Why a token is granted or denied: each step of the decision as words, taken by the code that decides.

Nothing is minted, spent or audited here, and the token itself is in no result.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal

from indexpass.broker.guarding.check import Facts
from indexpass.broker.policy import Grant, Mismatch, decide, describe, mismatches
from indexpass.broker.state.replay import was_used
from indexpass.broker.trust.jwt_text import NotJwt, read_jwt
from indexpass.broker.trust.verify import STEPS, Unverified
from indexpass.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from indexpass._model import Operation
    from indexpass._secret import Secret
    from indexpass.broker.keys import AccessToken
    from indexpass.broker.service import Broker
    from indexpass.broker.settings import GuardedIndex, Settings
    from indexpass.broker.trust.verify import VerifiedClaims, Verifier

Outcome = Literal["right", "wrong", "not known", "not looked at"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, what came of it, and what stands there."""

    what: str
    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PolicyFinding:
    """A policy of the index, and why it does not grant this; it does if there is no reason."""

    name: str
    reasons: tuple[Mismatch, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The decision, and all that led to it. ``reason`` is empty where it is granted."""

    kind: Literal["identity token", "access token"]
    who: str
    reason: str
    findings: tuple[Finding, ...]
    policies: tuple[PolicyFinding, ...] = ()
    grant: Grant | None = None


def explain_identity(  # noqa: PLR0913  # the question, and what the answer is made from
    settings: Settings,
    verifier: Verifier,
    token: Secret,
    index: GuardedIndex,
    operation: Operation,
    *,
    broker: Broker | None,
) -> Explanation:
    """Say what an exchange of this identity token would come to. ``broker`` knows which were used; None if unknown."""
    try:
        header, claimed, *_ = read_jwt(token.reveal())
    except NotJwt:
        header, claimed = {}, {}
    facts = _describe_steps(settings, header, claimed)
    try:
        verified = verifier.verify(token)
    except Unverified as error:
        return Explanation("identity token", "", str(error), tuple(_until(error.step, facts, "wrong", str(error))))
    except BrokerError as error:
        reason = f"{error}; {error.hint}" if error.hint else str(error)
        return Explanation("identity token", "", reason, tuple(_until("signature", facts, "not known", reason)))
    replay = _look_at_replay(settings, verified, broker)
    findings = (*(Finding(step, "right", facts[step]) for step in STEPS), replay)
    policies = tuple(
        PolicyFinding(policy.name, tuple(mismatches(policy, verified, index, operation)))
        for policy in settings.policies
    )
    decision = decide(settings, verified, index, operation)
    who = describe(verified)
    if not isinstance(decision, Grant):
        return Explanation("identity token", who, decision.reason, findings, policies)
    reason = replay.detail if replay.outcome == "wrong" else ""
    return Explanation("identity token", who, reason, findings, policies, grant=decision)


def explain_access(broker: Broker, token: Secret, index: GuardedIndex, operation: Operation) -> Explanation | None:
    """Say what the index would answer to this access token; None if it is not one that this broker signed."""
    access = broker.keys.decode(token)
    if access is None:
        return None
    facts = Facts(f"Bearer {token.reveal()}", index, operation, is_held_later=True)
    verdict = broker.checker.check(facts)
    return Explanation("access token", access.subject, verdict.reason, tuple(_describe_access(broker, access, index)))


def is_made_here(settings: Settings, token: Secret) -> bool:
    """Does the token say, rightly or not, that this broker made it?"""
    try:
        return read_jwt(token.reveal()).claims.get("iss") == settings.issuer
    except NotJwt:
        return False


def show_time(seconds: object) -> str:
    """Return a time in RFC 3339; whatever is no time as it is."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        return show(seconds)
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return show(seconds)


_MAX_SHOWN_LENGTH = 200


def show(value: object) -> str:
    """Return a claim's value so that it can be printed: in ASCII, in one line, and not for ever."""
    text = ascii(value)
    return text if len(text) <= _MAX_SHOWN_LENGTH else f"{text[:_MAX_SHOWN_LENGTH]}…"


def _describe_steps(settings: Settings, header: Mapping[str, object], claims: Mapping[str, object]) -> dict[str, str]:
    """Return what the token says for each step, whether it is right or not."""
    issuer = next((issuer for issuer in settings.trusted_issuers if issuer.url == claims.get("iss")), None)
    known = f"trusted-issuer {issuer.name}, preset {issuer.preset}" if issuer else "no trusted-issuer has this url"
    times = ", ".join(f"{name} {show_time(claims[name])}" for name in ("nbf", "iat", "exp") if name in claims)
    audience = f"{show(claims.get('aud'))}, expected {show(issuer.audience)}" if issuer else show(claims.get("aud"))
    return {
        "form": f"{len(header)} members in the header, {len(claims)} claims" if claims else "",
        "issuer": f"{show(claims.get('iss'))}: {known}",
        "header": ", ".join(f"{name} {show(header[name])}" for name in ("alg", "kid", "typ") if name in header),
        "signature": f"key {show(header.get('kid'))}",
        "times": times,
        "audience": audience,
        "subject": show(claims.get("sub")),
    }


def _until(step: str, facts: Mapping[str, str], outcome: Outcome, reason: str) -> Iterator[Finding]:
    """Yield the steps: right before this one, not looked at after it."""
    at = [*facts].index(step)
    for number, (name, detail) in enumerate(facts.items()):
        if number < at:
            yield Finding(name, "right", detail)
        elif number == at:
            yield Finding(name, outcome, f"{reason} ({detail})" if detail else reason)
        else:
            yield Finding(name, "not looked at", detail)


def _look_at_replay(settings: Settings, verified: VerifiedClaims, broker: Broker | None) -> Finding:
    if settings.replay_of(verified.issuer) == "until-exp":
        return Finding("replay", "right", "accepted until it expires")
    if broker is None:
        return Finding("replay", "not known", "accepted once; the broker's database knows whether it was used")
    with broker.store.reading() as connection:
        if was_used(connection, verified.replay_key):
            return Finding("replay", "wrong", "the identity token was used before: it is accepted once")
    return Finding("replay", "right", "accepted once, and not used yet")


def _describe_access(broker: Broker, token: AccessToken, index: GuardedIndex) -> Iterator[Finding]:
    is_revoked = broker.revocations.has(token)
    is_over = token.expires_at <= broker.now()
    yield Finding("index", "right" if token.audience == index.resource else "wrong", token.audience)
    yield Finding("scope", "right", " ".join(sorted(token.scopes)))
    for scope, projects in sorted(token.projects.items()):
        yield Finding("projects", "right", f"{scope}: {', '.join(sorted(projects))}")
    yield Finding("policy", "right", token.policy)
    yield Finding("times", "wrong" if is_over else "right", f"exp {show_time(token.expires_at)}")
    yield Finding("revoked", "wrong" if is_revoked else "right", "revoked" if is_revoked else "not revoked")
