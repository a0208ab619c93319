from __future__ import annotations

import json
import math
import os
import secrets
import stat
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from indexpass._files import write_private
from indexpass._secret import Secret
from indexpass._wire import CLIENT_ID
from indexpass.broker.exchange import MAX_SUBJECT_LENGTH
from indexpass.broker.keys import Keys, make_secret, read_secret
from indexpass.broker.settings.values import MAX_INDEX_URL_LENGTH, MAX_ISSUER_LENGTH
from indexpass.broker.state.signing_keys import SigningKey
from indexpass.errors import StoreError
from servers.brokers import make_keys

if TYPE_CHECKING:
    from pathlib import Path

ISSUER = "https://tokens.acme.example"
CLAIMS = {
    "sub": "alice",
    "aud": "https://packages.acme.example/simple/",
    "iat": 0,
    "exp": 3600,
    "jti": "1",
    "scope": "pypi:read pypi:write",
    "sid": "family",
}


SECRET = Secret("5e" * 32)
NOW = 1_800_000_000.0
DAY, MONTH = 24 * 3600.0, 30 * 24 * 3600.0


def first_key(keys: Keys) -> SigningKey:
    """Return a key as the database has the first one."""
    kid, sealed = keys.make()
    return SigningKey(1, kid, sealed, published_at=0.0, signs_from=0.0)


def forged(keys: Keys, *, claims: object = None, algorithm: str = "ES256", **headers: object) -> Secret:
    """Sign as a stranger would: with another key, under our key's name."""
    key = ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else b"x" * 32
    kid = keys.jwks()["keys"][0]["kid"]  # type: ignore[index]
    body = {"iss": ISSUER, **CLAIMS, **(claims or {})}  # type: ignore[dict-item]
    return Secret(jwt.encode(body, key, algorithm, headers={"typ": "at+jwt", "kid": kid, **headers}))


def test_a_minted_token_says_what_went_into_it(keys: Keys) -> None:
    token = keys.decode(keys.mint(CLAIMS))
    assert token is not None
    assert (token.subject, token.audience, token.expires_at) == ("alice", CLAIMS["aud"], 3600)
    assert (token.scopes, token.token_id, token.session) == ({"pypi:read", "pypi:write"}, "1", "family")


def test_a_token_names_the_key_that_signed_it(keys: Keys) -> None:
    token = keys.decode(keys.mint(CLAIMS))
    (published,) = keys.jwks()["keys"]  # type: ignore[misc]
    assert token is not None
    assert token.key_id == published["kid"]


def test_another_process_with_the_same_secret_has_the_same_keys() -> None:
    one, other = Keys(SECRET, issuer=ISSUER, now=lambda: NOW), Keys(SECRET, issuer=ISSUER, now=lambda: NOW)
    stored = first_key(one)
    one.hold([stored])
    other.hold([stored])
    assert other.decode(one.mint(CLAIMS))
    assert other.cookie_secret() == one.cookie_secret()


def test_another_secret_opens_no_key_and_the_one_before_stays() -> None:
    ours, theirs = Keys(SECRET, issuer=ISSUER, now=lambda: NOW), make_keys()
    stored = first_key(ours)
    with pytest.raises(StoreError, match="encrypted with another secret"):
        theirs.hold([stored])
    assert theirs.decode(theirs.mint(CLAIMS))


@pytest.mark.parametrize("sealed", ["", "no key", "gAAAAAB" + "x" * 90, "\udcff"])
def test_a_damaged_key_is_refused_without_being_shown(sealed: str) -> None:
    keys = Keys(SECRET, issuer=ISSUER, now=lambda: NOW)
    with pytest.raises(StoreError, match="encrypted with another secret"):
        keys.hold([replace(first_key(keys), sealed=sealed)])


def test_a_key_that_stands_under_another_s_name_is_refused() -> None:
    keys = Keys(SECRET, issuer=ISSUER, now=lambda: NOW)
    with pytest.raises(StoreError):
        keys.hold([replace(first_key(keys), kid=first_key(keys).kid)])


def test_what_the_database_has_does_not_show_the_private_key() -> None:
    keys = Keys(SECRET, issuer=ISSUER, now=lambda: NOW)
    stored = first_key(keys)
    keys.hold([stored])
    number = keys._held[stored.kid].private.private_numbers().private_value
    assert number.to_bytes(32, "big") not in urlsafe_b64decode(stored.sealed)


def test_a_key_id_is_the_thumbprint_of_rfc_7638(keys: Keys) -> None:
    (key,) = keys.jwks()["keys"]  # type: ignore[misc]
    members = {name: key[name] for name in ("crv", "kty", "x", "y")}
    digest = sha256(json.dumps(members, sort_keys=True, separators=(",", ":")).encode()).digest()
    assert key["kid"] == urlsafe_b64encode(digest).rstrip(b"=").decode()


@pytest.mark.skipif(os.name != "posix", reason="modes are a POSIX matter")
def test_the_secret_is_for_its_owner_only(tmp_path: Path) -> None:
    made = make_secret(tmp_path / "broker")
    assert stat.S_IMODE((tmp_path / "broker" / "secret").stat().st_mode) == 0o600
    assert read_secret(tmp_path / "broker") == made


@pytest.mark.skipif(os.name != "posix", reason="modes are a POSIX matter")
def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    make_secret(tmp_path)
    (tmp_path / "secret").chmod(0o644)
    with pytest.raises(StoreError, match="open to others"):
        read_secret(tmp_path)


def test_a_missing_secret_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is missing"):
        read_secret(tmp_path)


def test_a_secret_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    write_private(tmp_path / "secret", b"short")
    with pytest.raises(StoreError, match="32 bytes"):
        read_secret(tmp_path)


# Time


@dataclass
class Timed:
    """Three keys that follow each other, and a clock."""

    now: float = 0.0
    keys: Keys = field(init=False)
    stored: list[SigningKey] = field(init=False)

    def __post_init__(self) -> None:
        self.keys = Keys(SECRET, issuer=ISSUER, now=lambda: self.now)
        begins = [0.0, MONTH, 2 * MONTH, math.inf]
        made = [self.keys.make() for _ in range(3)]
        self.stored = [
            SigningKey(number, kid, sealed, 0.0, begins[number - 1], begins[number])
            for number, (kid, sealed) in enumerate(made, 1)
        ]
        self.keys.hold(self.stored)

    def signer(self) -> int:
        kid = jwt.get_unverified_header(self.keys.mint(CLAIMS).reveal())["kid"]
        return [each.kid for each in self.stored].index(kid) + 1


@pytest.mark.parametrize(
    ("now", "number"),
    [(0.0, 1), (MONTH - 1, 1), (MONTH, 2), (2 * MONTH, 3), (9 * MONTH, 3), (-1.0, 1)],
    ids=["first", "to the last moment", "second", "third", "no other follows", "clock before the first"],
)
def test_the_latest_key_whose_time_has_come_signs(now: float, number: int) -> None:
    assert Timed(now).signer() == number


@pytest.mark.parametrize(
    ("now", "is_known"),
    [(0.0, True), (MONTH + DAY, True), (MONTH + DAY + 601, False)],
    ids=["signs", "followed for a day", "over"],
)
def test_a_key_verifies_for_a_day_after_the_next_has_begun(now: float, *, is_known: bool) -> None:
    timed = Timed()
    token = timed.keys.mint(CLAIMS)
    timed.now = now
    assert (timed.keys.decode(token) is not None) is is_known


@pytest.mark.parametrize(("now", "numbers"), [(0.0, [1, 2, 3]), (MONTH + 2 * DAY, [2, 3]), (2 * MONTH + 2 * DAY, [3])])
def test_what_verifies_or_will_sign_is_published(now: float, numbers: list[int]) -> None:
    timed = Timed(now)
    published = [key["kid"] for key in timed.keys.jwks()["keys"]]  # type: ignore[attr-defined]
    assert published == [timed.stored[number - 1].kid for number in numbers]


def test_a_key_that_is_no_longer_in_the_list_verifies_nothing() -> None:
    timed = Timed()
    token = timed.keys.mint(CLAIMS)
    timed.keys.hold(timed.stored[1:])
    assert timed.keys.decode(token) is None


def test_without_a_key_nothing_is_signed() -> None:
    with pytest.raises(StoreError, match="no signing key"):
        Keys(SECRET, issuer=ISSUER, now=lambda: NOW).mint(CLAIMS)


# Tokens of others


@pytest.mark.parametrize(
    "token",
    [
        forged,
        lambda keys: forged(keys, algorithm="HS256"),
        lambda keys: forged(keys, kid="another"),
        lambda keys: Secret(keys.mint(CLAIMS).reveal()[:-4] + "AAAA"),
        lambda keys: Secret(keys.mint(CLAIMS).reveal().rpartition(".")[0] + "."),
        lambda _: Secret("\udcff"),
        lambda _: Secret("[" * 1100 + ".x.x"),
        lambda _: Secret(urlsafe_b64encode(b"[" * 800).decode() + ".e30.AA"),
        lambda _: Secret(""),
        lambda _: Secret("x" * 5000),
    ],
    ids=["key", "algorithm", "kid", "signature", "none", "bytes", "dots", "nested", "empty", "long"],
)
def test_a_token_that_we_did_not_sign_says_nothing(keys: Keys, token: object) -> None:
    assert keys.decode(token(keys)) is None  # type: ignore[operator]


@pytest.mark.parametrize(
    "headers",
    [{}, {"typ": "JWT"}, {"typ": "application/at+jwt"}, {"crit": ["b64"], "typ": "at+jwt"}],
    ids=["PyJWT's own", "JWT", "media type", "crit"],
)
def test_a_token_of_another_type_says_nothing(keys: Keys, headers: dict[str, object]) -> None:
    ((kid, key),) = keys._held.items()
    other_type = jwt.encode({"iss": ISSUER, **CLAIMS}, key.private, "ES256", headers={"kid": kid, **headers})
    assert keys.decode(Secret(other_type)) is None


def test_a_token_for_another_issuer_says_nothing() -> None:
    ours, moved = (Keys(SECRET, issuer=issuer, now=lambda: NOW) for issuer in (ISSUER, "https://elsewhere.example"))
    stored = first_key(ours)
    ours.hold([stored])
    moved.hold([stored])
    assert moved.decode(ours.mint(CLAIMS)) is None


@given(st.text())
def test_any_text_can_be_asked_about(keys: Keys, text: str) -> None:
    assert keys.decode(Secret(text)) is None


def test_claims_that_make_a_token_too_large_are_refused(keys: Keys) -> None:
    with pytest.raises(ValueError, match="too large"):
        keys.mint({**CLAIMS, "sub": "x" * 1000})


def test_the_successor_of_a_refresh_token_is_always_the_same(keys: Keys) -> None:
    assert keys.successor(Secret("a")) == keys.successor(Secret("a"))
    assert keys.successor(Secret("a")) != keys.successor(Secret("b"))


def test_another_broker_derives_another_successor(keys: Keys) -> None:
    assert make_keys().successor(Secret("a")) != keys.successor(Secret("a"))


def test_the_largest_claims_that_can_be_fit_into_a_token() -> None:
    keys = make_keys("https://" + "i" * (MAX_ISSUER_LENGTH - 8))
    claims = {
        "sub": "s" * (MAX_SUBJECT_LENGTH - 2),  # measured as JSON, with its quotes
        "aud": "u" * MAX_INDEX_URL_LENGTH,
        "client_id": CLIENT_ID,
        "iat": 10**10,
        "exp": 10**10,
        "jti": secrets.token_urlsafe(16),
        "sid": secrets.token_urlsafe(16),
        "scope": "pypi:read pypi:write",
        "policy": " ".join(["p" * 40] * 2),
    }
    assert keys.decode(keys.mint(claims))
