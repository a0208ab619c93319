"""The two nouns that every look-up speaks of: an index, and the credential for it.

They stand apart from the rest of the model because every keyring look-up of every user on the machine loads them, and
named tuples rather than dataclasses for the same reason: they are made six times faster (see the architecture page).
This module holds no behaviour beyond simple arithmetic on time.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass._secret import Secret
    from indexpass._url import IndexUrl

Operation = Literal["read", "upload"]
Age = Literal["fresh", "usable", "expired"]

FRESH_SECONDS = 20 * 60  # uv and Poetry never ask again in mid-run, so what they get must outlast a long install
USABLE_SECONDS = 30  # less than this and the request that carries the credential may arrive too late


class Index(NamedTuple):
    """A private package index, and who issues credentials for it.

    ``files_url`` is None where files stand in the index's own folder. ``options`` are the provider's own settings
    from the configuration, such as ``broker``.
    """

    name: str
    url: IndexUrl
    upload_url: IndexUrl | None = None
    files_url: IndexUrl | None = None
    provider: str = "broker"
    options: Mapping[str, str] = MappingProxyType({})


class Credential(NamedTuple):
    """What a client receives: user name and secret for one index and operation.

    ``issued_at`` and ``expires_at`` are seconds since the epoch, by this machine's clock; ``expires_at`` is None for
    a credential without an expiry. What is not ``is_kept`` never goes to the disk: its provider has it at hand at any
    time, such as a key in the desktop keyring, or nobody knows how long it is good for.
    """

    username: str
    secret: Secret
    issued_at: float
    expires_at: float | None
    is_kept: bool = True

    def age(self, now: float, *, jitter: float = 0.0) -> Age:
        """Say how old the credential is at ``now``.

        Fresh while more than 20 minutes or half its life remain, whichever is less; usable until 30 seconds or a
        tenth of its life before its end, whichever is less; then expired. ``jitter`` (0 to 1) makes the fresh age
        end up to 5 % of its life earlier, so that machines started together do not all renew at once. A credential
        from the future (a clock that was set back by more than a minute) is expired.
        """
        if self.expires_at is None:
            return "fresh"
        life = self.expires_at - self.issued_at
        remaining = self.expires_at - now
        if life <= 0 or now < self.issued_at - 60 or remaining <= min(USABLE_SECONDS, life / 10):
            return "expired"
        return "fresh" if remaining > self._reserve(jitter) else "usable"

    def fresh_until(self, *, jitter: float = 0.0) -> float | None:
        """Return from when on, in seconds since the epoch, the credential is renewed; None if never."""
        return None if self.expires_at is None else self.expires_at - self._reserve(jitter)

    def _reserve(self, jitter: float) -> float:
        """Return how many seconds of its life are kept in reserve for a client that never asks again."""
        life = (self.expires_at or self.issued_at) - self.issued_at
        return min(FRESH_SECONDS, life / 2) + jitter * life / 20
