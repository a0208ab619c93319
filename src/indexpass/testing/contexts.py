"""What a provider is given in a test: a context, an index, an identity, and sessions that no disk sees."""

from __future__ import annotations

import threading
from types import MappingProxyType
from typing import TYPE_CHECKING

from indexpass._model import Context, IdentityToken, Index
from indexpass._secret import Secret
from indexpass._url import IndexUrl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from indexpass._model import ApiHttp, Session, SessionStore
    from indexpass.errors import IdentityError

NOW = 1_800_000_000.0  # January 2027, in seconds since the epoch
PROOF = "header.of-the-ci.signature"  # a JWT has three parts, and a double looks no further


class FakeIdentity:
    """Proves who runs this by one token, to whoever asks; ``audiences`` are those that it was asked for.

    A ``token`` of None is a machine that can prove nothing.
    """

    def __init__(self, token: str | None = PROOF, *, source: str = "THE_CI") -> None:
        """Prove nothing yet."""
        self.token = token
        self.source = source
        self.audiences: list[str] = []

    def __call__(self, audience: str) -> IdentityToken | None:
        """Return the token, as ``Context.identify`` has it."""
        self.audiences.append(audience)
        return IdentityToken(Secret(self.token), self.source) if self.token else None


class MemorySessions:
    """Sessions that are gone with the test; implements SessionStore."""

    def __init__(self) -> None:
        """Hold none."""
        self._held: dict[str, Session] = {}
        self._lock = threading.RLock()

    def load(self, broker: str) -> Session | None:
        """Return the session at this broker, or None."""
        return self._held.get(broker)

    def save(self, session: Session) -> None:
        """Keep the session in place of an older one."""
        self._held[session.broker] = session

    def forget(self, broker: str) -> None:
        """Remove the session at this broker, if there is one."""
        self._held.pop(broker, None)

    def exclusive(self, broker: str) -> AbstractContextManager[object]:  # noqa: ARG002  # one lock for all is enough
        """Keep other threads away meanwhile."""
        return self._lock


def make_context(  # noqa: PLR0913  # all that a context has
    *,
    http: ApiHttp | None = None,
    sessions: SessionStore | None = None,
    identify: Callable[[str], IdentityToken | None] = lambda _: None,
    now: Callable[[], float] | float = NOW,
    environ: Mapping[str, str] = MappingProxyType({}),
    unidentified: Callable[[str], IdentityError | None] = lambda _: None,
) -> Context:
    """Return what a provider may use of the world: nobody to identify, no variables, no sessions, a clock that stands.

    ``http`` is the client's own unless it is given, so a double on loopback can be asked.
    """
    if http is None:
        from indexpass._http import HttpClient  # noqa: PLC0415  # it loads requests

        http = HttpClient()
    return Context(
        http=http,
        sessions=sessions or MemorySessions(),
        identify=identify,
        now=now if callable(now) else lambda: now,
        environ=environ,
        unidentified=unidentified,
    )


def make_index(url: str, *, provider: str = "", upload_url: str | None = None, **options: str) -> Index:
    """Return the index ``acme`` as it would be configured; underscores in the names of options become dashes."""
    return Index(
        name="acme",
        url=IndexUrl.parse(url),
        upload_url=IndexUrl.parse(upload_url) if upload_url else None,
        provider=provider or "broker",
        options=MappingProxyType({key.replace("_", "-"): value for key, value in options.items()}),
    )
