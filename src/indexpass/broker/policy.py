"""Who may do what: one question, answered from the settings alone. What no policy grants is denied.

This module does no I/O and can only be asked about somebody who was verified.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from indexpass.broker.settings import ANYONE, GuardedIndex, People, Workload
from indexpass.broker.trust.verify import VerifiedClaims

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass._model import Operation
    from indexpass.broker.settings import Settings


@dataclass(frozen=True, slots=True)
class Person:
    """A person who has signed in."""

    name: str


Subject = Person | VerifiedClaims


@dataclass(frozen=True, slots=True)
class Grant:
    """Yes: for so many seconds, by the policy of this name."""

    policy: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Denial:
    """No, and why."""

    reason: str


def decide(settings: Settings, subject: Subject, index: GuardedIndex, operation: Operation) -> Grant | Denial:
    """Say whether ``subject`` may do ``operation`` on ``index``: by the first policy in the file that says so."""
    for policy in settings.policies:
        if policy.index == index.name and operation in policy.operations and _means(policy.who, subject):
            seconds = index.seconds(operation)
            return Grant(policy.name, seconds if policy.seconds is None else min(seconds, policy.seconds))
    return Denial(f"no policy lets {describe(subject)} {operation} {index.name}")


def describe(subject: Subject) -> str:
    """Name the subject for the audit and as ``sub`` of its tokens: people plainly, workloads after their issuer.

    A user's name has no colon, so that a workload cannot look like a person.
    """
    return subject.name if isinstance(subject, Person) else f"{subject.issuer}:{subject.subject}"


def _means(who: People | Workload, subject: Subject) -> bool:
    if isinstance(who, People):
        return isinstance(subject, Person) and bool({ANYONE, subject.name} & who.names)
    return (
        isinstance(subject, VerifiedClaims)
        and subject.issuer == who.issuer
        and all(_is_exactly(subject.claims, key, value) for key, value in who.claims.items())
    )


def _is_exactly(claims: Mapping[str, object], key: str, value: str | int | bool) -> bool:  # noqa: FBT001  # a claim's value
    found = claims.get(key)
    return type(found) is type(value) and found == value  # 1, true and 1.0 are three different claims
