from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

import pytest

from indexpass.broker.policy import Denial, Grant, Person, Subject, decide, describe
from indexpass.broker.settings.file import parse
from indexpass.broker.trust.verify import VerifiedClaims

SETTINGS = parse(
    """
issuer = "https://tokens.acme.example"
[[index]]
name = "acme"
url = "https://packages.acme.example/simple/"
[[index]]
name = "lab"
url = "https://lab.acme.example/simple/"
[[trusted-issuer]]
name = "ci"
url = "https://ci.acme.example"
[[trusted-issuer]]
name = "cloud"
url = "https://cloud.acme.example"
[[policy]]
name = "staff"
index = "acme"
operations = ["read"]
users = ["*"]
[[policy]]
name = "maintainers"
index = "acme"
operations = ["read", "upload"]
users = ["alice"]
lifetime = "5m"
[[policy]]
name = "release"
index = "acme"
operations = ["upload"]
issuer = "ci"
claims = { project_id = "1234", protected = true }
lifetime = "2h"
""",
    file=Path("broker.toml"),
)


def workload(issuer: str = "ci", **claims: object) -> VerifiedClaims:
    all_claims = {"project_id": "1234", "protected": True, "ref": "main", **claims}
    return VerifiedClaims(issuer, "repo:acme/tools", MappingProxyType(all_claims), "key", 0.0)


def ask(subject: Subject, index: str, operation: str) -> Grant | Denial:
    found = SETTINGS.index_named(index)
    assert found is not None
    return decide(SETTINGS, subject, found, operation)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("subject", "operation", "grant"),
    [
        (Person("bob"), "read", Grant("staff", 3600)),
        (Person("alice"), "read", Grant("staff", 3600)),
        (Person("alice"), "upload", Grant("maintainers", 300)),
        (workload(), "upload", Grant("release", 900)),
    ],
    ids=["anybody", "the first policy wins", "a policy shortens the life", "a policy never lengthens it"],
)
def test_what_a_policy_allows_is_granted(subject: Subject, operation: str, grant: Grant) -> None:
    assert ask(subject, "acme", operation) == grant


@pytest.mark.parametrize(
    ("subject", "index", "operation"),
    [
        (Person("bob"), "acme", "upload"),
        (Person("alice"), "lab", "read"),
        (workload(), "acme", "read"),
        (workload(project_id="12345"), "acme", "upload"),
        (workload(project_id=1234), "acme", "upload"),
        (workload(project_id=["1234"]), "acme", "upload"),
        (workload(project_id=None), "acme", "upload"),
        (workload(protected="true"), "acme", "upload"),
        (workload(protected=1), "acme", "upload"),
        (workload("cloud"), "acme", "upload"),
    ],
    ids=[
        "another person",
        "another index",
        "another operation",
        "a longer claim",
        "a number for a text",
        "a list of it",
        "no such claim",
        "a text for a boolean",
        "one for true",
        "another issuer",
    ],
)
def test_what_no_policy_allows_is_denied(subject: Subject, index: str, operation: str) -> None:
    assert isinstance(ask(subject, index, operation), Denial)


def test_policies_for_all_people_are_not_for_workloads() -> None:
    assert isinstance(ask(workload(), "acme", "read"), Denial)


def test_a_person_is_not_a_workload_of_the_same_name() -> None:
    assert describe(Person("alice")) != describe(VerifiedClaims("ci", "alice", MappingProxyType({}), "", 0.0))
