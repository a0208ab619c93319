"""May this token do this? The answer to every request to an index, from memory alone.

A token is good for one index and the operations in its scope, and for each of them perhaps for some projects only.
Everything that a new token would mend is answered with 401, because only a 401 makes pip ask again; 403 is left for a
token of the right index that lacks the scope, or is for other projects.
This module does no I/O: what was revoked is read elsewhere, every few seconds.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

from indexpass import _challenge, _metadata, _wire
from indexpass._secret import Secret
from indexpass.broker.guarding.projects import NO_TARGET, Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from indexpass._model import Operation
    from indexpass._url import Origin
    from indexpass.broker.keys import AccessToken
    from indexpass.broker.settings import GuardedIndex

MAX_REMEMBERED = 10_000  # verified tokens; each takes about 1 KiB
_BASIC_CHALLENGE = 'Basic realm="indexpass", charset="UTF-8"'  # RFC 7617
_CREDENTIALS_PARTS = 2


@dataclass(slots=True)  # nobody changes it; "frozen" would be a tenth of what a check costs
class Facts:
    """What is known of a request. ``index`` is None if its URL belongs to no index; no ``authorization`` is "".

    ``target`` is what the URL names in the index. ``is_held_later`` says that whoever asks will hold the request to
    the token's projects itself, because its URL does not name one: so the built-in index does with uploads.
    """

    authorization: str = field(repr=False)
    index: GuardedIndex | None
    operation: Operation
    target: Target = NO_TARGET
    is_held_later: bool = False


@dataclass(slots=True)  # as above
class Verdict:
    """The answer: 204, 401 or 403, why, and what to put into ``WWW-Authenticate``, in this order.

    A 204 says who may, and which ``projects`` the request still has to be held to; None is no such bound.
    """

    status: int
    reason: str = ""
    challenges: tuple[str, ...] = ()
    subject: str = ""
    projects: frozenset[str] | None = None


class Verifying(Protocol):
    """Knows the keys that tokens are signed with."""

    def decode(self, token: Secret) -> AccessToken | None:
        """Return what the token says, or None if it is not one that the broker signed."""
        ...


class Revoked(Protocol):
    """Knows what is no longer valid before its time."""

    def has(self, token: AccessToken) -> bool:
        """Is the token revoked?"""
        ...


class Checker:
    """Checks requests, and remembers the tokens that it has verified. Not for several threads at once."""

    def __init__(self, origin: Origin | None, keys: Verifying, revocations: Revoked, now: Callable[[], float]) -> None:
        """Remember nothing yet. ``origin`` is that of the broker, if this one publishes metadata of its indexes."""
        self._origin = origin
        self._keys = keys
        self._revocations = revocations
        self._now = now
        self._remembered: OrderedDict[bytes, AccessToken] = OrderedDict()

    def check(self, facts: Facts) -> Verdict:
        """Return the verdict on a request."""
        token = self._read(facts.authorization) if facts.authorization else None
        fault = self._fault(token, facts)
        if token is None or fault:
            return self._unauthorized(facts.index, fault)
        scope = _wire.SCOPES[facts.operation]
        if scope not in token.scopes:
            return _forbidden({"error": "insufficient_scope", "scope": scope}, f"the token lacks the scope {scope}")
        projects = token.projects.get(scope)
        if projects is None:
            return Verdict(204, subject=token.subject)
        if facts.is_held_later:
            return Verdict(204, subject=token.subject, projects=projects)
        if facts.target.project in projects:
            return Verdict(204, subject=token.subject)
        fault = _challenge.TOKEN_OTHER_PROJECTS
        return _forbidden({"error": "insufficient_scope", "error_description": fault}, fault)

    def _fault(self, token: AccessToken | None, facts: Facts) -> str:
        """Say why another token is needed here; "" if it is not, or none was shown."""
        if token is None:
            return _challenge.TOKEN_UNKNOWN if facts.authorization else ""
        if token.expires_at <= self._now():
            return _challenge.TOKEN_EXPIRED
        if self._revocations.has(token):
            return _challenge.TOKEN_REVOKED
        if facts.index is None:
            return _challenge.URL_UNGUARDED
        return "" if token.audience == facts.index.resource else _challenge.TOKEN_ELSEWHERE

    def _read(self, authorization: str) -> AccessToken | None:
        key = sha256(authorization.encode(errors="surrogatepass")).digest()
        token = self._remembered.get(key)
        if token:
            self._remembered.move_to_end(key)
            return token
        credential = _credential(authorization)
        token = self._keys.decode(credential) if credential else None
        if token:
            self._remembered[key] = token
            if len(self._remembered) > MAX_REMEMBERED:
                self._remembered.popitem(last=False)
        return token

    def _unauthorized(self, index: GuardedIndex | None, fault: str) -> Verdict:
        """Return a 401: Basic first, because pip and its neighbours take the first that they know.

        ``fault`` says what is wrong with the token, or is "" if there was none (RFC 6750 section 3.1). More than that
        it is not ours is said only of a token that we signed, to whoever holds it.
        """
        parameters = {"error": "invalid_token", "error_description": fault} if fault else {}
        if index and fault == _challenge.TOKEN_ELSEWHERE:
            parameters["resource"] = index.resource
        if index and index.url.origin == self._origin:  # only there do we publish the index's metadata (RFC 9728)
            parameters["resource_metadata"] = _metadata.well_known_url(_metadata.RESOURCE_METADATA_PATH, index.url)
        bearer = _challenge.bearer_challenge(parameters or {"realm": "indexpass"})
        return Verdict(401, fault or "a token is needed", (_BASIC_CHALLENGE, bearer))


def _forbidden(parameters: dict[str, str], reason: str) -> Verdict:
    """Return a 403 (RFC 6750 section 3.1)."""
    return Verdict(403, reason, (_challenge.bearer_challenge(parameters),))


def _credential(authorization: str) -> Secret | None:
    """Return the token in the header: the Basic password with any user name, or the Bearer token; None if neither."""
    parts = authorization.split(None, 1)
    if len(parts) != _CREDENTIALS_PARTS:
        return None
    scheme, value = parts[0].lower(), parts[1].strip()
    if scheme == "bearer":
        return Secret(value)
    if scheme != "basic":
        return None
    try:
        _, colon, password = b64decode(value, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        return None
    return Secret(password) if colon else None
