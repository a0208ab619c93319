"""Tokens that are bound to projects: what stands in them, and that they are never too large."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jwt
import pytest

if TYPE_CHECKING:
    from servers.brokers import StartBroker
    from servers.issuers import Issuer

POLICY = """
[[policy]]
name = "{name}"
index = "acme"
operations = ["upload"]
issuer = "ci"
claims = { project_id = "1234" }
projects = {projects}
"""


def policy(name: str, *projects: str) -> str:
    return POLICY.replace("{name}", name).replace("{projects}", str(list(projects)))


@pytest.mark.parametrize(
    ("scope", "projects"),
    [
        ("pypi:write", {"pypi:write": ["acme-docs", "acme-tools"]}),
        ("pypi:read pypi:write", {"pypi:write": ["acme-docs", "acme-tools"]}),
        ("pypi:read", None),
    ],
    ids=["the scope that is bound", "beside one that is not", "only the one that is not"],
)
def test_a_token_names_the_projects_of_each_scope_that_is_bound(
    start_broker: StartBroker, issuer: Issuer, scope: str, projects: object
) -> None:
    broker = start_broker(issuer.reading_policy + policy("tools", "Acme_Tools") + policy("docs", "acme.docs"))
    answer = broker.exchange(issuer.token(aud=broker.url), scope=scope).json()
    claims = jwt.decode(answer["access_token"], options={"verify_signature": False})
    assert claims.get("projects") == projects
    assert answer["scope"] == scope


def test_more_projects_than_a_token_can_carry_are_a_refusal_that_spends_nothing(
    start_broker: StartBroker, issuer: Issuer
) -> None:
    many = [policy(f"team-{team}", *(f"acme-library-{team}-{number}" for number in range(15))) for team in range(5)]
    broker = start_broker(issuer.reading_policy + "".join(many))
    token = issuer.token(aud=broker.url)
    refused = broker.exchange(token, scope="pypi:write")
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_target")
    assert "too many projects" in refused.json()["error_description"]
    assert broker.exchange(token, scope="pypi:read").status_code == 200
