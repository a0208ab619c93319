"""Who is at the browser: what the pages' cookies carry, signed.

One cookie says who is signed in. The broker keeps nothing about it, so signing out removes it from the browser and no
more; a copy of it is good until its fifteen minutes are over, or the person is signed out of every browser. The other
says for half a year that a browser was signed in as somebody, and is worth nothing without the password. This module
never looks at a password.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal

from itsdangerous import BadData, URLSafeSerializer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response

    from indexpass._secret import Secret

SIGN_IN_SECONDS = 15 * 60  # long enough to approve, too short for whoever finds the browser open
KNOWN_SECONDS = 180 * 24 * 3600
AWAY_SECONDS = 10 * 60  # for a password, a second factor and a consent
_FORM_TOKEN_BYTES = 32
_BROWSER_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Visitor:
    """One session of one browser.

    ``user`` is who is signed in, or empty; ``form_token`` is in every form of the session, where another site cannot
    know it; ``since`` is when the session began, in seconds since the epoch; ``groups`` are those that the company
    named at the sign-in, as far as a policy names them too: none for local users.
    """

    user: str
    form_token: str
    since: float
    groups: frozenset[str] = frozenset()

    @classmethod
    def arriving(cls, user: str, now: float, groups: frozenset[str] = frozenset()) -> Visitor:
        """Begin a session, with a form token that no earlier one had."""
        return cls(user, secrets.token_urlsafe(_FORM_TOKEN_BYTES), now, groups)


class VisitorCookie:
    """The cookie that says who is signed in, written and read."""

    def __init__(self, secret: Secret, *, is_https: bool) -> None:
        """Sign with ``secret``."""
        self._jar = _Jar("indexpass", "indexpass sign-in 2", secret, is_https=is_https)

    def read(self, cookies: Mapping[str, str], now: float) -> Visitor | None:
        """Return the visitor, or None if there is no cookie, or it is forged or over."""
        found = self._jar.read(cookies)
        if found is None:
            return None
        user, form_token, since, groups = found
        return Visitor(user, form_token, since, frozenset(groups)) if 0 <= now - since < SIGN_IN_SECONDS else None

    def write(self, answer: Response, visitor: Visitor) -> None:
        """Send the cookie with ``answer``."""
        content = [visitor.user, visitor.form_token, visitor.since, sorted(visitor.groups)]
        self._jar.write(answer, content, SIGN_IN_SECONDS)


@dataclass(frozen=True, slots=True)
class KnownBrowser:
    """A browser that has been signed in as ``user`` before; ``browser_id`` tells it from others."""

    user: str
    browser_id: str


class KnownBrowserCookie:
    """The cookie that says as whom a browser has been signed in before, written and read."""

    def __init__(self, secret: Secret, *, is_https: bool) -> None:
        """Sign with ``secret``."""
        self._jar = _Jar("indexpass-known", "indexpass known browser 1", secret, is_https=is_https)

    def read(self, cookies: Mapping[str, str], now: float) -> KnownBrowser | None:
        """Return what is known of the browser, or None if there is no cookie, or it is forged or over."""
        found = self._jar.read(cookies)
        if found is None:
            return None
        user, browser_id, since = found
        return KnownBrowser(user, browser_id) if 0 <= now - since < KNOWN_SECONDS else None

    def write(self, answer: Response, user: str, now: float) -> None:
        """Send the cookie with ``answer``: from now on, the browser is known under a new id."""
        self._jar.write(answer, [user, secrets.token_urlsafe(_BROWSER_ID_BYTES), now], KNOWN_SECONDS)


@dataclass(frozen=True, slots=True)
class Departure:
    """A browser on its way to the company's provider: ``state`` comes back with it, ``errand`` is what it came for."""

    state: str
    errand: dict[str, str]
    since: float


class AwayCookie:
    """The cookie that waits for a browser to come back from the company's provider, written and read.

    The provider sends the browser back, so this one is there for links from other sites: "lax". It is good for the
    one answer that has its ``state``, and signs nobody in by itself.
    """

    def __init__(self, secret: Secret, *, is_https: bool) -> None:
        """Sign with ``secret``."""
        self._jar = _Jar("indexpass-away", "indexpass away 1", secret, is_https=is_https, same_site="lax")

    def read(self, cookies: Mapping[str, str], now: float) -> Departure | None:
        """Return the departure, or None if there is no cookie, or it is forged or over."""
        found = self._jar.read(cookies)
        if found is None:
            return None
        departure = Departure(*found)
        return departure if 0 <= now - departure.since < AWAY_SECONDS else None

    def write(self, answer: Response, departure: Departure) -> None:
        """Send the cookie with ``answer``."""
        self._jar.write(answer, [departure.state, departure.errand, departure.since], AWAY_SECONDS)

    def remove(self, answer: Response) -> None:
        """Have the browser forget the cookie."""
        self._jar.remove(answer)


class _Jar:
    """A signed cookie, for this host alone and for no script. Over https, other hosts and http cannot set or see it."""

    def __init__(
        self,
        name: str,
        salt: str,
        secret: Secret,
        *,
        is_https: bool,
        # Not "lax": a link in a mail or a chat has to ask for the password, not to land on an open Approve button.
        # Our own forms and links, and URLs opened from a terminal, carry the cookie all the same.
        same_site: Literal["strict", "lax"] = "strict",
    ) -> None:
        """Sign with ``secret``; the number in ``salt`` is to be counted up when the content changes."""
        self._name = f"__Host-{name}" if is_https else name
        self._is_https = is_https
        self._same_site = same_site
        self._signer = URLSafeSerializer(
            secret.reveal(), salt=salt, signer_kwargs={"key_derivation": "hmac", "digest_method": sha256}
        )

    def read(self, cookies: Mapping[str, str]) -> list[Any] | None:  # what was signed is what was written
        try:
            content = self._signer.loads(cookies[self._name])
        except (KeyError, BadData):
            return None
        return content if isinstance(content, list) else None

    def write(self, answer: Response, content: list[object], seconds: int) -> None:
        answer.set_cookie(
            self._name,
            self._signer.dumps(content),
            max_age=seconds,
            secure=self._is_https,
            httponly=True,
            samesite=self._same_site,
        )

    def remove(self, answer: Response) -> None:
        answer.delete_cookie(self._name, secure=self._is_https, httponly=True, samesite=self._same_site)
