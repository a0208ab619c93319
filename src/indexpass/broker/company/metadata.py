"""What the company's OpenID provider says of itself (OpenID Connect Discovery), fetched and kept for minutes.

This module never sends anything to the places that it finds.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from indexpass._url import IndexUrl
from indexpass.errors import BrokerError, BrokerMisbehaved, BrokerUnreachable, UrlError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from indexpass._model import Http

FRESH_SECONDS = 5 * 60
RETRY_SECONDS = 5  # between two fetches that failed
_DEFAULT_AUTH_METHODS = ["client_secret_basic"]


@dataclass(frozen=True, slots=True)
class Metadata:
    """The parts that the broker needs. URLs are kept as they were written.

    ``has_issuer_in_answers`` says whether the provider names itself in what it sends through the browser (RFC 9207).
    """

    authorization_endpoint: str
    token_endpoint: str
    userinfo_endpoint: str | None
    auth_methods: frozenset[str]
    has_issuer_in_answers: bool


class MetadataKeeper:
    """Fetches and keeps the metadata of one issuer. Its calls block: run them on a thread."""

    def __init__(self, issuer: str, *, http: Http, now: Callable[[], float]) -> None:
        """Fetch nothing yet."""
        self._issuer = issuer
        self._http = http
        self._now = now
        self._lock = threading.Lock()  # one fetch at a time; the others wait for its result
        self._metadata: Metadata | None = None
        self._fetched_at = float("-inf")
        self._failed_at = float("-inf")

    def find(self) -> Metadata:
        """Return the metadata. Raises BrokerUnreachable or BrokerMisbehaved."""
        with self._lock:
            now = self._now()
            if self._metadata and 0 <= now - self._fetched_at < FRESH_SECONDS:
                return self._metadata
            if 0 <= now - self._failed_at < RETRY_SECONDS:
                raise BrokerUnreachable(f"{self._issuer} did not answer a moment ago", retry_after=RETRY_SECONDS)
            try:
                self._metadata = self._fetch()
            except BrokerError:
                self._failed_at = self._now()
                raise
            self._fetched_at = now
            return self._metadata

    def _fetch(self) -> Metadata:
        answer = self._http.get_json(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
        document = answer.body
        if answer.status != 200 or not isinstance(document, dict):  # noqa: PLR2004  # RFC 9110
            raise BrokerUnreachable(f"the metadata of {self._issuer} cannot be had: status {answer.status}")
        if document.get("issuer") != self._issuer:
            raise BrokerMisbehaved(f"the metadata of {self._issuer} is that of another issuer")
        methods = document.get("token_endpoint_auth_methods_supported", _DEFAULT_AUTH_METHODS)
        return Metadata(
            authorization_endpoint=self._place(document, "authorization_endpoint"),
            token_endpoint=self._place(document, "token_endpoint"),
            userinfo_endpoint=self._place(document, "userinfo_endpoint") if "userinfo_endpoint" in document else None,
            auth_methods=frozenset(str(method) for method in methods) if isinstance(methods, list) else frozenset(),
            has_issuer_in_answers=document.get("authorization_response_iss_parameter_supported") is True,
        )

    def _place(self, document: Mapping[str, object], name: str) -> str:
        url = document.get(name)
        try:
            IndexUrl.parse(url if isinstance(url, str) else "")  # https, or loopback
        except UrlError as error:
            raise BrokerMisbehaved(f"the {name} of {self._issuer} cannot be used: {error}") from None
        return str(url)
