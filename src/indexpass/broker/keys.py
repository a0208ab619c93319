"""The broker's own keys: sign access tokens, verify them again, publish the public halves.

The signing keys are ES256 keys in the folder ``keys/``, one PEM file each: the last by name signs, all of them verify.
Beside them stands one random secret, from which the secrets for cookies and refresh tokens are derived. This module
never decides whether a token is expired or revoked, nor what it is good for.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, NewType

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from indexpass._files import read_private, write_private
from indexpass._secret import Secret
from indexpass.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ALGORITHM = "ES256"
MAX_TOKEN_LENGTH = 1200  # a Basic header of it stays below 2 KiB, which every proxy takes
TOKEN_TYPE = "at+jwt"  # noqa: S105  # RFC 9068 section 2.1, a name
_FIRST_KEY = "signing-0001.pem"
_SECRET_FILE = "secret"  # noqa: S105  # a file's name
_SECRET_BYTES = 32
_REQUIRED_CLAIMS = ["iss", "sub", "aud", "exp", "iat", "jti", "scope"]

Fingerprint = NewType("Fingerprint", str)


def fingerprint(token: Secret) -> Fingerprint:
    """Return the SHA-256 of a token in hex: what may be stored and logged in its place."""
    return Fingerprint(hashlib.sha256(token.reveal().encode(errors="surrogatepass")).hexdigest())


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What a token that we signed says. ``session`` is empty for a workload's token; times are in seconds."""

    subject: str
    audience: str
    scopes: frozenset[str]
    token_id: str
    session: str
    expires_at: float


class Keys:
    """The keys in a folder, held in memory."""

    def __init__(self, signing_keys: tuple[ec.EllipticCurvePrivateKey, ...], secret: bytes, *, issuer: str) -> None:
        """Hold the keys; the last one signs. Tokens are signed and verified for ``issuer``."""
        self._issuer = issuer
        self._secret = secret
        self._private = signing_keys[-1]
        self._jwks = [_public_jwk(key) for key in signing_keys]
        self._public = {str(jwk["kid"]): key.public_key() for jwk, key in zip(self._jwks, signing_keys, strict=True)}
        self._kid = str(self._jwks[-1]["kid"])

    @classmethod
    def create(cls, folder: Path, *, issuer: str) -> Keys:
        """Make a signing key and the secret in a new folder of mode 0700. Raises StoreError."""
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        secret = secrets.token_bytes(_SECRET_BYTES)
        write_private(folder / _SECRET_FILE, secret)
        write_private(folder / _FIRST_KEY, pem)
        return cls((key,), secret, issuer=issuer)

    @classmethod
    def load(cls, folder: Path, *, issuer: str) -> Keys:
        """Return the keys in the folder. Raises StoreError if one is missing, damaged, or open to others."""
        secret = read_private(folder / _SECRET_FILE)
        files = sorted(folder.glob("*.pem"))
        if not files or secret is None or len(secret) != _SECRET_BYTES:
            raise StoreError(f"the broker's keys in {folder} are not complete", hint="restore the folder from a backup")
        return cls(tuple(_load_key(file) for file in files), secret, issuer=issuer)

    def mint(self, claims: Mapping[str, object]) -> Secret:
        """Return an access token with ``claims`` and our issuer (RFC 9068).

        Raises ValueError if it would have 1,200 characters or more; the bounds on names and URLs prevent that.
        """
        token = jwt.encode(
            {"iss": self._issuer, **claims}, self._private, ALGORITHM, headers={"typ": TOKEN_TYPE, "kid": self._kid}
        )
        if len(token) >= MAX_TOKEN_LENGTH:
            msg = "the claims are too large for a token"
            raise ValueError(msg)
        return Secret(token)

    def decode(self, token: Secret) -> AccessToken | None:
        """Return what the token says, or None if it is not an access token that we signed.

        The caller compares ``expires_at`` with its clock.
        """
        text = token.reveal()
        if len(text) >= MAX_TOKEN_LENGTH or not text.isascii():
            return None
        try:
            header = jwt.get_unverified_header(text)
            key = self._public.get(header.get("kid", ""))
            if key is None or header.get("typ") != TOKEN_TYPE:  # RFC 9068 section 4: no other kind of JWT
                return None
            claims = jwt.decode(
                text,
                key,
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                # Times and audience are checked on every use, not only when the token is decoded.
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
            expires_at=claims["exp"],
        )

    def jwks(self) -> dict[str, object]:
        """Return the public keys (RFC 7517 section 5)."""
        return {"keys": self._jwks}

    def cookie_secret(self) -> Secret:
        """Return the secret that signs the pages' cookies."""
        return Secret(self._derive("cookie", "").hex())

    def successor(self, refresh_token: Secret) -> Secret:
        """Return the refresh token that follows this one: always the same, and known only to its holder and us.

        So a client whose answer was lost can be given the same successor again, though we store no token.
        """
        return refresh_token_of(self._derive("refresh token", refresh_token.reveal()))

    def _derive(self, purpose: str, text: str) -> bytes:
        return hmac.digest(self._secret, f"{purpose}\0{text}".encode(errors="surrogatepass"), "sha256")


def refresh_token_of(entropy: bytes) -> Secret:
    """Return the refresh token that these 32 bytes make; the prefix lets scanners of leaked secrets find it."""
    return Secret(f"ipr_{_base64(entropy)}")


def _load_key(file: Path) -> ec.EllipticCurvePrivateKey:
    damaged = StoreError(f"{file} is not an ES256 key", hint="restore it from a backup")
    pem = read_private(file)
    try:
        key = load_pem_private_key(pem or b"", password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise damaged from None  # the cause's text may quote the file
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise damaged
    return key


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
