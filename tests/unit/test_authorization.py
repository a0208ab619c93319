"""The messages of a sign-in in the browser: what is asked, and which answers are believed."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexpass._authorization import (
    AuthorizationRequest,
    answer_url,
    challenge_of,
    new_state,
    new_verifier,
    parse_answer,
    parse_query,
)
from indexpass._secret import Secret
from indexpass.errors import BrokerMisbehaved, BrokerRefused, IndexpassError

ISSUER = "https://tokens.acme.example"
STATE = "the-state"
RIGHT = {"code": "canary-code", "state": STATE, "iss": ISSUER}


def parse(**changes: str) -> Secret | None:
    answer = {name: value for name, value in {**RIGHT, **changes}.items() if value}
    return parse_answer(urlencode(answer), state=STATE, issuer=ISSUER)


def test_the_challenge_is_the_one_of_the_standard_s_example() -> None:
    verifier = Secret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")  # RFC 7636 appendix B
    assert challenge_of(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_no_two_requests_have_a_state_or_a_verifier_in_common() -> None:
    assert len({new_state() for _ in range(100)}) == 100
    assert len({new_verifier().reveal() for _ in range(100)}) == 100


def test_a_verifier_is_as_long_as_the_standard_wants() -> None:
    assert 43 <= len(new_verifier().reveal()) <= 128


def test_a_request_asks_for_a_code_bound_by_s256() -> None:
    query = AuthorizationRequest("http://127.0.0.1:1/callback", "https://i.example/", "pypi:read", STATE, "c").query
    assert {name: value for name, (value,) in parse_qs(query).items()} == {
        "response_type": "code",
        "client_id": "indexpass",
        "redirect_uri": "http://127.0.0.1:1/callback",
        "resource": "https://i.example/",
        "scope": "pypi:read",
        "state": STATE,
        "code_challenge": "c",
        "code_challenge_method": "S256",
    }


def test_an_answer_brings_the_code() -> None:
    assert parse() == Secret("canary-code")


def test_what_the_broker_sends_is_what_the_program_reads() -> None:
    url = answer_url("http://127.0.0.1:1/callback", ISSUER, {"code": "a&b=c", "state": "&= #", "error": ""})
    assert parse_answer(url.partition("?")[2], state="&= #", issuer=ISSUER) == Secret("a&b=c")


@pytest.mark.parametrize("state", ["", "other", "the-stat", "the-state2", "\u00e9"])
def test_an_answer_to_another_request_is_not_ours(state: str) -> None:
    assert parse(state=state) is None


@pytest.mark.parametrize("twice", ["state=the-state", "iss=https%3A%2F%2Fevil.example", "code=other"])
def test_an_answer_that_says_a_thing_twice_is_not_ours(twice: str) -> None:
    assert parse_answer(f"{urlencode(RIGHT)}&{twice}", state=STATE, issuer=ISSUER) is None


@pytest.mark.parametrize(
    "issuer",
    ["", "https://evil.example", "https://tokens.acme.example.evil.example", f"{ISSUER}/other", ISSUER.upper()],
    ids=["none", "other", "begins-alike", "other-path", "upper-case"],
)
@pytest.mark.parametrize("kind", [{}, {"error": "access_denied", "code": ""}], ids=["code", "error"])
def test_an_answer_from_another_broker_is_never_used(issuer: str, kind: dict[str, str]) -> None:
    with pytest.raises(BrokerMisbehaved, match="another broker"):
        parse(iss=issuer, **kind)


def test_a_trailing_slash_does_not_make_another_broker() -> None:
    assert parse(iss=f"{ISSUER}/") == Secret("canary-code")


def test_a_refusal_keeps_its_reason_and_words() -> None:
    with pytest.raises(BrokerRefused, match="no such index") as caught:
        parse(code="", error="invalid_target", error_description="no such index")
    assert caught.value.reason == "invalid_target"


def test_an_error_beside_a_code_is_a_refusal() -> None:
    with pytest.raises(BrokerRefused):
        parse(error="server_error")


def test_an_answer_without_a_code_is_misbehaviour() -> None:
    with pytest.raises(BrokerMisbehaved, match="without a code"):
        parse(code="")


@given(query=st.text() | st.text(alphabet="state=the-state&iss%codeerror_"))
def test_whatever_comes_is_none_a_secret_or_an_error_of_ours(query: str) -> None:
    found = None
    with suppress(IndexpassError):
        found = parse_answer(query, state=STATE, issuer=ISSUER)
    assert found is None or isinstance(found, Secret)


@given(description=st.text(max_size=600))
def test_a_refusal_never_moves_the_cursor(description: str) -> None:
    with pytest.raises(BrokerRefused) as caught:
        parse(code="", error="invalid_scope", error_description=description)
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("query", ["a=1&a=2", "a=%ff", "&".join(f"a{number}=1" for number in range(40))])
def test_a_query_that_can_be_read_in_two_ways_is_none(query: str) -> None:
    assert parse_query(query) is None
