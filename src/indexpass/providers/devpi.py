"""A person's login at a devpi server: the password is typed once and traded for devpi's own token of ten hours.

Source: devpi's user manual, "devpi login", and the code of devpi-server. The token works as Basic password in place of
the password, and is all that is kept. devpi's tokens know no operations: one that reads may also upload, where its user
may. They cannot be ended either, so a sign-out only forgets them. This module never keeps a password.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexpass._answer import make_readable, read_seconds, read_text, require_ready
from indexpass._credential import USABLE_SECONDS
from indexpass._model import Credential, Session
from indexpass._secret import Secret
from indexpass._url import IndexUrl
from indexpass.errors import BrokerMisbehaved, BrokerRefused, ConfigError, SessionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from indexpass._model import Answer, Context, Index, Operation

TOKEN_SECONDS = 36_000  # where the server does not say
_MAX_TOKEN_LENGTH = 16_384
_BELOW_ROOT = 3  # parts of an index's page: user, index, +simple
_REFUSALS = {401, 403}


class DevpiProvider:
    """Hands out a person's login token; implements Provider and SignInByTyping."""

    def issue(self, index: Index, operation: Operation, context: Context) -> Credential:  # noqa: ARG002  # see above
        """Return the token of the person who has logged in. Raises SessionError if there is none, or it is over."""
        root = _root(index)
        session = context.sessions.load(root)
        if session is None:
            raise SessionError(f"nobody is logged in at {root}", hint=f"indexpass login {index.name}")
        token, expires_at = _unpacked(session)
        now = context.now()
        if expires_at - now <= USABLE_SECONDS:
            raise SessionError(
                f"your login at {root} has ended, as devpi's do after a while", hint=f"indexpass login {index.name}"
            )
        return Credential(session.user, token, issued_at=now, expires_at=expires_at)

    def sign_in_by_typing(
        self, index: Index, context: Context, *, ask: Callable[[str], str], ask_secret: Callable[[str], Secret]
    ) -> tuple[Session, Credential]:
        """Trade user name and password for a token, and keep that; see ``_model.SignInByTyping``."""
        root = _root(index)
        user = index.options.get("username") or ask(f"User name at {root}")
        password = ask_secret(f"Password of {user} at {root}")
        asked_at = context.now()
        answer = context.http.send("POST", f"{root}+login", json={"user": user, "password": password})
        token, seconds = _parse(answer, root, user)
        session = _packed(root, user, token, asked_at + seconds)
        with context.sessions.exclusive(root):
            context.sessions.save(session)
        return session, Credential(user, token, issued_at=asked_at, expires_at=asked_at + seconds)

    def sign_out(self, index: Index, context: Context) -> Session | None:
        """Forget the token here; see ``_model.SignInByTyping``."""
        root = _root(index)
        with context.sessions.exclusive(root):
            session = context.sessions.load(root)
            context.sessions.forget(root)
        return session

    def session(self, index: Index, context: Context) -> Session | None:
        """Return the login at the index's server while its token lasts."""
        session = context.sessions.load(_root(index))
        return session if session and _unpacked(session)[1] - context.now() > USABLE_SECONDS else None


def _root(index: Index) -> str:
    """Return where the server is that the index is of: people log in at a server. Raises ConfigError."""
    segments = index.url.segments
    if len(segments) < _BELOW_ROOT or segments[-1] != "+simple":
        raise ConfigError(
            f"{index.url} is not the page of a devpi index",
            hint="end it with the user and the index: /USER/INDEX/+simple/",
        )
    return str(IndexUrl(index.url.origin, segments[:-_BELOW_ROOT]))


def _parse(answer: Answer, root: str, user: str) -> tuple[Secret, int]:
    """Return the token and its life in seconds. Raises BrokerRefused, BrokerUnreachable or BrokerMisbehaved."""
    require_ready(answer, root)
    body = answer.body
    if answer.status in _REFUSALS:
        said = body.get("message") if isinstance(body, dict) else None
        raise BrokerRefused(
            f"{root} does not log {user} in: {make_readable(said if isinstance(said, str) else 'it does not say why')}",
            reason="access_denied",
            hint="check user name and password; devpi login asks for the same ones",
        )
    result = body.get("result") if isinstance(body, dict) else None
    if answer.status != 200 or not isinstance(result, dict):  # noqa: PLR2004
        raise BrokerMisbehaved(
            f"{root} does not answer as a devpi server (status {answer.status})",
            hint="check the index's url: what comes before /USER/INDEX/+simple/ is where devpi is",
        )
    token = Secret(read_text(result, "password", limit=_MAX_TOKEN_LENGTH))
    return token, read_seconds(result, "expiration", default=TOKEN_SECONDS)


def _packed(root: str, user: str, token: Secret, expires_at: float) -> Session:
    """Return the session that remembers the token's end: nothing in the token says it to us."""
    return Session(root, user, Secret(f"{int(expires_at)}:{token.reveal()}"))


def _unpacked(session: Session) -> tuple[Secret, float]:
    expires_at, _, token = session.refresh_token.reveal().partition(":")
    return Secret(token), float(expires_at) if expires_at.isdecimal() else 0.0
