"""What the person who runs the broker has decided, as frozen values.

What no policy allows is denied. This module holds nouns and look-ups; ``settings_file`` reads them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from indexpass._url import IndexUrl

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping
    from pathlib import Path

    from indexpass._model import Operation
    from indexpass._url import Origin

Replay = Literal["once", "until-exp"]
MAX_TOKEN_SECONDS = 24 * 3600  # a token that lives longer is a password
MAX_UPLOAD_SECONDS = 6 * 3600  # PEP 807: as long as a job may run
ANYONE = "*"


@dataclass(frozen=True, slots=True)
class GuardedIndex:
    """An index that tokens are minted for; lifetimes are in seconds.

    ``resource`` is what it is called in requests and tokens: its URL in its one form.
    """

    name: str
    url: IndexUrl
    upload_url: IndexUrl | None
    files_url: IndexUrl | None
    read_seconds: int
    upload_seconds: int
    resource: str = field(init=False)  # each check compares it

    def __post_init__(self) -> None:
        """Write the URL out once."""
        object.__setattr__(self, "resource", str(self.url))  # it is frozen

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
    it does (GitLab, Bitbucket, a Kubernetes file) and it is accepted until it expires. ``preset`` is the platform's
    name in :mod:`indexpass.broker.trust.presets`. Its keys are never fetched from a private address unless
    ``is_private``, or unless the URL here is such an address itself.
    """

    name: str
    url: str
    audience: str
    jwks_url: str | None
    replay: Replay
    preset: str = "generic"
    algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA")
    is_private: bool = False


@dataclass(frozen=True, slots=True)
class People:
    """The people whom a policy means: by name, ``*`` for all of them, or by a group of the company."""

    names: frozenset[str]
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Workload:
    """The workloads that a policy means: those of one trusted issuer.

    ``claims`` have exactly these values, ``patterns`` match the whole value. A key that begins with a slash is a JSON
    pointer (RFC 6901). Who has a claim of ``refused`` with just that value is not meant.
    """

    issuer: str
    claims: Mapping[str, str | int | bool]
    patterns: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may do what with which index. ``seconds`` shortens the tokens' life, None leaves it.

    ``projects`` are the names, normalised (PEP 503), that it is for; None for all of the index.
    """

    name: str
    index: str
    operations: frozenset[Operation]
    who: People | Workload
    seconds: int | None
    projects: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Company:
    """The company's own sign-in, an OpenID provider, at which the broker is a client.

    ``client_secret_file`` is None for a public client. ``name_claims`` are those of which the first that is there
    names the person. Who is in none of ``required_groups`` cannot sign in, unless there are none. ``max_age_seconds``
    is how long ago the person may have proved who they are to the provider, None where it need not say so.
    ``is_private`` lets the provider's metadata name hosts on private addresses.
    """

    name: str
    issuer: str
    client_id: str
    client_secret_file: Path | None
    scopes: tuple[str, ...]
    name_claims: tuple[str, ...]
    groups_claim: str
    required_groups: frozenset[str]
    max_age_seconds: int | None
    is_private: bool


@dataclass(frozen=True, slots=True)
class Rate:
    """So many within a sliding window of ``seconds``."""

    count: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Running:
    """How the broker runs; times are in seconds. ``metrics_listen`` is None where nobody asks for metrics.

    ``trusted_proxies`` are addresses and networks: whom the broker believes about the address of a client.
    """

    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    metrics_listen: tuple[str, int] | None = None
    audit_seconds: int = 400 * 24 * 3600  # a year, and time to look at it
    has_usage: bool = False  # who fetched what is about people: it is counted where somebody has decided so
    refused_exchanges: Rate = Rate(300, 60)
    wrong_passwords: Rate = Rate(50, 600)
    connections: int = 900  # below the 1,024 open files that a process may usually have


@dataclass(frozen=True, slots=True)
class Database:
    """Where the broker keeps its state: a SQLAlchemy URL without a password, and the file of the password, if any."""

    url: str
    password_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything in ``broker.toml``. ``issuer`` is the broker's own URL, without a trailing slash."""

    issuer: str
    listen: tuple[str, int]
    tls_certificate: Path | None
    tls_key: Path | None
    database: Database
    session_seconds: int
    indexes: tuple[GuardedIndex, ...]
    trusted_issuers: tuple[TrustedIssuer, ...]
    policies: tuple[Policy, ...]
    company: Company | None = None
    running: Running = Running()
    key_seconds: int = 30 * 24 * 3600  # how long each signing key signs

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
