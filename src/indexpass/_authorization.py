"""The messages of a sign-in in the browser: the request in a URL, the answer in a redirect to the same machine.

RFC 6749 section 4.1 with PKCE (RFC 7636), a loopback redirect (RFC 8252 section 7.3) and the issuer in the answer
(RFC 9207). Built by one side and parsed by the other, both here; what goes to the token endpoint is in ``_wire``. This
module does no I/O.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from indexpass import _answer, _wire
from indexpass._secret import Secret
from indexpass.errors import BrokerMisbehaved

if TYPE_CHECKING:
    from collections.abc import Mapping

REDIRECT_PATH = "/callback"
_MAX_FIELDS = 32


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """What a program asks of a person's browser. It holds no secret: it stands in URLs, and is shown on a terminal.

    ``resource`` is the index's URL and ``scope`` what the program may do there; ``code_challenge`` is the SHA-256 of a
    secret that only the program has.
    """

    redirect_uri: str
    resource: str
    scope: str
    state: str
    code_challenge: str

    @property
    def query(self) -> str:
        """The request in the form in which it stands in a URL."""
        return urlencode(
            {
                "response_type": "code",
                "client_id": _wire.CLIENT_ID,
                "redirect_uri": self.redirect_uri,
                "resource": self.resource,
                "scope": self.scope,
                "state": self.state,
                "code_challenge": self.code_challenge,
                "code_challenge_method": "S256",
            }
        )


def new_state() -> str:
    """Return a word that no other page can know, by which the answer to this request is told from others."""
    return secrets.token_urlsafe(16)


def new_verifier() -> Secret:
    """Return a secret in the form that RFC 7636 section 4.1 asks for."""
    return Secret(secrets.token_urlsafe(32))


def challenge_of(verifier: Secret) -> str:
    """Return what may be shown of the verifier beforehand: S256 of RFC 7636 section 4.2."""
    digest = hashlib.sha256(verifier.reveal().encode(errors="surrogatepass")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def parse_query(query: str) -> dict[str, str] | None:
    """Return the parameters that have a value, or None if there is one twice or they cannot be read."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        return None
    found = dict(pairs)
    return {name: value for name, value in found.items() if value} if len(found) == len(pairs) else None


def answer_url(redirect_uri: str, issuer: str, members: Mapping[str, str]) -> str:
    """Return where the browser is sent with the broker's answer; empty members are left out."""
    said = {name: value for name, value in members.items() if value}
    return f"{redirect_uri}?{urlencode({**said, 'iss': issuer})}"


def parse_answer(
    query: str, *, state: str, issuer: str, who: str = "the broker", names_itself: bool = True
) -> Secret | None:
    """Return the code from the query of the redirect, or None if this is not an answer to the request of ``state``.

    ``who`` is the broker in words; only one that ``names_itself`` says who it is in its answer (RFC 9207). Raises
    BrokerMisbehaved if another broker than ``issuer`` answers, or there is no code, and BrokerRefused if the broker or
    the person said no.
    """
    answer = parse_query(query) or {}
    if not hmac.compare_digest(answer.get("state", "").encode(), state.encode()):
        return None
    if (names_itself or "iss" in answer) and answer.get("iss", "").rstrip("/") != issuer.rstrip("/"):
        raise BrokerMisbehaved(
            f"the browser came back from another broker than {issuer}",
            hint="run the command again, and close other sign-in pages first",
        )
    if "error" in answer:
        raise _answer.refusal(answer, who)
    code = answer.get("code", "")
    if not code:
        raise BrokerMisbehaved("the browser came back without a code")
    return Secret(code)
