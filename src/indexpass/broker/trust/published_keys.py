"""A broker's access tokens, verified by the keys that it publishes: for a server that is not the broker.

This module never says whether a token has expired, nor what it is good for, and cannot know whether it was revoked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexpass.broker.keys import ALGORITHM, decode_access_token
from indexpass.broker.settings import TrustedIssuer
from indexpass.broker.trust.issuer_keys import IssuerKeys, UnknownKey

if TYPE_CHECKING:
    from collections.abc import Callable

    import jwt

    from indexpass._model import Http
    from indexpass._secret import Secret
    from indexpass.broker.keys import AccessToken


class PublishedKeys:
    """The keys of the broker at ``issuer``, fetched from there and kept for five minutes. Its calls can block."""

    def __init__(self, issuer: str, *, http: Http, now: Callable[[], float]) -> None:
        """Fetch nothing yet."""
        self._issuer = issuer
        broker = TrustedIssuer(
            name="broker",
            url=issuer,
            audience="",
            jwks_url=f"{issuer}/jwks.json",
            replay="until-exp",
            algorithms=(ALGORITHM,),
            is_private=True,
        )
        self._keys = IssuerKeys(broker, http=http, public_http=http, now=now)

    def decode(self, token: Secret) -> AccessToken | None:
        """Return what the token says, or None if it is not an access token of this broker.

        Raises BrokerUnreachable or BrokerMisbehaved if the keys cannot be had.
        """
        return decode_access_token(token, issuer=self._issuer, find_key=self._find)

    def _find(self, kid: str) -> jwt.PyJWK | None:
        try:
            return self._keys.find(kid)
        except UnknownKey:
            return None
