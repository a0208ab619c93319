"""Who is at the browser: what the pages' cookie carries, signed.

The broker keeps nothing about it, so signing out removes the cookie from the browser and no more; a copy of the cookie
is good until its fifteen minutes are over. This module never looks at a password.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from itsdangerous import BadData, URLSafeSerializer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response

    from indexpass._secret import Secret

SIGN_IN_SECONDS = 15 * 60  # long enough to approve, too short for whoever finds the browser open
_FORM_TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class Visitor:
    """One session of one browser.

    ``user`` is who is signed in, or empty; ``form_token`` is in every form of the session, where another site cannot
    know it; ``since`` is when the session began, in seconds since the epoch.
    """

    user: str
    form_token: str
    since: float

    @classmethod
    def arriving(cls, user: str, now: float) -> Visitor:
        """Begin a session, with a form token that no earlier one had."""
        return cls(user, secrets.token_urlsafe(_FORM_TOKEN_BYTES), now)


class VisitorCookie:
    """The cookie, written and read."""

    def __init__(self, secret: Secret, *, is_https: bool) -> None:
        """Sign with ``secret``. Over https, the cookie is one that other hosts and plain http cannot set or see."""
        self.name = "__Host-indexpass" if is_https else "indexpass"
        self._is_https = is_https
        self._signer = URLSafeSerializer(
            secret.reveal(),
            salt="indexpass sign-in 1",  # to be counted up when the content changes
            signer_kwargs={"key_derivation": "hmac", "digest_method": sha256},
        )

    def read(self, cookies: Mapping[str, str], now: float) -> Visitor | None:
        """Return the visitor, or None if there is no cookie, or it is forged or over."""
        try:
            visitor = Visitor(*self._signer.loads(cookies[self.name]))
        except (KeyError, BadData):
            return None
        return visitor if 0 <= now - visitor.since < SIGN_IN_SECONDS else None

    def write(self, answer: Response, visitor: Visitor) -> None:
        """Send the cookie with ``answer``."""
        answer.set_cookie(
            self.name,
            self._signer.dumps([visitor.user, visitor.form_token, visitor.since]),
            max_age=SIGN_IN_SECONDS,
            secure=self._is_https,
            httponly=True,
            # Not "lax": a link in a mail or a chat has to ask for the password, not to land on an open Approve button.
            # Our own forms and links, and URLs opened from a terminal, carry the cookie all the same.
            samesite="strict",
        )
