"""What in good settings is probably not meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from indexpass.broker.review import find_doubts
from indexpass.broker.settings.file import parse

HEAD = """
issuer = "https://tokens.acme.example"
[[index]]
name = "acme"
url = "https://packages.acme.example/simple/"
[[trusted-issuer]]
name = "ci"
url = "https://ci.acme.example"
"""
USES_CI = ("ci-job", "issuer = 'ci'", "claims = { project = 'only-this-one' }")


def doubts(*policies: tuple[str, ...]) -> list[str]:
    tables = [
        "\n".join(["[[policy]]", f"name = '{name}'", "index = 'acme'", "operations = ['upload']", *lines, ""])
        for name, *lines in (*policies, USES_CI)
    ]
    settings = parse(HEAD + "".join(tables), file=Path("broker.toml"))
    return [f"{doubt.where} {doubt.key}: {doubt.problem}" for doubt in find_doubts(settings)]


ALL = ("users = ['*']",)
ALICE = ("users = ['alice']",)
TOOLS = "projects = ['tools']"
MAIN = ("issuer = 'ci'", "claims = { project = '1', ref = 'main' }")
ANY_REF = ("issuer = 'ci'", "claims = { project = '1' }")


@pytest.mark.parametrize(
    ("first", "second", "which"),
    [
        (ALL, ALICE, "[[policy]] 2"),
        (ALICE, (*ALICE, "lifetime = '5m'"), "[[policy]] 2"),
        (ANY_REF, MAIN, "[[policy]] 2"),
        (ALL, (*ALICE, TOOLS), "[[policy]] 2"),
        ((*ALICE, TOOLS), ALL, "[[policy]] 1"),
    ],
    ids=["for all", "the same again", "fewer claims", "for some projects", "for some projects before one for all"],
)
def test_a_policy_that_never_decides_is_doubted(first: tuple[str, ...], second: tuple[str, ...], which: str) -> None:
    found = doubts(("a", *first), ("b", *second))
    assert [each.partition(" name:")[0] for each in found] == [which]
    assert "it never decides" in found[0]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (ALICE, ALL),
        (MAIN, ANY_REF),
        (ALL, MAIN),
        ((*ALL, TOOLS), ALICE),
        ((*ALL, TOOLS), (*ALICE, TOOLS)),
        (("issuer = 'ci'", "patterns = { ref = 'v.*' }"), ("issuer = 'ci'", "patterns = { ref = 'v1.*' }")),
    ],
    ids=["wider", "fewer claims", "workloads", "all projects", "both add up", "other patterns"],
)
def test_a_policy_that_can_decide_is_not_doubted(first: tuple[str, ...], second: tuple[str, ...]) -> None:
    assert [each for each in doubts(("a", *first), ("b", *second)) if "decides" in each] == []


@pytest.mark.parametrize(("pattern", "is_open"), [(".*", True), (".+", True), ("(?s:.)+", True), ("refs/.*", False)])
def test_a_pattern_that_matches_everything_is_doubted(pattern: str, *, is_open: bool) -> None:
    found = doubts(("a", "issuer = 'ci'", f"patterns = {{ ref = '{pattern}' }}"))
    assert found == (["[[policy]] 1 patterns.ref: it matches every value"] if is_open else [])


def test_groups_without_a_company_are_doubted() -> None:
    assert "nobody is in a group" in doubts(("a", "groups = ['devs']"))[0]


def test_an_issuer_that_no_policy_is_for_is_doubted() -> None:
    settings = parse(HEAD, file=Path("broker.toml"))
    assert [doubt.problem for doubt in find_doubts(settings)] == ["no policy is for it"]
