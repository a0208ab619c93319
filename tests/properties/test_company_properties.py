"""Whatever a browser or a provider says, a sign-in at the company ends with a person or with CompanyRefused."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexpass._model import Answer
from indexpass._secret import Secret
from indexpass.broker.company.person import CompanyPerson, CompanyRefused
from indexpass.broker.company.sign_in import CompanySignIn
from indexpass.broker.settings import file as settings_file
from servers.companies import Company

BROKER = """
issuer = "http://127.0.0.1:8443"

[[index]]
name = "acme"
url = "http://127.0.0.1:8443/simple/"

[[policy]]
name = "developers"
index = "acme"
operations = ["read"]
groups = ["python-devs"]
"""
CANARY = "canary-of-the-provider"
COMPANY = Company()  # one for all: making its key takes longer than anything else here
CLAIMS = dict(COMPANY.claims)
METADATA = dict(COMPANY.metadata)
json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(CANARY),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


def members(*names: str) -> st.SearchStrategy[dict[str, object]]:
    return st.dictionaries(st.sampled_from(names), json, max_size=len(names))


def sign_in() -> CompanySignIn:
    COMPANY.claims, COMPANY.userinfo, COMPANY.token_answer = dict(CLAIMS), {"sub": "u-1001"}, None
    COMPANY.metadata.clear()
    COMPANY.metadata.update(METADATA)
    settings = settings_file.parse(BROKER + COMPANY.settings, file=Path("/nowhere/broker.toml"))
    assert settings.company
    return CompanySignIn(settings, settings.company, cookie_secret=Secret("secret"), http=COMPANY, now=time.time)


def finish(broker: CompanySignIn, **answer: str) -> CompanyPerson | None:
    """Go through a sign-in; return None if it was refused, in words that quote nothing."""
    try:
        url, state = broker.begin()
        return broker.finish(state, {**COMPANY.agree(url), **answer})
    except CompanyRefused as error:
        refused = error
    assert CANARY not in f"{refused}{refused.told}"
    return None


def test_an_honest_provider_signs_a_person_in() -> None:
    person = finish(sign_in())
    assert person is not None
    assert person.name == "alice"


@given(st.dictionaries(st.sampled_from(["code", "error", "iss", "error_description"]), st.text(min_size=1), min_size=1))
def test_whatever_the_browser_brings(answer: dict[str, str]) -> None:
    person = finish(sign_in(), **answer)
    assert person is None or not {"code", "iss"} & set(answer)


@given(json | members("access_token", "id_token", "token_type", "error", "expires_in", "expires_at"))
def test_whatever_the_token_endpoint_answers(body: object) -> None:
    broker = sign_in()
    COMPANY.token_answer = Answer(200, body)
    assert finish(broker) is None


@given(members(*METADATA, "token_endpoint_auth_methods_supported"))
def test_whatever_the_metadata_says(changes: dict[str, object]) -> None:
    broker = sign_in()
    COMPANY.metadata.update(changes)  # type: ignore[arg-type]  # the point of it
    finish(broker)


@given(members("preferred_username", "email", "email_verified", "groups", "_claim_names", "azp", "auth_time"))
def test_whatever_the_claims_say(claims: dict[str, object]) -> None:
    broker = sign_in()
    COMPANY.claims.update(claims)
    person = finish(broker)
    assert person is None or (person.subject == "u-1001" and person.name.isascii() and ":" not in person.name)


@given(json | members("sub", "preferred_username", "email", "email_verified", "groups"))
def test_whatever_the_userinfo_says(body: object) -> None:
    broker = sign_in()
    del COMPANY.claims["groups"]
    COMPANY.userinfo = body  # type: ignore[assignment]  # the point of it
    person = finish(broker)
    assert person is None or person.name == "alice"


@pytest.mark.parametrize("text", ["%", "a b", "\N{EURO SIGN}", "a&b=c", "\0", "+"])
def test_a_code_arrives_at_the_provider_letter_by_letter(text: str) -> None:
    broker = sign_in()
    COMPANY.received.clear()
    finish(broker, code=text)
    assert COMPANY.received[0][0]["code"] == text
