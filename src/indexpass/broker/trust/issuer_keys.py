"""The public keys of one trusted issuer: found, fetched, and kept for a while.

Keys are fetched anew after five minutes, and at once for a key that is not known, but then at most once a minute: a
stream of made-up key names must not become a stream of requests. If the issuer does not answer, its last keys serve
for an hour, and nobody waits for it meanwhile. Nothing is fetched from a private address unless the settings say so.
This module never verifies a token.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import jwt

from indexpass._url import IndexUrl
from indexpass.broker.trust.public_http import is_address
from indexpass.errors import BrokerError, BrokerMisbehaved, BrokerUnreachable, UrlError

if TYPE_CHECKING:
    from collections.abc import Callable

    from indexpass._model import Answer, Http
    from indexpass.broker.settings import TrustedIssuer

FRESH_SECONDS = 5 * 60
STALE_SECONDS = 60 * 60
COOL_DOWN_SECONDS = 60  # between two fetches for keys that are not known
RETRY_SECONDS = 5  # between two fetches that failed
FETCH_SECONDS = 5.0  # for each of the two documents
_MAX_KEYS = 100
_log = logging.getLogger("indexpass.broker")


class UnknownKey(Exception):
    """The issuer does not publish this key."""


class IssuerKeys:
    """Fetches and keeps the keys of one issuer."""

    def __init__(self, issuer: TrustedIssuer, *, http: Http, public_http: Http, now: Callable[[], float]) -> None:
        """Fetch nothing yet. ``public_http`` reaches public addresses only."""
        self._issuer = issuer
        self._http = http
        self._public_http = public_http
        self._now = now
        self._lock = threading.Lock()  # one fetch at a time; the others wait for its result
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._failed_at = float("-inf")
        self.failures = 0  # fetches that brought no keys, since the start

    def at_hand(self, kid: str) -> jwt.PyJWK | None:
        """Return the key of this name, or None if the keys have to be fetched for that. Never blocks."""
        return self._keys.get(kid) if 0 <= self._now() - self._fetched_at < FRESH_SECONDS else None

    def find(self, kid: str) -> jwt.PyJWK:
        """Return the key of this name. Blocks: call it on a thread.

        Raises UnknownKey if the issuer does not publish it, BrokerUnreachable or BrokerMisbehaved if that cannot be
        found out.
        """
        may_be_stale = kid in self._keys and self._now() - self._fetched_at < STALE_SECONDS
        if self._lock.acquire(blocking=not may_be_stale):  # who holds it fetches the keys anew
            try:
                self._refresh_if_due(kid)
            finally:
                self._lock.release()
        key = self._keys.get(kid)
        if key is None:
            raise UnknownKey
        return key

    def _refresh_if_due(self, kid: str) -> None:
        age = self._now() - self._fetched_at
        if not 0 <= age < (FRESH_SECONDS if kid in self._keys else COOL_DOWN_SECONDS):
            self._refresh(may_be_stale=kid in self._keys and age < STALE_SECONDS)

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
                self.failures += 1
                _log.warning("the keys of %s cannot be had: %s; %s", self._issuer.name, error, error.hint)
            else:
                return
        if not may_be_stale:
            raise failure

    def _fetch(self) -> dict[str, jwt.PyJWK]:
        url = self._issuer.jwks_url or self._discover()
        document = _document(self._get(url), f"the key set of {self._issuer.url}")
        entries = document.get("keys")
        if not isinstance(entries, list) or len(entries) > _MAX_KEYS:
            raise BrokerMisbehaved(f"the key set of {self._issuer.url} is not one")
        keys = (_usable_key(entry, self._issuer.algorithms) for entry in entries)
        return {key.key_id: key for key in keys if key and key.key_id}

    def _discover(self) -> str:
        """Return where the keys are (OpenID Connect Discovery section 4)."""
        issuer = self._issuer.url
        document = _document(
            self._get(f"{issuer.rstrip('/')}/.well-known/openid-configuration"), f"the metadata of {issuer}"
        )
        url = document.get("jwks_uri")
        if document.get("issuer") != issuer or not isinstance(url, str):
            raise BrokerMisbehaved(f"the metadata of {issuer} is that of another issuer, or names no keys")
        try:
            IndexUrl.parse(url)  # https, or loopback; kept as it was written
        except UrlError as error:
            raise BrokerMisbehaved(f"the keys of {issuer} are at a URL that cannot be used: {error}") from error
        return url

    def _get(self, url: str) -> Answer:
        """Fetch a document: from a private address only if the settings say so, or name that very address."""
        host = IndexUrl.parse(url).origin.host
        written = {IndexUrl.parse(text).origin.host for text in (self._issuer.url, self._issuer.jwks_url) if text}
        may_be_private = self._issuer.is_private or (host in written and is_address(host))
        return (self._http if may_be_private else self._public_http).get_json(url)


def _document(answer: Answer, what: str) -> dict[str, object]:
    if answer.status != 200 or not isinstance(answer.body, dict):  # noqa: PLR2004  # RFC 9110
        raise BrokerUnreachable(f"{what} cannot be had: status {answer.status}", retry_after=answer.retry_after)
    return answer.body


def _usable_key(entry: object, algorithms: tuple[str, ...]) -> jwt.PyJWK | None:
    """Return the key, or None if it is not one for signatures by an algorithm that we accept."""
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or not isinstance(entry.get("kid"), str):
        return None
    try:
        key = jwt.PyJWK(entry)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None  # a kind of key that a later issuer publishes beside the one that we need
    is_weak = key.Algorithm.check_key_length(key.key)
    return key if key.algorithm_name in algorithms and not is_weak else None
