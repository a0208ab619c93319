"""A key that somebody made on a platform's page, for indexes that issue nothing shorter-lived.

Envelope, Gemfury, Nexus and others are of this kind. The key is in a variable, in a file that nobody else can read, or
where sessions are: in the desktop keyring, if one is there. It is looked up each time and never copied to our cache.
This module asks no server, except once whether a key that was just typed is taken.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING

from indexpass._files import read_key_file
from indexpass._model import Credential, Session
from indexpass._secret import Secret
from indexpass._wire import TOKEN_USERNAME
from indexpass.errors import BrokerRefused, ConfigError, SessionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from indexpass._model import Context, Index, Operation

FORESIGHT_DAYS = 30  # before its last day, `indexpass status` warns of a key: time enough for a holiday
MAX_KEY_BYTES = 16 * 1024
_UNAUTHORIZED = 401
_PLACES = {"password", "username"}  # of Basic, where a platform wants its key


class StaticProvider:
    """Hands out a kept key; implements Provider, SignInByTyping and WithOutlook."""

    def issue(self, index: Index, operation: Operation, context: Context) -> Credential:  # noqa: ARG002  # one key
        """Return the key, for whatever operation: only the platform knows what it is good for.

        Raises SessionError if a person has to type it first, and ConfigError if it is not where the settings say, or
        if its last day is over.
        """
        key = _configured_key(index, context)
        if key is None:
            session = context.sessions.load(str(index.url))
            if session is None:
                raise SessionError(f"no key is kept for {index.url}", hint=f"indexpass login {index.name}")
            key = session.refresh_token
        return _credential(index, key, context.now())

    def sign_in_by_typing(
        self,
        index: Index,
        context: Context,
        *,
        ask: Callable[[str], str],  # noqa: ARG002  # the user name is in the settings
        ask_secret: Callable[[str], Secret],
    ) -> tuple[Session, Credential]:
        """Keep the key that the person types, unless the index refuses it; see ``_model.SignInByTyping``."""
        _refuse_configured(index)
        key = _checked(ask_secret(f"Key for {index.url}").reveal(), "what was typed")
        credential = _credential(index, key, context.now())
        if context.http.try_credential(str(index.url), credential).status == _UNAUTHORIZED:
            raise BrokerRefused(
                f"{index.url} refuses this key",
                reason="index_refused",
                hint=f"copy it anew from the platform's page, then: indexpass login {index.name}",
            )
        session = Session(str(index.url), _shown_user(index), key)
        with context.sessions.exclusive(session.broker):
            context.sessions.save(session)
        return session, credential

    def sign_out(self, index: Index, context: Context) -> Session | None:
        """Forget the key here. The platform still takes it: only its own page can end it."""
        _refuse_configured(index)
        with context.sessions.exclusive(str(index.url)):
            session = context.sessions.load(str(index.url))
            context.sessions.forget(str(index.url))
        return session

    def session(self, index: Index, context: Context) -> Session | None:
        """Return the key as a session at the index, wherever it is; None if a person has to type it first."""
        _expiry(index)
        key = _configured_key(index, context)
        if key:
            return Session(str(index.url), _shown_user(index), key)
        return context.sessions.load(str(index.url))

    def foresee(self, index: Index, now: float) -> str | None:
        """Say that the key's last day is near or over; see ``_model.WithOutlook``. Raises ConfigError."""
        expires_at = _expiry(index)
        if expires_at is None or expires_at - now > timedelta(days=FORESIGHT_DAYS).total_seconds():
            return None
        days = int((expires_at - now) // timedelta(days=1).total_seconds())
        when = f"in {days} days" if days > 0 else "today" if expires_at > now else "already"
        return f"the key expires {when} ({index.options['expires']}): {_renewal(index)}"


def _credential(index: Index, key: Secret, now: float) -> Credential:
    expires_at = _expiry(index)
    if expires_at is not None and expires_at <= now:
        raise ConfigError(f"the key for {index.url} was good until {index.options['expires']}", hint=_renewal(index))
    # Where the platform wants the key as user name it ignores the password, but some clients insist on one.
    username = key.reveal() if _is_username(index) else index.options.get("username", TOKEN_USERNAME)
    return Credential(username, key, issued_at=now, expires_at=expires_at, is_kept=False)


def _configured_key(index: Index, context: Context) -> Secret | None:
    """Return the key from the place that the settings name; None if they name none. Raises ConfigError."""
    variable, path = index.options.get("key-variable"), index.options.get("key-file")
    if variable and path:
        raise ConfigError(
            f"the index {index.name!r} has both a key-variable and a key-file", hint="remove one of the two lines"
        )
    if variable:
        value = context.environ.get(variable)
        if not value:
            raise ConfigError(f"the variable {variable} is not set", hint=f"put the key for {index.url} into it")
        return _checked(value, f"the variable {variable}")
    if path:
        return _checked(read_key_file(path), f"the file {path}")
    return None


def _checked(text: str, where: str) -> Secret:
    """Return the key without the white space around it. Raises ConfigError if it cannot be one."""
    key = text.strip()
    if not key or len(key) > MAX_KEY_BYTES or not key.isascii() or not key.isprintable():
        raise ConfigError(f"{where} is no key: one line of ASCII, at most 16 KiB", hint="copy the key once more")
    return Secret(key)


def _expiry(index: Index) -> float | None:
    """Return the end of the key's last day, in UTC; None if the settings name none. Raises ConfigError."""
    text = index.options.get("expires")
    if text is None:
        return None
    try:
        last_day = date.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"'expires' of the index {index.name!r} is no date: {text}", hint='write it as expires = "2027-01-31"'
        ) from None
    return datetime.combine(last_day + timedelta(days=1), time(), timezone.utc).timestamp()


def _is_username(index: Index) -> bool:
    place = index.options.get("key-as", "password")
    if place not in _PLACES:
        raise ConfigError(f"'key-as' of the index {index.name!r} is {place!r}", hint="write password or username")
    return place == "username"


def _shown_user(index: Index) -> str:
    """Return the user name for people: none where it is the key."""
    return "" if _is_username(index) else index.options.get("username", TOKEN_USERNAME)


def _renewal(index: Index) -> str:
    place = index.options.get("key-variable") or index.options.get("key-file")
    then = f"put it into {place}" if place else f"run indexpass login {index.name}"
    return f"make a new one on the platform's page, {then}, and correct 'expires'"


def _refuse_configured(index: Index) -> None:
    place = index.options.get("key-variable") or index.options.get("key-file")
    if place:
        raise ConfigError(
            f"the key for {index.url} is kept in {place}, not by indexpass", hint=f"put another one into {place}"
        )
