"""A double of the broker, as far as clients see it: metadata, exchange, refresh, sign-in by device, revocation.

It speaks as plugin-docs/reference/protocol.md has it, but verifies no identity token and knows no policy: what it
believes and what it refuses is said by the test. Its tokens are opaque and good for its own answers alone. For the
real thing, run ``indexpass broker serve``.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from indexpass import _wire
from indexpass._metadata import METADATA_PATH, Metadata
from indexpass._model import Session
from indexpass._secret import Secret
from indexpass._url import IndexUrl
from indexpass.errors import UrlError
from indexpass.testing.server import FakePlatform, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SAME_ANSWER_SECONDS = 30.0  # for so long a refresh token that is shown again brings the same successor
_OPENID_PATH = "/.well-known/openid-configuration"
INTERVAL_SECONDS = 1  # between a device's questions


class _Minted(NamedTuple):
    resource: str
    scopes: frozenset[str]
    expires_at: float


class _Spent(NamedTuple):
    successor: str
    at: float


class FakeBroker(FakePlatform):
    """A broker on loopback; ``counts`` says how often each thing was asked of it.

    A test sets ``believes`` (which identity tokens it takes), ``life_seconds``, and ``person``, who approves sign-ins
    by device at once; None lets them wait. What goes wrong is ordered by :meth:`fail`, and by :meth:`lie`.
    """

    def __init__(self, *, life_seconds: int = 3600, now: Callable[[], float] = time.time) -> None:
        """Take a port; ``now`` is the broker's clock, in seconds since the epoch."""
        super().__init__(self._route)
        self.life_seconds = life_seconds
        self.believes: Callable[[str], bool] = lambda _: True
        self.person: str | None = "alice"
        self.counts: Counter[str] = Counter()
        self._now = now
        self._minted: dict[str, _Minted] = {}
        self._sessions: dict[str, str] = {}  # the user, by refresh token
        self._spent: dict[str, _Spent] = {}
        self._devices: dict[str, Mapping[str, str]] = {}

    def sign_in(self, user: str = "alice") -> Session:
        """Return a session of this person, as a sign-in would have left it."""
        return Session(self.url, user, Secret(self._begin_session(user)))

    def end_sessions(self) -> None:
        """Sign everybody out."""
        self._sessions.clear()
        self._spent.clear()

    def opens(self, index_url: str, password: str, operation: str = "read") -> bool:
        """Is the password a token that was minted here, for this index and operation, and is still good?"""
        minted = self._minted.get(password)
        scope = "pypi:write" if operation == "upload" else "pypi:read"
        return (
            minted is not None
            and IndexUrl.parse(minted.resource) == IndexUrl.parse(index_url)
            and scope in minted.scopes
            and minted.expires_at > self._now()
        )

    def lie(self, **members: object) -> None:
        """From now on answer every request with 200 and this JSON object, whatever was asked."""
        self.fail(Reply(200, members))

    def _route(self, request: Request) -> Reply:
        match request.method, request.path:
            case "GET", path if path in (METADATA_PATH, _OPENID_PATH):
                return self._counted("metadata", Reply(200, self._metadata()))
            case "POST", "/oauth/token":
                return self._token(request.form)
            case "POST", "/oauth/device_authorization":
                return self._begin_device(request.form)
            case "POST", "/oauth/revoke":
                token = request.form.get("token", "")
                self._sessions.pop(token, None)
                self._minted.pop(token, None)
                return self._counted("revoke", Reply(200, {}))
        return Reply(404, {"error": "not_found"})

    def _metadata(self) -> dict[str, object]:
        return Metadata(
            issuer=self.url,
            token_endpoint=f"{self.url}/oauth/token",
            device_authorization_endpoint=f"{self.url}/oauth/device_authorization",
            revocation_endpoint=f"{self.url}/oauth/revoke",
            jwks_uri=f"{self.url}/jwks.json",
        ).to_json()

    def _counted(self, name: str, reply: Reply) -> Reply:
        self.counts[name] += 1
        return reply

    def _token(self, form: Mapping[str, str]) -> Reply:
        grant = form.get("grant_type", "")
        if grant == _wire.GRANT_EXCHANGE:
            return self._counted("exchange", self._exchange(form))
        if grant == _wire.GRANT_REFRESH:
            return self._counted("refresh", self._refresh(form))
        if grant == _wire.GRANT_DEVICE:
            return self._counted("device", self._ask_for_device(form))
        return Reply.refused("unsupported_grant_type", "the double knows no other grant")

    def _exchange(self, form: Mapping[str, str]) -> Reply:
        if form.get("subject_token_type") != _wire.TYPE_ID_TOKEN or not self.believes(form.get("subject_token", "")):
            return Reply.refused("invalid_request", "the identity token is not one that the double believes")
        return self._grant(form, issued_token_type=_wire.TYPE_ACCESS_TOKEN)

    def _refresh(self, form: Mapping[str, str]) -> Reply:
        shown = form.get("refresh_token", "")
        user = self._sessions.pop(shown, None)
        if user is not None:
            successor = self._begin_session(user)
            self._spent[shown] = _Spent(successor, self._now())
        else:
            spent = self._spent.get(shown)
            if spent is None or self._now() - spent.at > SAME_ANSWER_SECONDS or spent.successor not in self._sessions:
                return Reply.refused("invalid_grant", "the session is not known or over")
            successor, user = spent.successor, self._sessions[spent.successor]
        return self._grant(form, refresh_token=successor, user=user)

    def _begin_device(self, form: Mapping[str, str]) -> Reply:
        code = secrets.token_urlsafe(24)
        self._devices[code] = form
        page = f"{self.url}/device"
        invitation = _wire.DeviceAuthorization(Secret(code), "WDJB-MJHT", page, page, 600, INTERVAL_SECONDS)
        return self._counted("invitation", Reply(200, invitation.to_json()))

    def _ask_for_device(self, form: Mapping[str, str]) -> Reply:
        began = self._devices.get(form.get("device_code", ""))
        if began is None:
            return Reply.refused("expired_token", "the code is not known")
        if self.person is None:
            return Reply.refused("authorization_pending", "nobody has decided yet")
        del self._devices[form["device_code"]]
        return self._grant(began, refresh_token=self._begin_session(self.person), user=self.person)

    def _grant(self, form: Mapping[str, str], **more: str) -> Reply:
        scopes = frozenset(form.get("scope", "pypi:read").split())
        if not scopes <= set(_wire.SCOPES.values()):
            return Reply.refused("invalid_scope", "the scope is not known")
        try:
            resource = str(IndexUrl.parse(form.get("resource", "")))
        except UrlError:
            return Reply.refused("invalid_target", "the resource is not the URL of an index")
        token = f"fake-{secrets.token_urlsafe(24)}"
        self._minted[token] = _Minted(resource, scopes, self._now() + self.life_seconds)
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": self.life_seconds}
        return Reply(200, {**answer, "scope": " ".join(sorted(scopes)), **more}, {"Cache-Control": "no-store"})

    def _begin_session(self, user: str) -> str:
        token = f"fake-session-{secrets.token_urlsafe(24)}"
        self._sessions[token] = user
        return token
