"""What in good settings is probably not meant: policies that never decide, issuers that nobody needs, open patterns.

These are doubts, found without running anything. This module never refuses settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from indexpass.broker.settings import ANYONE, People, Workload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from indexpass.broker.settings import Policy, Settings

_PROBES = ("x", "refs/heads/some-9/branch", "0", "~ A_z?")  # who matches all of these matches everything


class Doubt(NamedTuple):
    """A table that is probably not meant as it stands: ``[[policy]] "name"``, the key, what is odd, and the fix."""

    where: str
    key: str
    problem: str
    hint: str


def find_doubts(settings: Settings) -> Iterator[Doubt]:
    """Yield what is probably not meant."""
    for number, policy in enumerate(settings.policies):
        where = f"[[policy]] {number + 1}"
        stronger = _find_stronger(settings.policies, number)
        if stronger:
            problem = f'it never decides: "{stronger.name}" grants the same without it'
            yield Doubt(where, "name", problem, "remove it, or put the narrower policy first")
        if isinstance(policy.who, Workload):
            for key, pattern in policy.who.patterns.items():
                if all(pattern.fullmatch(probe) for probe in _PROBES):
                    yield Doubt(where, f"patterns.{key}", "it matches every value", "name the values that you mean")
        elif policy.who.groups and settings.company is None:
            problem = "nobody is in a group: only people who sign in through a company are"
            yield Doubt(where, "groups", problem, "add a table [company], or name users")
    used = {policy.who.issuer for policy in settings.policies if isinstance(policy.who, Workload)}
    for number, issuer in enumerate(settings.trusted_issuers, 1):
        if issuer.name not in used:
            yield Doubt(f"[[trusted-issuer]] {number}", "name", "no policy is for it", "add a policy, or remove it")


def _find_stronger(policies: tuple[Policy, ...], number: int) -> Policy | None:
    """Return a policy that decides wherever the one of this number could, or None.

    One for all projects stands in the way of later ones for all, and of all that are for some.
    """
    policy = policies[number]
    rivals = policies[:number] if policy.projects is None else policies[:number] + policies[number + 1 :]
    for rival in rivals:
        is_for_more = rival.index == policy.index and rival.operations >= policy.operations and rival.projects is None
        if is_for_more and _is_meant_too(rival.who, policy.who):
            return rival
    return None


def _is_meant_too(wider: People | Workload, narrower: People | Workload) -> bool:
    """Is everybody whom ``narrower`` means also meant by ``wider``?"""
    if isinstance(wider, People) and isinstance(narrower, People):
        return ANYONE in wider.names or (wider.names >= narrower.names and wider.groups >= narrower.groups)
    if isinstance(wider, Workload) and isinstance(narrower, Workload):
        return (
            wider.issuer == narrower.issuer
            and wider.claims.items() <= narrower.claims.items()
            and wider.patterns.items() <= narrower.patterns.items()
            and wider.refused.items() <= narrower.refused.items()
        )
    return False
