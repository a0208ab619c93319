from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

import pytest

from indexpass.broker.policy import Denial, Grant, Mismatch, Person, Subject, decide, describe, mismatches
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
[[policy]]
name = "python-group"
index = "lab"
operations = ["upload"]
users = ["carol"]
groups = ["python-devs", "release"]
[[policy]]
name = "tagged"
index = "lab"
operations = ["read"]
issuer = "ci"
claims = { "/pod/0/uid" = "u-1", "/https:~1~1aws.example~1/account" = "12" }
patterns = { ref = "refs/tags/v[0-9.]+" }
[[policy]]
name = "tools"
index = "lab"
operations = ["upload"]
issuer = "cloud"
claims = { team = "a" }
projects = ["Acme_Tools", "acme.lib"]
lifetime = "10m"
[[policy]]
name = "docs"
index = "lab"
operations = ["upload"]
issuer = "cloud"
claims = { site = true }
projects = ["acme-docs"]
lifetime = "5m"
[[policy]]
name = "admin"
index = "lab"
operations = ["upload"]
issuer = "cloud"
claims = { root = true }
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


@pytest.mark.parametrize(
    ("person", "is_granted"),
    [
        (Person("carol"), True),
        (Person("dora", frozenset({"release", "staff"})), True),
        (Person("dora", frozenset({"python-dev"})), False),
        (Person("python-devs"), False),
        (Person("dora", frozenset({"carol"})), False),
    ],
    ids=["by name", "by group", "a shorter group", "a person named as a group", "a group named as a person"],
)
def test_a_policy_means_people_by_name_or_by_group(person: Person, *, is_granted: bool) -> None:
    assert isinstance(ask(person, "lab", "upload"), Grant) is is_granted


NESTED = {"pod": [{"uid": "u-1"}], "https://aws.example/": {"account": "12"}, "ref": "refs/tags/v1.2"}


def test_claims_are_found_by_pointers_and_matched_by_patterns() -> None:
    assert isinstance(ask(workload(**NESTED), "lab", "read"), Grant)


@pytest.mark.parametrize(
    "change",
    [
        {"ref": "refs/tags/v1.2-rc"},
        {"ref": "xrefs/tags/v1.2"},
        {"ref": "refs/tags/v1.2\n"},
        {"ref": "refs/tags/v\u0661"},
        {"ref": ["refs/tags/v1.2"]},
        {"ref": None},
        {"ref": "refs/tags/v" + "1" * 600},
        {"pod": [{"uid": "u-2"}, {"uid": "u-1"}]},
        {"pod": {"1": {"uid": "u-1"}}},
        {"pod": []},
        {"pod": "u-1"},
        {"/pod/0/uid": "u-1", "pod": []},
        {"https://aws.example/": {"account": 12}},
    ],
    ids=[
        "more after it",
        "more before it",
        "a line's end after it",
        "digits of another script",
        "a list",
        "nothing",
        "very long",
        "the second in the list",
        "another name",
        "an empty list",
        "a text in place of a list",
        "a claim that is named like the pointer",
        "a number for a text",
    ],
)
def test_a_claim_is_matched_as_a_whole_and_at_its_place(change: dict[str, object]) -> None:
    assert isinstance(ask(workload(**{**NESTED, **change}), "lab", "read"), Denial)


@pytest.mark.parametrize(
    ("claims", "grant"),
    [
        ({"team": "a"}, Grant("tools", 600, frozenset({"acme-tools", "acme-lib"}))),
        ({"team": "a", "site": True}, Grant("tools docs", 300, frozenset({"acme-tools", "acme-lib", "acme-docs"}))),
        ({"team": "a", "root": True}, Grant("admin", 900)),
    ],
    ids=["one, with normalised names", "two add up", "one for all projects decides alone"],
)
def test_policies_for_projects(claims: dict[str, object], grant: Grant) -> None:
    assert ask(workload("cloud", **claims), "lab", "upload") == grant


def test_a_mismatch_says_what_is_wanted_and_what_was_found() -> None:
    index = SETTINGS.index_named("acme")
    assert index is not None
    release = SETTINGS.policies[2]
    assert list(mismatches(release, workload(project_id="9", protected=True), index, "read")) == [
        Mismatch("operation", "upload", "read"),
        Mismatch("project_id", "1234", "9"),
    ]
