"""Whose identity token is this? Signature, issuer, audience and times of a foreign OIDC token, all verified.

The issuer that a token names only picks the settings and the keys to verify it with. Keys are fetched from the
configured issuers alone: never from a URL in a token. This module never says what the bearer may do.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import jwt

from indexpass.broker.keys import fingerprint
from indexpass.broker.trust.issuer_keys import ALGORITHMS, IssuerKeys, UnknownKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from indexpass._model import Http
    from indexpass._secret import Secret
    from indexpass.broker.settings import Settings

LEEWAY_SECONDS = 30  # how far the issuer's clock may be from ours
MAX_TOKEN_LENGTH = 16 * 1024
MAX_TIME = 10**11  # some 3,000 years from now
_MAX_SUBJECT_LENGTH = 255  # OpenID Connect Core section 2
_REQUIRED = ["iss", "sub", "aud", "exp", "iat"]


class Unverified(Exception):
    """The token is not to be believed. The text says why, and contains nothing of the token."""


@dataclass(frozen=True, slots=True)
class VerifiedClaims:
    """The claims of an identity token that was verified: only :class:`Verifier` makes one.

    ``issuer`` is the name that the settings give it. ``replay_key`` is the same for each use of the same token;
    ``expires_at`` says until when it has to be remembered.
    """

    issuer: str
    subject: str
    claims: Mapping[str, object]
    replay_key: str
    expires_at: float


class Verifier:
    """Verifies tokens of the issuers in the settings. Its calls block: run them on a thread."""

    def __init__(self, settings: Settings, *, http: Http, now: Callable[[], float]) -> None:
        """Fetch nothing yet."""
        self._now = now
        self._issuers = {
            issuer.url: (issuer, IssuerKeys(issuer, http=http, now=now)) for issuer in settings.trusted_issuers
        }

    def verify(self, token: Secret) -> VerifiedClaims:
        """Return the token's claims.

        Raises Unverified if it is not to be believed, BrokerUnreachable or BrokerMisbehaved if the issuer's keys
        cannot be had.
        """
        text = token.reveal()
        if len(text) > MAX_TOKEN_LENGTH or not text.isascii():
            raise Unverified("it is too large or not a JWT")
        header, claimed = _look_inside(text)
        issuer, keys = self._issuers.get(str(claimed.get("iss")), (None, None))
        if issuer is None or keys is None:
            raise Unverified("its issuer is not trusted")
        kid = header.get("kid")
        if not isinstance(kid, str) or header.get("alg") not in ALGORITHMS or "crit" in header:
            raise Unverified("its header names no key, another algorithm than RS256, ES256 and EdDSA, or an extension")
        try:
            claims: dict[str, object] = jwt.decode(
                text,
                keys.find(kid),
                algorithms=ALGORITHMS,
                issuer=issuer.url,
                # Times are checked below by our clock, the audience more strictly than a list allows.
                options={
                    "require": _REQUIRED,
                    "verify_aud": False,
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                    "enforce_minimum_key_length": True,
                },
            )
        except UnknownKey:
            raise Unverified("its issuer does not publish the key that it names") from None
        except jwt.MissingRequiredClaimError as error:
            raise Unverified(f"its claim {error.claim} is missing") from None
        except jwt.PyJWTError:
            raise Unverified("its signature or one of its standard claims is not right") from None
        expires_at = self._check_times(claims)
        if claims["aud"] not in (issuer.audience, [issuer.audience]):
            raise Unverified("it was made for another audience, or for several")
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= _MAX_SUBJECT_LENGTH or not _is_plain(subject):
            raise Unverified("its subject is not a short text")
        return VerifiedClaims(
            issuer=issuer.name,
            subject=subject,
            claims=MappingProxyType(claims),
            replay_key=_replay_key(issuer.url, claims, token),
            expires_at=expires_at + LEEWAY_SECONDS,
        )

    def _check_times(self, claims: Mapping[str, object]) -> float:
        """Return when the token expires. Raises Unverified if it has, or is not valid yet."""
        now = self._now()
        expires_at, issued_at = _time(claims["exp"]), _time(claims["iat"])
        if expires_at + LEEWAY_SECONDS <= now:
            raise Unverified("it has expired")
        if max(issued_at, _time(claims.get("nbf", 0))) - LEEWAY_SECONDS > now:
            raise Unverified("it is not valid yet: compare the clocks")
        return expires_at


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _look_inside(text: str) -> tuple[Mapping[str, object], Mapping[str, object]]:
    """Return header and claims as they stand there, believed by nobody yet."""
    try:
        parts = jwt.decode_complete(text, options={"verify_signature": False})
    except (jwt.PyJWTError, RecursionError):
        raise Unverified("it is not a JWT") from None
    return parts["header"], parts["payload"]


def _time(value: object) -> float:
    # JSON as Python reads it knows NaN and Infinity, which no comparison would ever call expired.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < MAX_TIME:
        raise Unverified("its times are not numbers of seconds")
    return float(value)


def _replay_key(issuer: str, claims: Mapping[str, object], token: Secret) -> str:
    """Return what marks the token as used: issuer and ``jti``, or its own hash where it has none."""
    token_id = claims.get("jti")
    if not isinstance(token_id, str) or not token_id:
        return fingerprint(token)
    return hashlib.sha256(f"{issuer}\0{token_id}".encode()).hexdigest()
