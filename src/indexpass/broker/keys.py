"""The broker's own keys: sign access tokens, verify them again, publish the public halves.

The signing keys are ES256 keys that stand encrypted in the database, where all replicas find them; which one signs is a
matter of time. What they are encrypted with, and the secrets for cookies and refresh tokens, is derived from one random
secret in the broker's folder. This module never reads the database, and never decides whether a token is expired or
revoked, nor what it is good for.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, NewType

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key

from indexpass._files import read_private, write_private
from indexpass._secret import Secret
from indexpass.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from indexpass.broker.state.signing_keys import SigningKey

ALGORITHM = "ES256"
MAX_TOKEN_LENGTH = 1200  # a Basic header of it stays below 2 KiB, which every proxy takes
TOKEN_TYPE = "at+jwt"  # noqa: S105  # RFC 9068 section 2.1, a name
SECRET_FILE = "secret"  # noqa: S105  # a file's name
_SECRET_BYTES = 32
_REQUIRED_CLAIMS = ["iss", "sub", "aud", "exp", "iat", "jti", "scope"]

Fingerprint = NewType("Fingerprint", str)


def fingerprint(token: Secret) -> Fingerprint:
    """Return the SHA-256 of a token in hex: what may be stored and logged in its place."""
    return Fingerprint(hashlib.sha256(token.reveal().encode(errors="surrogatepass")).hexdigest())


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What a token that we signed says. ``session`` is empty for a workload's token; times are in seconds.

    ``projects`` are the names that a scope is bound to; a scope that is not in there is good for all of the index.
    ``key_id`` names the key that signed it.
    """

    subject: str
    audience: str
    scopes: frozenset[str]
    token_id: str
    session: str
    issued_at: float
    expires_at: float
    key_id: str
    projects: Mapping[str, frozenset[str]] = field(default_factory=dict)
    policy: str = ""


class SealedKey(NamedTuple):
    """A signing key as the database has it: its id, and the private half encrypted."""

    kid: str
    sealed: str


@dataclass(frozen=True, slots=True)
class _HeldKey:
    """A signing key in memory, and when it does what; times are in seconds since the epoch."""

    private: ec.EllipticCurvePrivateKey
    public: ec.EllipticCurvePublicKey
    jwk: Mapping[str, object]
    signs_from: float
    verifies_until: float


class Keys:
    """The broker's secret and its signing keys, held in memory; it signs and verifies for one issuer."""

    def __init__(self, secret: Secret, *, issuer: str, now: Callable[[], float]) -> None:
        """Know no signing key yet: :meth:`hold` brings them."""
        self._secret = secret
        self._issuer = issuer
        self._now = now
        self._held: dict[str, _HeldKey] = {}
        self._seal = Fernet(urlsafe_b64encode(self._derive("signing keys", "")))

    def make(self) -> SealedKey:
        """Return a new signing key, which nobody knows yet."""
        key = ec.generate_private_key(ec.SECP256R1())
        private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return SealedKey(str(_public_jwk(key)["kid"]), self._seal.encrypt(private).decode("ascii"))

    def hold(self, signing_keys: Iterable[SigningKey]) -> None:
        """Use these signing keys from now on, and no others; the oldest comes first.

        Raises StoreError, and changes nothing, if one of them was encrypted with another secret.
        """
        held: dict[str, _HeldKey] = {}
        for each in signing_keys:
            key = self._held.get(each.kid) or self._open(each)
            held[each.kid] = replace(key, signs_from=each.signs_from, verifies_until=each.verifies_until)
        self._held = held  # in one step: other threads sign and verify meanwhile

    def mint(self, claims: Mapping[str, object]) -> Secret:
        """Return an access token with ``claims`` and our issuer (RFC 9068).

        Raises ValueError if it would have 1,200 characters or more; the bounds on names and URLs prevent that.
        """
        kid, key = self._signer()
        token = jwt.encode(
            {"iss": self._issuer, **claims}, key.private, ALGORITHM, headers={"typ": TOKEN_TYPE, "kid": kid}
        )
        if len(token) >= MAX_TOKEN_LENGTH:
            msg = "the claims are too large for a token"
            raise ValueError(msg)
        return Secret(token)

    def decode(self, token: Secret) -> AccessToken | None:
        """Return what the token says, or None if it is not an access token that we signed.

        The caller compares ``expires_at`` with its clock.
        """
        return decode_access_token(token, issuer=self._issuer, find_key=self._verifying_key)

    def jwks(self) -> dict[str, object]:
        """Return the public keys (RFC 7517 section 5): those that verify, and the one that will sign next."""
        now = self._now()
        return {"keys": [dict(key.jwk) for key in self._held.values() if now < key.verifies_until]}

    def cookie_secret(self) -> Secret:
        """Return the secret that signs the pages' cookies."""
        return Secret(self._derive("cookie", "").hex())

    def successor(self, refresh_token: Secret) -> Secret:
        """Return the refresh token that follows this one: always the same, and known only to its holder and us.

        So a client whose answer was lost can be given the same successor again, though we store no token.
        """
        return refresh_token_of(self._derive("refresh token", refresh_token.reveal()))

    def signing_seconds(self) -> float:
        """Return for how long the key that signs has done so. Raises StoreError if there is none."""
        return self._now() - self._signer()[1].signs_from

    def _verifying_key(self, kid: str) -> ec.EllipticCurvePublicKey | None:
        key = self._held.get(kid)
        return key.public if key and self._now() < key.verifies_until else None

    def _signer(self) -> tuple[str, _HeldKey]:
        """Return the key that signs now: the latest whose time has come."""
        held, now = self._held, self._now()
        begun = [kid for kid, key in held.items() if key.signs_from <= now]
        if begun:
            return begun[-1], held[begun[-1]]
        for kid, key in held.items():  # the clock was set back to before the first
            return kid, key
        raise StoreError("the broker has no signing key", hint="make one: indexpass broker keys rotate --at-once")

    def _open(self, sealed: SigningKey) -> _HeldKey:
        """Return the key with its private half.

        Raises StoreError if this is not what :meth:`make` made with the same secret.
        """
        other = StoreError(
            f"the signing key {sealed.kid} in the database was encrypted with another secret",
            hint=f"copy the file {SECRET_FILE} from the broker's other replicas or its backup",
        )
        try:
            key = load_der_private_key(self._seal.decrypt(sealed.sealed), password=None)
        except (InvalidToken, ValueError, TypeError, UnsupportedAlgorithm):
            raise other from None  # a cause's text may quote the key
        if not isinstance(key, ec.EllipticCurvePrivateKey) or _public_jwk(key)["kid"] != sealed.kid:
            raise other
        return _HeldKey(key, key.public_key(), _public_jwk(key), sealed.signs_from, sealed.verifies_until)

    def _derive(self, purpose: str, text: str) -> bytes:
        secret = bytes.fromhex(self._secret.reveal())
        return hmac.digest(secret, f"{purpose}\0{text}".encode(errors="surrogatepass"), "sha256")


def decode_access_token(
    token: Secret, *, issuer: str, find_key: Callable[[str], ec.EllipticCurvePublicKey | jwt.PyJWK | None]
) -> AccessToken | None:
    """Return what the token says, or None if it is not an access token of this issuer, by a key that is found.

    Times and audience are for the caller to check: on every use, not only when the token is decoded.
    """
    text = token.reveal()
    if len(text) >= MAX_TOKEN_LENGTH or not text.isascii():
        return None
    try:
        header = jwt.get_unverified_header(text)
        kid = header.get("kid", "")
        if header.get("typ") != TOKEN_TYPE:  # RFC 9068 section 4: no other kind of JWT
            return None
        key = find_key(kid)
        if key is None:
            return None
        claims = jwt.decode(
            text,
            key,
            algorithms=[ALGORITHM],
            issuer=issuer,
            options={"require": _REQUIRED_CLAIMS, "verify_exp": False, "verify_iat": False, "verify_aud": False},
        )
    except (jwt.PyJWTError, RecursionError):  # deeply nested JSON in a header
        return None
    return AccessToken(
        subject=claims["sub"],
        audience=claims["aud"],
        scopes=frozenset(claims["scope"].split()),
        token_id=claims["jti"],
        session=claims.get("sid", ""),
        issued_at=claims["iat"],
        expires_at=claims["exp"],
        key_id=kid,
        projects={scope: frozenset(names) for scope, names in claims.get("projects", {}).items()},
        policy=claims.get("policy", ""),
    )


def make_secret(folder: Path) -> Secret:
    """Write a new secret into the broker's folder, with mode 0600, and return it. Raises StoreError."""
    secret = secrets.token_bytes(_SECRET_BYTES)
    write_private(folder / SECRET_FILE, secret)
    return Secret(secret.hex())


def read_secret(folder: Path) -> Secret:
    """Return the secret in the broker's folder. Raises StoreError if it is missing, damaged, or open to others."""
    file = folder / SECRET_FILE
    secret = read_private(file)
    if secret is None or len(secret) != _SECRET_BYTES:
        problem = "is missing" if secret is None else f"does not hold {_SECRET_BYTES} bytes"
        raise StoreError(f"{file} {problem}", hint="copy it from the broker's other replicas or its backup")
    return Secret(secret.hex())


def refresh_token_of(entropy: bytes) -> Secret:
    """Return the refresh token that these 32 bytes make; the prefix lets scanners of leaked secrets find it."""
    return Secret(f"ipr_{_base64(entropy)}")


def _public_jwk(key: ec.EllipticCurvePrivateKey) -> dict[str, object]:
    """Return the public half; ``kid`` is its thumbprint (RFC 7638), made of exactly these members in this order."""
    point = key.public_key().public_numbers()
    members = {
        "crv": "P-256",
        "kty": "EC",
        "x": _base64(point.x.to_bytes(32, "big")),
        "y": _base64(point.y.to_bytes(32, "big")),
    }
    thumbprint = hashlib.sha256(json.dumps(members, separators=(",", ":")).encode()).digest()
    return {**members, "kid": _base64(thumbprint), "use": "sig", "alg": ALGORITHM}


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
