from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from pathlib import Path

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexpass._secret import Secret
from indexpass.broker.settings.file import parse
from indexpass.broker.trust.verify import Unverified, VerifiedClaims, Verifier
from indexpass.errors import BrokerMisbehaved, BrokerUnreachable
from servers.issuers import AUDIENCE, Issuer

NOW = 1_800_000_000.0
SETTINGS = parse(
    f"""
issuer = "{AUDIENCE}"
[[trusted-issuer]]
name = "ci"
url = "https://ci.acme.example"
""",
    file=Path("broker.toml"),
)


class Desk:
    """A verifier with an issuer and a clock of its own."""

    def __init__(self) -> None:
        self.now = NOW
        self.issuer = Issuer()
        self.verifier = Verifier(SETTINGS, http=self.issuer, now=lambda: self.now)

    def verify(self, token: Secret | None = None, **claims: object) -> VerifiedClaims:
        return self.verifier.verify(token or self.issuer.token(now=self.now, **claims))  # type: ignore[arg-type]

    @property
    def fetches(self) -> int:
        return self.issuer.fetched.count("https://ci.acme.example/keys")


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture(scope="module")
def shared_desk() -> Desk:
    return Desk()


def test_a_good_token_yields_its_claims(desk: Desk) -> None:
    verified = desk.verify()
    assert (verified.issuer, verified.subject) == ("ci", "repo:acme/tools")
    assert verified.claims["project_id"] == "1234"


def test_an_audience_alone_in_a_list_is_single(desk: Desk) -> None:
    assert desk.verify(aud=[AUDIENCE])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"aud": "https://elsewhere.example"}, "audience"),
        ({"aud": [AUDIENCE, "https://elsewhere.example"]}, "audience"),
        ({"aud": []}, "audience"),
        ({"iss": "https://ci.acme.example/"}, "issuer"),
        ({"iss": "https://evil.example"}, "issuer"),
        ({"exp": NOW - 31}, "expired"),
        ({"exp": "never"}, "numbers"),
        ({"exp": float("nan")}, "numbers"),
        ({"exp": float("inf")}, "numbers"),
        ({"iat": NOW + 31}, "not valid yet"),
        ({"nbf": NOW + 31}, "not valid yet"),
        ({"iat": True}, "numbers"),
        ({"sub": ""}, "subject"),
        ({"sub": "x" * 256}, "subject"),
        ({"sub": "a\nb"}, "subject"),
        ({"without": ("exp",)}, "exp is missing"),
        ({"without": ("iat",)}, "iat is missing"),
        ({"without": ("aud",)}, "aud is missing"),
        ({"without": ("iss",)}, "issuer"),
        ({"without": ("sub",)}, "sub is missing"),
        ({"kid": None}, "header"),
        ({"kid": "unknown"}, "key"),
        ({"headers": {"crit": ["x"], "x": 1}}, "not a JWT"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_token_that_is_not_right_is_not_believed(desk: Desk, change: dict[str, object], reason: str) -> None:
    with pytest.raises(Unverified, match=reason):
        desk.verify(**change)


@pytest.mark.parametrize("change", [{"exp": NOW - 29}, {"iat": NOW + 29}, {"nbf": NOW + 29}], ids=str)
def test_clocks_may_differ_by_half_a_minute(desk: Desk, change: dict[str, object]) -> None:
    assert desk.verify(**change)


def test_a_token_that_another_key_signed_is_not_believed(desk: Desk) -> None:
    stranger = Issuer()
    with pytest.raises(Unverified, match="signature"):
        desk.verify(stranger.token(now=NOW))


def test_a_public_key_is_no_password(desk: Desk) -> None:
    claims = {"iss": desk.issuer.url, "sub": "x", "aud": AUDIENCE, "iat": NOW, "exp": NOW + 300}
    token = jwt.encode(claims, b"whatever is public, as a shared secret", "HS256", headers={"kid": "first"})
    with pytest.raises(Unverified, match="header"):
        desk.verify(Secret(token))


def test_an_extension_is_refused_even_if_the_library_knows_it(desk: Desk) -> None:
    header = {"alg": "RS256", "kid": "first", "crit": ["b64"], "b64": True}
    parts = (json.dumps(part).encode() for part in (header, {"iss": desk.issuer.url}))
    token = ".".join([*(urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts), "AA"])
    with pytest.raises(Unverified, match="extension"):
        desk.verify(Secret(token))


def test_an_unsigned_token_is_not_believed(desk: Desk) -> None:
    token = jwt.encode({"iss": desk.issuer.url}, None, "none", headers={"kid": "first"})
    with pytest.raises(Unverified, match="header"):
        desk.verify(Secret(token))


@pytest.mark.parametrize(
    "text",
    ["", "x", "a.b.c", "\udcff", "x" * 20_000, urlsafe_b64encode(b"[" * 9_000).decode() + ".e30.AA"],
    ids=["empty", "short", "dots", "bytes", "long", "nested"],
)
def test_what_is_no_jwt_is_not_believed(desk: Desk, text: str) -> None:
    with pytest.raises(Unverified):
        desk.verifier.verify(Secret(text))


@given(st.text())
def test_any_text_is_refused(shared_desk: Desk, text: str) -> None:
    with pytest.raises(Unverified):
        shared_desk.verifier.verify(Secret(text))


def test_a_token_names_no_keys_of_its_own(desk: Desk) -> None:
    desk.verify(headers={"jku": "https://evil.example/keys"})
    assert set(desk.issuer.fetched) == {
        "https://ci.acme.example/.well-known/openid-configuration",
        "https://ci.acme.example/keys",
    }


def test_nothing_is_fetched_for_an_issuer_that_is_not_trusted(desk: Desk) -> None:
    with pytest.raises(Unverified):
        desk.verify(iss="https://evil.example")
    assert desk.issuer.fetched == []


def test_keys_are_kept_for_five_minutes(desk: Desk) -> None:
    for later in (0, 100, 299):
        desk.now = NOW + later
        desk.verify()
    assert desk.fetches == 1
    desk.now = NOW + 300
    desk.verify()
    assert desk.fetches == 2


def test_a_new_key_is_found_after_the_cool_down(desk: Desk) -> None:
    desk.verify()
    desk.issuer.add_key("second")
    desk.now += 61
    assert desk.verify(kid="second")


def test_made_up_key_names_are_no_stream_of_requests(desk: Desk) -> None:
    desk.verify()
    for number in range(50):
        with pytest.raises(Unverified, match="key"):
            desk.verify(kid=f"made-up-{number}")
    assert desk.fetches == 1


def test_the_last_keys_serve_for_an_hour_when_the_issuer_is_down(desk: Desk) -> None:
    desk.verify()
    desk.issuer.failure = BrokerUnreachable("it is down")
    desk.now = NOW + 3599
    assert desk.verify()
    desk.now = NOW + 3610
    with pytest.raises(BrokerUnreachable):
        desk.verify()


def test_an_issuer_that_is_down_is_not_asked_by_everybody(desk: Desk) -> None:
    desk.issuer.failure = BrokerUnreachable("it is down")
    for _ in range(10):
        with pytest.raises(BrokerUnreachable):
            desk.verify()
    assert len(desk.issuer.fetched) == 1


def test_metadata_of_another_issuer_is_refused(desk: Desk) -> None:
    url = "https://ci.acme.example/.well-known/openid-configuration"
    desk.issuer.documents[url] = {"issuer": "https://evil.example", "jwks_uri": "https://ci.acme.example/keys"}
    with pytest.raises(BrokerMisbehaved, match="another issuer"):
        desk.verify()


def test_keys_are_not_fetched_without_encryption(desk: Desk) -> None:
    url = "https://ci.acme.example/.well-known/openid-configuration"
    desk.issuer.documents[url] = {"issuer": "https://ci.acme.example", "jwks_uri": "http://ci.acme.example/keys"}
    with pytest.raises(BrokerMisbehaved, match="not encrypted"):
        desk.verify()


@pytest.mark.parametrize(
    "entry",
    ["text", {"kty": "oct", "k": "eA", "kid": "first"}, {"kty": "RSA", "kid": "first"}, {"kty": "EC", "kid": 7}, {}],
    ids=["no object", "shared secret", "incomplete", "no name", "empty"],
)
def test_keys_of_no_use_are_passed_over(desk: Desk, entry: object) -> None:
    desk.issuer.documents["https://ci.acme.example/keys"] = {"keys": [entry]}
    with pytest.raises(Unverified, match="key"):
        desk.verify()


def test_two_uses_of_a_token_have_the_same_replay_key(desk: Desk) -> None:
    token = desk.issuer.token(now=NOW)
    assert desk.verify(token).replay_key == desk.verify(token).replay_key


def test_two_tokens_with_the_same_jti_have_the_same_replay_key(desk: Desk) -> None:
    assert desk.verify(jti="1", sub="a").replay_key == desk.verify(jti="1", sub="b").replay_key


def test_a_token_is_remembered_until_the_leeway_after_its_end(desk: Desk) -> None:
    assert desk.verify(exp=NOW + 300).expires_at == NOW + 330
