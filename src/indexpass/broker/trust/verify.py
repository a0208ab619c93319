"""Whose identity token is this? Signature, issuer, audience and times of a foreign OIDC token, all verified.

The issuer that a token names only picks the settings and the keys to verify it with. Keys are fetched from the
configured issuers alone: never from a URL in a token. This module never says what the bearer may do.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from indexpass.broker.trust.issuer_keys import FETCH_SECONDS, IssuerKeys, UnknownKey
from indexpass.broker.trust.jwt_text import Jwt, NotJwt, read_jwt
from indexpass.broker.trust.public_http import open_public_http

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import jwt

    from indexpass._model import Http
    from indexpass._secret import Secret
    from indexpass.broker.settings import Settings, TrustedIssuer

LEEWAY_SECONDS = 30  # how far the issuer's clock may be from ours
MAX_TIME = 10**11  # some 3,000 years from now
_MAX_SUBJECT_LENGTH = 255  # OpenID Connect Core section 2
_REQUIRED = ["iss", "sub", "aud", "exp", "iat"]

Step = Literal["form", "issuer", "header", "signature", "times", "audience", "subject"]
STEPS: tuple[Step, ...] = get_args(Step)  # in the order in which they are taken


class Unverified(Exception):
    """The token is not to be believed. The text says why, and contains nothing of the token.

    ``step`` is the first of :data:`STEPS` that it did not pass.
    """

    def __init__(self, step: Step, reason: str) -> None:
        """Keep the step beside the reason."""
        super().__init__(reason)
        self.step = step


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


class _Claimed(NamedTuple):
    """What a token says of itself, believed by nobody yet: its issuer, and which of the issuer's keys signed it."""

    jwt: Jwt
    issuer: TrustedIssuer
    keys: IssuerKeys
    kid: str


class Verifier:
    """Verifies tokens of the issuers in the settings."""

    def __init__(
        self, settings: Settings, *, http: Http, now: Callable[[], float], public_http: Http | None = None
    ) -> None:
        """Fetch nothing yet. ``public_http`` fetches what may not be at a private address; by default it cannot."""
        self._now = now
        public_http = public_http or open_public_http(total_seconds=FETCH_SECONDS)
        self._issuers = {
            issuer.url: (issuer, IssuerKeys(issuer, http=http, public_http=public_http, now=now))
            for issuer in settings.trusted_issuers
        }

    def verify(self, token: Secret) -> VerifiedClaims:
        """Return the token's claims. Fetches its issuer's keys where that is due, and blocks: call it on a thread.

        Raises Unverified if it is not to be believed, BrokerUnreachable or BrokerMisbehaved if the issuer's keys
        cannot be had.
        """
        claimed = self._read(token)
        try:
            key = claimed.keys.find(claimed.kid)
        except UnknownKey:
            raise Unverified("signature", "its issuer does not publish the key that it names") from None
        return self._verify(claimed, key)

    def verify_at_once(self, token: Secret) -> VerifiedClaims | None:
        """Return the token's claims, or None if its issuer's keys have to be fetched for that. Never blocks.

        Raises Unverified if it is not to be believed.
        """
        claimed = self._read(token)
        key = claimed.keys.at_hand(claimed.kid)
        return self._verify(claimed, key) if key else None

    def _read(self, token: Secret) -> _Claimed:
        """Return who is said to have signed the token, and with which key. Raises Unverified."""
        try:
            token_read = read_jwt(token.reveal())
        except NotJwt as error:
            raise Unverified("form", str(error)) from None
        issuer, keys = self._issuers.get(str(token_read.claims.get("iss")), (None, None))
        if issuer is None or keys is None:
            raise Unverified("issuer", "its issuer is not trusted")
        return _Claimed(token_read, issuer, keys, _check_header(token_read.header, issuer))

    def _verify(self, claimed: _Claimed, key: jwt.PyJWK) -> VerifiedClaims:
        """Return what the issuer has said, if it has said it, to us, and of now. Raises Unverified."""
        issuer = claimed.issuer
        claims = _verify_signature(claimed.jwt, key)
        expires_at = self._check_times(claims)
        if claims["aud"] not in (issuer.audience, [issuer.audience]):
            raise Unverified("audience", "it was made for another audience, or for several")
        return VerifiedClaims(
            issuer=issuer.name,
            subject=_check_subject(claims),
            claims=MappingProxyType(claims),
            replay_key=_replay_key(claimed.jwt, issuer),
            expires_at=expires_at + LEEWAY_SECONDS,
        )

    def key_failures(self) -> dict[str, int]:
        """Return how often the keys of each issuer could not be had, by its name."""
        return {issuer.name: keys.failures for issuer, keys in self._issuers.values()}

    def _check_times(self, claims: Mapping[str, object]) -> float:
        """Return when the token expires. Raises Unverified if it has, or is not valid yet."""
        now = self._now()
        expires_at, issued_at = _time(claims["exp"]), _time(claims["iat"])
        if expires_at + LEEWAY_SECONDS <= now:
            raise Unverified("times", "it has expired")
        if max(issued_at, _time(claims.get("nbf", 0))) - LEEWAY_SECONDS > now:
            raise Unverified("times", "it is not valid yet: compare the clocks")
        return expires_at


def _check_header(header: Mapping[str, object], issuer: TrustedIssuer) -> str:
    """Return the name of the key. Raises Unverified if the header asks for anything that is not plain."""
    kid = header.get("kid")
    if not isinstance(kid, str) or header.get("alg") not in issuer.algorithms or "crit" in header:
        algorithms = " or ".join(issuer.algorithms)
        raise Unverified("header", f"its header names no key, another algorithm than {algorithms}, or an extension")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.upper() != "JWT":  # an access token, a logout token (RFC 8725 section 3.11)
        raise Unverified("header", "it is another kind of token than an identity token")
    return kid


def _verify_signature(token: Jwt, key: jwt.PyJWK) -> Mapping[str, object]:
    """Return the claims, which are those that were signed: nobody parses the token a second time.

    The algorithm is the key's own, whatever the header says.
    """
    if not key.Algorithm.verify(token.signed, key.key, token.signature):
        raise Unverified("signature", "its signature is not right")
    for claim in _REQUIRED:
        if token.claims.get(claim) is None:
            raise Unverified("signature", f"its claim {claim} is missing")
    if "events" in token.claims:  # RFC 8417: logout tokens that do not say so in their header
        raise Unverified("signature", "it is another kind of token than an identity token")
    return token.claims


def _check_subject(claims: Mapping[str, object]) -> str:
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= _MAX_SUBJECT_LENGTH or not _is_plain(subject):
        raise Unverified("subject", "its subject is not a short text")
    return subject


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _time(value: object) -> float:
    # JSON as Python reads it knows NaN and Infinity, which no comparison would ever call expired.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < MAX_TIME:
        raise Unverified("times", "its times are not numbers of seconds")
    return float(value)


def _replay_key(token: Jwt, issuer: TrustedIssuer) -> str:
    """Return what marks the token as used: issuer and ``jti``, or the hash of all that is signed where it has none.

    The signature itself can be written in several ways, so it is no part of the hash.
    """
    token_id = token.claims.get("jti")
    if not isinstance(token_id, str) or not token_id:
        return hashlib.sha256(token.signed).hexdigest()
    return hashlib.sha256(f"{issuer.url}\0{token_id}".encode(errors="surrogatepass")).hexdigest()
