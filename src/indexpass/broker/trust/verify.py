"""Whose identity token is this? Signature, issuer, audience and times of a foreign OIDC token, all verified.

The issuer that a token names only picks the settings and the keys to verify it with. Keys are fetched from the
configured issuers alone: never from a URL in a token. This module never says what the bearer may do.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, get_args

import jwt

from indexpass.broker.trust.issuer_keys import FETCH_SECONDS, IssuerKeys, UnknownKey
from indexpass.broker.trust.jwt_text import NotJwt, read_jwt
from indexpass.broker.trust.public_http import open_public_http

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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


class Verifier:
    """Verifies tokens of the issuers in the settings. Its calls block: run them on a thread."""

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
        """Return the token's claims.

        Raises Unverified if it is not to be believed, BrokerUnreachable or BrokerMisbehaved if the issuer's keys
        cannot be had.
        """
        text = token.reveal()
        try:
            header, claimed = read_jwt(text)
        except NotJwt as error:
            raise Unverified("form", str(error)) from None

        # Who says so, and with which key? Nothing of this is believed yet.
        issuer, keys = self._issuers.get(str(claimed.get("iss")), (None, None))
        if issuer is None or keys is None:
            raise Unverified("issuer", "its issuer is not trusted")
        kid = _check_header(header, issuer)
        try:
            key = keys.find(kid)
        except UnknownKey:
            raise Unverified("signature", "its issuer does not publish the key that it names") from None

        # From here on the issuer has said it.
        claims = _verify_signature(text, key, issuer)
        expires_at = self._check_times(claims)
        if claims["aud"] not in (issuer.audience, [issuer.audience]):
            raise Unverified("audience", "it was made for another audience, or for several")
        return VerifiedClaims(
            issuer=issuer.name,
            subject=_check_subject(claims),
            claims=MappingProxyType(claims),
            replay_key=_replay_key(issuer.url, claims, token),
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


def _verify_signature(text: str, key: jwt.PyJWK, issuer: TrustedIssuer) -> dict[str, object]:
    try:
        claims: dict[str, object] = jwt.decode(
            text,
            key,
            algorithms=[key.algorithm_name],  # the key's own, whatever the header says
            issuer=issuer.url,
            # Times are checked by our clock, the audience more strictly than a list allows.
            options={
                "require": _REQUIRED,
                "verify_aud": False,
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
                "enforce_minimum_key_length": True,
            },
        )
    except jwt.MissingRequiredClaimError as error:
        raise Unverified("signature", f"its claim {error.claim} is missing") from None
    except jwt.PyJWTError:
        raise Unverified("signature", "its signature or one of its standard claims is not right") from None
    if "events" in claims:  # RFC 8417: logout tokens that do not say so in their header
        raise Unverified("signature", "it is another kind of token than an identity token")
    return claims


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


def _replay_key(issuer: str, claims: Mapping[str, object], token: Secret) -> str:
    """Return what marks the token as used: issuer and ``jti``, or the hash of all that is signed where it has none.

    The signature itself can be written in several ways, so it is no part of the hash.
    """
    token_id = claims.get("jti")
    if not isinstance(token_id, str) or not token_id:
        return hashlib.sha256(token.reveal().rpartition(".")[0].encode("ascii")).hexdigest()
    return hashlib.sha256(f"{issuer}\0{token_id}".encode(errors="surrogatepass")).hexdigest()
