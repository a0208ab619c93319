from __future__ import annotations

import json
import threading
from base64 import urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, cast

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexpass._secret import Secret
from indexpass.broker.settings.file import parse
from indexpass.broker.trust.jwt_text import NotJwt, read_jwt
from indexpass.broker.trust.verify import STEPS, Unverified, VerifiedClaims, Verifier
from indexpass.errors import BrokerMisbehaved, BrokerUnreachable
from servers.issuers import AUDIENCE, Issuer

if TYPE_CHECKING:
    from indexpass._model import Answer, Http

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
        self.verifier = Verifier(SETTINGS, http=self.issuer, public_http=self.issuer, now=lambda: self.now)

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
        ({"headers": {"crit": ["x"], "x": 1}}, "extension"),
        ({"headers": {"typ": "at+jwt"}}, "another kind"),
        ({"events": {}}, "another kind"),
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


@pytest.mark.parametrize("kind", ["JWT", "jwt", None], ids=str)
def test_an_identity_token_says_that_it_is_a_jwt_or_nothing(desk: Desk, kind: str | None) -> None:
    assert desk.verify(headers={"typ": kind} if kind else {})


def test_each_refusal_names_the_step_that_failed(desk: Desk) -> None:
    changes: list[dict[str, object]] = [
        {"junk": "x" * 20_000},
        {"iss": "https://evil.example"},
        {"kid": None},
        {"kid": "unknown"},
        {"exp": NOW - 60},
        {"aud": "https://elsewhere.example"},
        {"sub": ""},
    ]
    steps = []
    for change in changes:
        with pytest.raises(Unverified) as caught:
            desk.verify(**change)
        steps.append(caught.value.step)
    assert tuple(steps) == STEPS


@pytest.mark.parametrize(
    ("preset", "algorithm", "is_believed"),
    [("aws", "ES384", True), ("aws", "ES256", False), ("buildkite", "RS256", True), ("buildkite", "ES256", False)],
)
def test_a_preset_says_which_algorithms_are_right(preset: str, algorithm: str, *, is_believed: bool) -> None:
    url = {
        "aws": "https://a103a2cc-b461-473d-84fe-6c4f6d45af88.tokens.sts.global.api.aws",
        "buildkite": "https://agent.buildkite.com",
    }[preset]
    settings = parse(
        f'issuer = "{AUDIENCE}"\n[[trusted-issuer]]\npreset = "{preset}"\nurl = "{url}"\n', file=Path("broker.toml")
    )
    issuer = Issuer(url)
    issuer.add_key("this", algorithm)
    verifier = Verifier(settings, http=issuer, public_http=issuer, now=lambda: NOW)
    if is_believed:
        assert verifier.verify(issuer.token(now=NOW, kid="this"))
    else:
        with pytest.raises(Unverified, match="algorithm"):
            verifier.verify(issuer.token(now=NOW, kid="this"))


PUBLIC, PRIVATE = "public", "private"


@pytest.mark.parametrize(
    ("trusted", "jwks_uri", "ways"),
    [
        ('url = "https://ci.acme.example"', "https://ci.acme.example/keys", [PUBLIC, PUBLIC]),
        ('url = "https://ci.acme.example"', "https://10.0.0.1/keys", [PUBLIC, PUBLIC]),
        ('url = "https://ci.acme.example"\nprivate-network = true', "https://10.0.0.1/keys", [PRIVATE, PRIVATE]),
        ('url = "https://10.0.0.1"', "https://10.0.0.1/keys", [PRIVATE, PRIVATE]),
        ('url = "https://10.0.0.1"', "https://10.0.0.2/keys", [PRIVATE, PUBLIC]),
        ('url = "https://ci.acme.example"\njwks-url = "https://10.0.0.1/keys"', "", [PRIVATE]),
    ],
    ids=[
        "a name",
        "a name that leads to an address",
        "a private network",
        "an address",
        "an address that leads to another",
        "an address for the keys",
    ],
)
def test_only_what_the_settings_say_may_be_at_a_private_address(trusted: str, jwks_uri: str, ways: list[str]) -> None:
    settings = parse(f'issuer = "{AUDIENCE}"\n[[trusted-issuer]]\nname = "ci"\n{trusted}\n', file=Path("broker.toml"))
    url = settings.trusted_issuers[0].url
    issuer, taken = Issuer(url), []
    issuer.documents = {
        f"{url}/.well-known/openid-configuration": {"issuer": url, "jwks_uri": jwks_uri},
        settings.trusted_issuers[0].jwks_url or jwks_uri: issuer.get_json(f"{url}/keys").body,
    }

    class Way:
        def __init__(self, name: str) -> None:
            self.name = name

        def get_json(self, asked: str) -> Answer:
            taken.append(self.name)
            return issuer.get_json(asked)

    http, public_http = (cast("Http", Way(name)) for name in (PRIVATE, PUBLIC))
    assert Verifier(settings, http=http, public_http=public_http, now=lambda: NOW).verify(issuer.token(now=NOW))
    assert taken == ways


def test_nobody_waits_for_new_keys_while_the_old_ones_serve(desk: Desk) -> None:
    desk.verify()
    desk.now += 301
    is_asked, may_answer = threading.Event(), threading.Event()
    answer = desk.issuer.get_json

    def answer_late(url: str) -> Answer:
        is_asked.set()
        assert may_answer.wait(10)
        return answer(url)

    desk.issuer.get_json = answer_late  # type: ignore[method-assign]  # the double's, not ours
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(desk.verify)
        assert is_asked.wait(10)
        assert desk.verify()
        may_answer.set()
        assert slow.result(10)


@pytest.mark.parametrize(
    "part",
    [b'{"a": 1, "a": 2}', b'{"a": {"b": 1, "b": 1}}', b"[]", b'"text"', b"\xff", b"1" * 5000],
    ids=["twice", "twice within", "a list", "a text", "bytes", "a long number"],
)
def test_what_could_be_read_in_two_ways_is_no_jwt(part: bytes) -> None:
    header = urlsafe_b64encode(b'{"alg": "RS256"}').decode()
    with pytest.raises(NotJwt):
        read_jwt(f"{header}.{urlsafe_b64encode(part).decode()}.AA")
