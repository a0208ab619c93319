"""The nouns that every layer speaks of, and the three protocols that others implement.

Every pluggable part gives one of three answers: not mine → ``None``; mine, but I cannot → an IndexpassError with a
hint; mine → the value. This module holds no behaviour. The nouns of a mere look-up come from ``_credential``, so that
a look-up need not load the rest.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from indexpass._credential import Age, Credential, Index, Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from indexpass._secret import Secret
    from indexpass.errors import IdentityError

__all__ = [
    "Age",
    "Answer",
    "ApiHttp",
    "Context",
    "Credential",
    "Fit",
    "Http",
    "IdentitySource",
    "IdentityToken",
    "Index",
    "Invitation",
    "Operation",
    "Provider",
    "Session",
    "SessionStore",
    "SignIn",
    "SignInByTyping",
    "Surroundings",
    "WithOutlook",
    "WithOwnProof",
]


class IdentityToken(NamedTuple):
    """Proof of who runs this: an OIDC ID token, and the name of the source that produced it."""

    secret: Secret
    source: str


class Fit(NamedTuple):
    """Whether an identity source applies here.

    ``source`` says in words where a token would come from, and is None if the source does not apply. Then ``reason``
    says why not, and ``hint`` what to paste if the platform is this one, and only a setting of the job is missing.
    """

    source: str | None
    reason: str = ""
    hint: str = ""


class Session(NamedTuple):
    """A person's sign-in at a broker, kept alive by a refresh token.

    ``broker`` is the broker's issuer URL, ``user`` the name that the broker knows the person by.
    """

    broker: str
    user: str
    refresh_token: Secret


class Invitation(NamedTuple):
    """What a person needs to sign in on any screen: a page, a code to compare there, and seconds to do it in.

    ``direct_url`` is the page with the code already filled in.
    """

    url: str
    direct_url: str
    code: str
    expires_in: int


class Answer(NamedTuple):
    """What a server said: the status, the parsed JSON body (None if there was none), and Retry-After in seconds.

    ``headers`` have names in lower case.
    """

    status: int
    body: object
    retry_after: float | None = None
    headers: Mapping[str, str] = MappingProxyType({})

    def __repr__(self) -> str:
        """Show the status only: until it is parsed, the body holds tokens as plain text."""
        return f"Answer(status={self.status})"


class Http(Protocol):
    """The only way out: bounded in time and size, never following a redirect."""

    def get_json(self, url: str, *, authorization: Secret | None = None) -> Answer:
        """Return the answer to a GET, with this header if it is given. Raises BrokerUnreachable or BrokerMisbehaved."""
        ...

    def post_form(self, url: str, form: Mapping[str, str | Secret], *, authorization: Secret | None = None) -> Answer:
        """Return the answer to a form-encoded POST, likewise. Raises BrokerUnreachable or BrokerMisbehaved."""
        ...

    def try_credential(self, url: str, credential: Credential) -> Answer:
        """Return the answer to a HEAD that carries the credential. Raises BrokerUnreachable."""
        ...


class ApiHttp(Http, Protocol):
    """Http for platforms whose APIs want more than OAuth does: other methods, headers of their own, JSON."""

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str | Secret] = MappingProxyType({}),
        json: Mapping[str, object] | None = None,
    ) -> Answer:
        """Return the answer to a request, with all its headers; a Secret in ``json`` is revealed on its way out.

        Raises BrokerUnreachable or BrokerMisbehaved.
        """
        ...


class SessionStore(Protocol):
    """Where refresh tokens are kept, one session a broker."""

    def load(self, broker: str) -> Session | None:
        """Return the session at this broker, or None."""
        ...

    def save(self, session: Session) -> None:
        """Keep the session in place of an older one. Raises StoreError if it cannot be kept safely."""
        ...

    def forget(self, broker: str) -> None:
        """Remove the session at this broker, if there is one."""
        ...

    def exclusive(self, broker: str) -> AbstractContextManager[object]:
        """Keep every other process from using this broker's session meanwhile: a refresh token works once."""
        ...


class Context(NamedTuple):
    """What a provider may use of the world outside; tests pass their own.

    ``identify`` asks the identity sources for a token made for an audience; ``now`` is seconds since the epoch;
    ``environ`` is the environment of this process. Where no source has a token, ``unidentified`` returns the error that
    says in CI why not, and None where a person may sign in.
    """

    http: ApiHttp
    sessions: SessionStore
    identify: Callable[[str], IdentityToken | None]
    now: Callable[[], float]
    environ: Mapping[str, str] = MappingProxyType({})
    unidentified: Callable[[str], IdentityError | None] = lambda _: None


class Surroundings(NamedTuple):
    """What an identity source may use of the world outside; tests pass their own.

    ``environ`` is the environment of this process, ``now`` seconds since the epoch.
    """

    environ: Mapping[str, str]
    http: ApiHttp
    now: Callable[[], float]


class Provider(Protocol):
    """Obtains a credential for an index. One module per platform in ``indexpass.providers``."""

    def issue(self, index: Index, operation: Operation, context: Context) -> Credential:
        """Return a new credential for ``operation`` on ``index``. Raises IndexpassError with a hint if it cannot."""
        ...


@runtime_checkable
class SignIn(Protocol):
    """A provider at which people sign in."""

    def sign_in(
        self,
        index: Index,
        context: Context,
        *,
        show: Callable[[Invitation], None],
        wait: Callable[[float], None],
        browse: Callable[[str], bool] | None = None,
    ) -> tuple[Session, Credential]:
        """Sign a person in, keep the session, and return it with a first credential for reading ``index``.

        ``browse`` opens a page in a browser on this machine and says whether that worked; it is called on a thread of
        its own. Without it, or where it does not work, ``show`` presents an invitation for any screen, and ``wait``
        sleeps for a number of seconds. Raises BrokerRefused if the person denies, BrokerError, SessionError or
        StoreError otherwise.
        """
        ...

    def sign_out(self, index: Index, context: Context) -> Session | None:
        """End the session at the index's broker, there and here; return it, or None if there was none.

        The session is forgotten here even if the broker cannot be told; that raises BrokerError.
        """
        ...

    def session(self, index: Index, context: Context) -> Session | None:
        """Return the session that credentials for ``index`` would come from, or None."""
        ...


@runtime_checkable
class SignInByTyping(Protocol):
    """A provider that people type something for: a key that is kept, or a password that is traded for a token.

    Nobody types it in the middle of a client's run.
    """

    def sign_in_by_typing(
        self, index: Index, context: Context, *, ask: Callable[[str], str], ask_secret: Callable[[str], Secret]
    ) -> tuple[Session, Credential]:
        """Keep what came of what the person typed, and return it with a first credential for reading ``index``.

        ``ask`` and ``ask_secret`` show a few words and return the line that is typed then, the second one without
        showing it. Raises IndexpassError with a hint if it is not taken.
        """
        ...

    def sign_out(self, index: Index, context: Context) -> Session | None:
        """Forget what is kept for the index; return it, or None if there was nothing."""
        ...

    def session(self, index: Index, context: Context) -> Session | None:
        """Return what credentials for ``index`` would come from, or None."""
        ...


@runtime_checkable
class WithOutlook(Protocol):
    """A provider that knows what will soon keep it from issuing."""

    def foresee(self, index: Index, now: float) -> str | None:
        """Say in one line what a person should do about ``index`` in time, or None. Asks nobody."""
        ...


@runtime_checkable
class WithOwnProof(Protocol):
    """A provider that knows by itself what stands for a person here, such as its platform's token of the job.

    It is not asked which identity source applies.
    """

    def own_proof(self, index: Index, context: Context) -> str | None:
        """Say in words whose proof a credential for ``index`` would come from; None if it is a person's. Asks nobody.

        Raises what ``issue`` would raise of it.
        """
        ...


class IdentitySource(Protocol):
    """Proves who runs this. One module per source in ``indexpass.identity``."""

    def examine(self, audience: str, environ: Mapping[str, str]) -> Fit:
        """Say whether this source can prove something for ``audience`` here. Asks nobody: variables and files only.

        Raises IdentityError if what it would take is there, and is broken.
        """
        ...

    def prove(self, audience: str, surroundings: Surroundings) -> IdentityToken:
        """Return a token made for ``audience``, where :meth:`examine` says that this source applies.

        Raises IdentityError with a hint if it cannot, and BrokerUnreachable if whoever makes the tokens is away.
        """
        ...
