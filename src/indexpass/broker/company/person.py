"""Who somebody is, from claims that were verified: subject, user name and groups.

Claims are looked at with care all the same: at some companies people write parts of them. This module never asks the
provider anything, and never says what the person may do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from indexpass.broker.trust.claims import find_claim

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass.broker.settings import Company

MAX_GROUPS = 200
# As of our own users, and what addresses have beside: no colon, by which workloads are told from people.
_USER_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")


class CompanyRefused(Exception):
    """Nobody was signed in. The text says why, and quotes nothing of an answer but the places that it names.

    ``told`` is what the person reads, ``status`` that of the page.
    """

    def __init__(self, reason: str, told: str, *, status: int = 403, who: str = "") -> None:
        """Keep the reason for the audit, the words for the person, and the person's name where that is known."""
        super().__init__(reason)
        self.told = told
        self.status = status
        self.who = who


@dataclass(frozen=True, slots=True)
class CompanyPerson:
    """A person of the company: issuer and subject are who it is, the name is what the company calls them now."""

    issuer: str
    subject: str
    name: str
    groups: frozenset[str]


def read_person(claims: Mapping[str, object], company: Company) -> CompanyPerson:
    """Return the person. Raises CompanyRefused if the claims name nobody who may sign in."""
    name = _name(claims, company)
    groups = _groups(claims, company)
    if company.required_groups and not company.required_groups & groups:
        told = f"{company.name} knows you as {name}, but in none of the groups that may sign in here."
        raise CompanyRefused("the person is in none of the required-groups", told, who=name)
    return CompanyPerson(company.issuer, str(claims["sub"]), name, groups)


def _name(claims: Mapping[str, object], company: Company) -> str:
    """Return the user name that the first of the name claims makes."""
    for claim in company.name_claims:
        value = find_claim(claims, claim)
        if value is None or (claim == "email" and claims.get("email_verified") is not True):
            continue  # an address that nobody verified may be that of a colleague
        name = value.lower() if isinstance(value, str) and value.isascii() else ""
        if not _USER_NAME.fullmatch(name):
            raise CompanyRefused(
                f"the claim {claim} is not a user name",
                f"{company.name} knows you by a name that cannot be a user name here: up to 64 letters, digits, dots, "
                "dashes, underscores and plus and at signs.",
            )
        return name
    missing = " and no ".join("verified email" if claim == "email" else claim for claim in company.name_claims)
    raise CompanyRefused(f"there is no {missing}", f"{company.name} did not say what you are called.")


def _groups(claims: Mapping[str, object], company: Company) -> frozenset[str]:
    """Return all groups that the company says; none if it says nothing."""
    value = find_claim(claims, company.groups_claim)
    groups = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        raise CompanyRefused(
            f"the claim {company.groups_claim} is not a list of texts",
            f"{company.name} lists your groups in a way that is not known here.",
        )
    elsewhere = claims.get("_claim_names")  # OpenID Connect Core section 5.6.2; Entra does so beyond 200 groups
    is_elsewhere = isinstance(elsewhere, dict) and company.groups_claim in elsewhere
    if is_elsewhere or len(groups) > MAX_GROUPS:
        raise CompanyRefused(
            f"there are more than {MAX_GROUPS} groups",
            f"You are in too many groups: {company.name} has to send only those that matter here.",
        )
    return frozenset(groups)
