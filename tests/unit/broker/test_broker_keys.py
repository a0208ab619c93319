from __future__ import annotations

import json
import os
import secrets
import stat
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import TYPE_CHECKING

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from indexpass._secret import Secret
from indexpass._wire import CLIENT_ID
from indexpass.broker.exchange import MAX_SUBJECT_LENGTH
from indexpass.broker.keys import Keys
from indexpass.broker.settings.values import MAX_INDEX_URL_LENGTH, MAX_ISSUER_LENGTH
from indexpass.errors import StoreError

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


def test_keys_are_the_same_when_loaded_again(keys: Keys, tmp_path: Path) -> None:
    made = Keys.create(tmp_path / "keys", issuer=ISSUER)
    loaded = Keys.load(tmp_path / "keys", issuer=ISSUER)
    assert loaded.decode(made.mint(CLAIMS)) == made.decode(made.mint(CLAIMS))
    assert loaded.cookie_secret() == made.cookie_secret()
    assert keys.cookie_secret() != made.cookie_secret()


def test_a_key_id_is_the_thumbprint_of_rfc_7638(keys: Keys) -> None:
    (key,) = keys.jwks()["keys"]  # type: ignore[misc]
    members = {name: key[name] for name in ("crv", "kty", "x", "y")}
    digest = sha256(json.dumps(members, sort_keys=True, separators=(",", ":")).encode()).digest()
    assert key["kid"] == urlsafe_b64encode(digest).rstrip(b"=").decode()


@pytest.mark.skipif(os.name != "posix", reason="modes are a POSIX matter")
def test_key_files_are_for_their_owner_only(tmp_path: Path) -> None:
    Keys.create(tmp_path / "keys", issuer=ISSUER)
    modes = {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "keys").iterdir()}
    assert modes == {0o600}


@pytest.mark.skipif(os.name != "posix", reason="modes are a POSIX matter")
def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    Keys.create(tmp_path / "keys", issuer=ISSUER)
    (tmp_path / "keys" / "signing-0001.pem").chmod(0o644)
    with pytest.raises(StoreError, match="open to others"):
        Keys.load(tmp_path / "keys", issuer=ISSUER)


@pytest.mark.parametrize("text", ["", "no PEM"])
def test_a_damaged_key_is_refused_without_being_shown(tmp_path: Path, text: str) -> None:
    Keys.create(tmp_path / "keys", issuer=ISSUER)
    (tmp_path / "keys" / "signing-0001.pem").write_text(text)
    with pytest.raises(StoreError, match="is not an ES256 key"):
        Keys.load(tmp_path / "keys", issuer=ISSUER)


def test_a_folder_without_keys_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not complete"):
        Keys.load(tmp_path, issuer=ISSUER)


def test_an_older_key_still_verifies_and_the_newest_signs(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    old = Keys.create(folder, issuer=ISSUER)
    newer = tmp_path / "newer"
    Keys.create(newer, issuer=ISSUER)
    (newer / "signing-0001.pem").rename(folder / "signing-0002.pem")
    both = Keys.load(folder, issuer=ISSUER)
    assert both.decode(old.mint(CLAIMS))
    assert old.decode(both.mint(CLAIMS)) is None


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


def test_a_token_of_another_type_says_nothing(tmp_path: Path) -> None:
    keys = Keys.create(tmp_path / "keys", issuer=ISSUER)
    other_type = jwt.encode({"iss": ISSUER, **CLAIMS}, keys._private, "ES256", headers={"kid": keys._kid})
    assert keys.decode(Secret(other_type)) is None


def test_a_token_for_another_issuer_says_nothing(tmp_path: Path) -> None:
    keys = Keys.create(tmp_path / "keys", issuer=ISSUER)
    moved = Keys.load(tmp_path / "keys", issuer="https://elsewhere.example")
    assert moved.decode(keys.mint(CLAIMS)) is None


@given(st.text())
def test_any_text_can_be_asked_about(keys: Keys, text: str) -> None:
    assert keys.decode(Secret(text)) is None


def test_claims_that_make_a_token_too_large_are_refused(keys: Keys) -> None:
    with pytest.raises(ValueError, match="too large"):
        keys.mint({**CLAIMS, "sub": "x" * 1000})


def test_the_successor_of_a_refresh_token_is_always_the_same(keys: Keys) -> None:
    assert keys.successor(Secret("a")) == keys.successor(Secret("a"))
    assert keys.successor(Secret("a")) != keys.successor(Secret("b"))


def test_another_broker_derives_another_successor(keys: Keys, tmp_path: Path) -> None:
    assert Keys.create(tmp_path / "keys", issuer=ISSUER).successor(Secret("a")) != keys.successor(Secret("a"))


def test_the_largest_claims_that_can_be_fit_into_a_token(tmp_path: Path) -> None:
    keys = Keys.create(tmp_path / "keys", issuer="https://" + "i" * (MAX_ISSUER_LENGTH - 8))
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
