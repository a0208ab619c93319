"""What the person who runs the broker has decided, as frozen values.

What no policy allows is denied. This module holds nouns and look-ups; ``settings_file`` reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from indexpass._url import IndexUrl

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from indexpass._model import Operation
    from indexpass._url import Origin

Replay = Literal["once", "until-exp"]
MAX_TOKEN_SECONDS = 24 * 3600  # a token that lives longer is a password
ANYONE = "*"


@dataclass(frozen=True, slots=True)
class GuardedIndex:
    """An index that tokens are minted for; lifetimes are in seconds."""

    name: str
    url: IndexUrl
    upload_url: IndexUrl | None
    files_url: IndexUrl | None
    read_seconds: int
    upload_seconds: int

    @property
    def resource(self) -> str:
        """What the index is called in requests and tokens: its URL in its one form."""
        return str(self.url)

    def seconds(self, operation: Operation) -> int:
        """Return how long a token for ``operation`` lives unless a policy shortens it."""
        return self.read_seconds if operation == "read" else self.upload_seconds

    def depth(self, url: IndexUrl) -> int:
        """Say how specifically the index covers ``url``: in matching path segments, or -1 if it does not."""
        places = (self.url, self.url.root, self.upload_url, self.files_url)
        return max((len(place.segments) for place in places if place and place.covers(url)), default=-1)


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """Whose identity tokens are believed. ``jwks_url`` is None where OIDC discovery finds it.

    ``replay`` is ``once`` where each token is accepted once, and ``until-exp`` where a job has one token for all that
    it does (GitLab, Bitbucket, a Kubernetes file) and it is accepted until it expires.
    """

    name: str
    url: str
    audience: str
    jwks_url: str | None
    replay: Replay


@dataclass(frozen=True, slots=True)
class People:
    """The people whom a policy means: names of users, or ``*`` for all of them."""

    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Workload:
    """The workloads that a policy means: those of one trusted issuer whose claims are exactly these."""

    issuer: str
    claims: Mapping[str, str | int | bool]


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may do what with which index. ``seconds`` shortens the tokens' life, None leaves it."""

    name: str
    index: str
    operations: frozenset[Operation]
    who: People | Workload
    seconds: int | None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything in ``broker.toml``. ``issuer`` is the broker's own URL, without a trailing slash."""

    issuer: str
    listen: tuple[str, int]
    tls_certificate: Path | None
    tls_key: Path | None
    database: str
    session_seconds: int
    indexes: tuple[GuardedIndex, ...]
    trusted_issuers: tuple[TrustedIssuer, ...]
    policies: tuple[Policy, ...]

    @property
    def origin(self) -> Origin:
        """Scheme, host and port of the broker itself."""
        return IndexUrl.parse(self.issuer).origin

    def index_named(self, name: str) -> GuardedIndex | None:
        """Return the index of this name, or None."""
        return next((index for index in self.indexes if index.name == name), None)

    def replay_of(self, issuer: str) -> Replay:
        """Say how often an identity token of the trusted issuer of this name is accepted."""
        return next((trusted.replay for trusted in self.trusted_issuers if trusted.name == issuer), "once")

    def index_for(self, resource: IndexUrl) -> GuardedIndex | None:
        """Return the index that tokens for ``resource`` are for, or None: the URLs must be the same."""
        return next((index for index in self.indexes if index.url == resource), None)

    def index_owning(self, url: IndexUrl) -> GuardedIndex | None:
        """Return the index that a requested URL belongs to: the most specific. None if there is none, or a tie."""
        depths = [(index.depth(url), index) for index in self.indexes]
        best = max((depth for depth, _ in depths), default=-1)
        owners = [index for depth, index in depths if depth == best >= 0]
        return owners[0] if len(owners) == 1 else None
