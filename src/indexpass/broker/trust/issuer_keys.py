"""The public keys of one trusted issuer: found, fetched, and kept for a while.

Keys are fetched anew after five minutes, and at once for a key that is not known, but then at most once a minute: a
stream of made-up key names must not become a stream of requests. If the issuer does not answer, its last keys serve
for an hour. This module never verifies a token.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import jwt

from indexpass._url import IndexUrl
from indexpass.errors import BrokerError, BrokerMisbehaved, BrokerUnreachable, UrlError

if TYPE_CHECKING:
    from collections.abc import Callable

    from indexpass._model import Answer, Http
    from indexpass.broker.settings import TrustedIssuer

ALGORITHMS = ["RS256", "ES256", "EdDSA"]
FRESH_SECONDS = 5 * 60
STALE_SECONDS = 60 * 60
COOL_DOWN_SECONDS = 60  # between two fetches for keys that are not known
RETRY_SECONDS = 5  # between two fetches that failed
_MAX_KEYS = 100


class UnknownKey(Exception):
    """The issuer does not publish this key."""


class IssuerKeys:
    """Fetches and keeps the keys of one issuer. Its calls block: run them on a thread."""

    def __init__(self, issuer: TrustedIssuer, *, http: Http, now: Callable[[], float]) -> None:
        """Fetch nothing yet."""
        self._issuer = issuer
        self._http = http
        self._now = now
        self._lock = threading.Lock()  # one fetch at a time; the others wait for its result
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._failed_at = float("-inf")

    def find(self, kid: str) -> jwt.PyJWK:
        """Return the key of this name.

        Raises UnknownKey if the issuer does not publish it, BrokerUnreachable or BrokerMisbehaved if that cannot be
        found out.
        """
        with self._lock:
            age = self._now() - self._fetched_at
            if not 0 <= age < (FRESH_SECONDS if kid in self._keys else COOL_DOWN_SECONDS):
                self._refresh(may_be_stale=kid in self._keys and age < STALE_SECONDS)
            if kid not in self._keys:
                raise UnknownKey
            return self._keys[kid]

    def _refresh(self, *, may_be_stale: bool) -> None:
        now = self._now()
        failure: BrokerError
        if 0 <= now - self._failed_at < RETRY_SECONDS:
            failure = BrokerUnreachable(f"{self._issuer.url} did not answer a moment ago", retry_after=RETRY_SECONDS)
        else:
            try:
                self._keys, self._fetched_at = self._fetch(), now
            except BrokerError as error:
                self._failed_at, failure = now, error
            else:
                return
        if not may_be_stale:
            raise failure

    def _fetch(self) -> dict[str, jwt.PyJWK]:
        url = self._issuer.jwks_url or self._discover()
        document = _document(self._http.get_json(url), f"the key set of {self._issuer.url}")
        entries = document.get("keys")
        if not isinstance(entries, list) or len(entries) > _MAX_KEYS:
            raise BrokerMisbehaved(f"the key set of {self._issuer.url} is not one")
        keys = (_usable_key(entry) for entry in entries)
        return {key.key_id: key for key in keys if key and key.key_id}

    def _discover(self) -> str:
        """Return where the keys are (OpenID Connect Discovery section 4)."""
        issuer = self._issuer.url
        document = _document(
            self._http.get_json(f"{issuer.rstrip('/')}/.well-known/openid-configuration"),
            f"the metadata of {issuer}",
        )
        url = document.get("jwks_uri")
        if document.get("issuer") != issuer or not isinstance(url, str):
            raise BrokerMisbehaved(f"the metadata of {issuer} is that of another issuer, or names no keys")
        try:
            IndexUrl.parse(url)  # https, or loopback; kept as it was written
        except UrlError as error:
            raise BrokerMisbehaved(f"the keys of {issuer} are at a URL that cannot be used: {error}") from error
        return url


def _document(answer: Answer, what: str) -> dict[str, object]:
    if answer.status != 200 or not isinstance(answer.body, dict):  # noqa: PLR2004  # RFC 9110
        raise BrokerUnreachable(f"{what} cannot be had: status {answer.status}", retry_after=answer.retry_after)
    return answer.body


def _usable_key(entry: object) -> jwt.PyJWK | None:
    """Return the key, or None if it is not one for signatures by an algorithm that we accept."""
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or not isinstance(entry.get("kid"), str):
        return None
    try:
        key = jwt.PyJWK(entry)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None  # a kind of key that a later issuer publishes beside the one that we need
    return key if key.algorithm_name in ALGORITHMS else None
