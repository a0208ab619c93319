"""Who may do what: one question, answered from the settings alone. What no policy grants is denied.

This module does no I/O and can only be asked about somebody who was verified.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from indexpass.broker.settings import ANYONE, GuardedIndex, People, Policy, Workload
from indexpass.broker.trust.claims import find_claim
from indexpass.broker.trust.verify import VerifiedClaims

if TYPE_CHECKING:
    from collections.abc import Iterator

    from indexpass._model import Operation
    from indexpass.broker.settings import Settings

MAX_MATCHED_LENGTH = 512  # no claim that a pattern is tried on is longer


@dataclass(frozen=True, slots=True)
class Person:
    """A person who has signed in; the groups are those that the company named then."""

    name: str
    groups: frozenset[str] = frozenset()


Subject = Person | VerifiedClaims


@dataclass(frozen=True, slots=True)
class Grant:
    """Yes: for so many seconds, by the policies of these names, for these projects or, if None, for all."""

    policy: str
    seconds: int
    projects: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Denial:
    """No, and why."""

    reason: str


class Mismatch(NamedTuple):
    """One reason why a policy is not for somebody: what differs, what the policy wants, and what was found."""

    what: str
    expected: object
    found: object


def decide(settings: Settings, subject: Subject, index: GuardedIndex, operation: Operation) -> Grant | Denial:
    """Say whether ``subject`` may do ``operation`` on ``index``.

    The first policy in the file that is for all projects decides alone. If there is none, all that are for some
    projects add up: their names together, and the shortest of their lives.
    """
    meant = [
        policy for policy in settings.policies if next(mismatches(policy, subject, index, operation), None) is None
    ]
    if not meant:
        return Denial(f"no policy lets {describe(subject)} {operation} {index.name}")
    for policy in meant:
        if policy.projects is None:
            return Grant(policy.name, _seconds(policy, index, operation))
    return Grant(
        policy=" ".join(policy.name for policy in meant),
        seconds=min(_seconds(policy, index, operation) for policy in meant),
        projects=frozenset[str]().union(*(policy.projects or () for policy in meant)),
    )


def mismatches(policy: Policy, subject: Subject, index: GuardedIndex, operation: Operation) -> Iterator[Mismatch]:
    """Yield every reason why the policy does not grant this; nothing if it does."""
    if policy.index != index.name:
        yield Mismatch("index", policy.index, index.name)
    if operation not in policy.operations:
        yield Mismatch("operation", " or ".join(sorted(policy.operations)), operation)
    if isinstance(policy.who, People):
        yield from _mismatched_person(policy.who, subject)
    else:
        yield from _mismatched_workload(policy.who, subject)


def describe(subject: Subject) -> str:
    """Name the subject for the audit and as ``sub`` of its tokens: people plainly, workloads after their issuer.

    A user's name has no colon, so that a workload cannot look like a person.
    """
    return subject.name if isinstance(subject, Person) else f"{subject.issuer}:{subject.subject}"


def _seconds(policy: Policy, index: GuardedIndex, operation: Operation) -> int:
    seconds = index.seconds(operation)
    return seconds if policy.seconds is None else min(seconds, policy.seconds)


def _mismatched_person(who: People, subject: Subject) -> Iterator[Mismatch]:
    if not isinstance(subject, Person):
        yield Mismatch("who", "a person", "a workload")
    elif not ({ANYONE, subject.name} & who.names or subject.groups & who.groups):
        if who.names:
            yield Mismatch("user", " or ".join(sorted(who.names)), subject.name)
        if who.groups:
            yield Mismatch("group", " or ".join(sorted(who.groups)), " and ".join(sorted(subject.groups)) or None)


def _mismatched_workload(who: Workload, subject: Subject) -> Iterator[Mismatch]:
    if not isinstance(subject, VerifiedClaims):
        yield Mismatch("who", "a workload", "a person")
        return
    if subject.issuer != who.issuer:
        yield Mismatch("issuer", who.issuer, subject.issuer)
        return  # another issuer's claims mean something else
    for key, value in who.claims.items():
        found = find_claim(subject.claims, key)
        if type(found) is not type(value) or found != value:  # 1, true and 1.0 are three different claims
            yield Mismatch(key, value, found)
    for key, pattern in who.patterns.items():
        found = find_claim(subject.claims, key)
        if not isinstance(found, str) or len(found) > MAX_MATCHED_LENGTH or not pattern.fullmatch(found):
            yield Mismatch(key, pattern, found)
    for key, unwanted in who.refused.items():
        if find_claim(subject.claims, key) == unwanted:
            yield Mismatch(key, f"not {unwanted}, unless the policy names {key}", unwanted)
