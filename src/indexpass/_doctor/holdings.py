"""What this machine has for each index: who a credential would be for, and what is held already. Asks nobody.

This module judges nothing, and shows of a token nothing but what it says that it may do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from indexpass import _registry
from indexpass._identity_token import read_claims
from indexpass._model import WithOutlook
from indexpass._standing import find_identity
from indexpass.errors import IndexpassError

if TYPE_CHECKING:
    from indexpass._cache import Cache
    from indexpass._credential import Age, Credential, Index, Operation
    from indexpass._model import Context

_OPERATIONS: tuple[Operation, ...] = ("read", "upload")
_MAX_SCOPE_LENGTH = 80


class Held(NamedTuple):
    """What is kept for one operation. ``seconds_left`` is None without an expiry, ``scope`` "" if nothing is said."""

    operation: Operation
    age: Age
    seconds_left: float | None
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Holding:
    """One index. ``who`` is None if nobody is signed in, or if ``error`` says why that cannot be told.

    ``failures`` are of attempts a few seconds ago; ``outlook`` is what the provider warns of.
    """

    index: Index
    who: str | None
    error: IndexpassError | None = None
    held: tuple[Held, ...] = ()
    failures: tuple[IndexpassError, ...] = ()
    outlook: str | None = None


def look_at_index(index: Index, cache: Cache, context: Context) -> Holding:
    """Return what there is for the index."""
    now = context.now()
    who = outlook = None
    trouble: IndexpassError | None = None
    try:
        who = find_identity(index, context)
        provider = _registry.provider_for(index)
        outlook = provider.foresee(index, now) if isinstance(provider, WithOutlook) else None
        if who is None and "broker" in index.options:  # in CI, no person can sign in: something else is missing
            trouble = context.unidentified(index.options.get("audience", index.options["broker"]))
    except IndexpassError as error:
        trouble = error
    credentials = [(operation, cache.load(index, operation)) for operation in _OPERATIONS]
    failures = {failure.message: failure for each in _OPERATIONS if (failure := cache.failure(index, each, now))}
    return Holding(
        index,
        who,
        trouble,
        held=tuple(_held(operation, credential, now) for operation, credential in credentials if credential),
        failures=tuple(failures.values()),
        outlook=outlook,
    )


def _held(operation: Operation, credential: Credential, now: float) -> Held:
    left = None if credential.expires_at is None else max(credential.expires_at - now, 0.0)
    scope = read_claims(credential.secret).get("scope")  # a JWT's; other tokens say nothing
    said = scope[:_MAX_SCOPE_LENGTH] if isinstance(scope, str) else ""
    return Held(operation, credential.age(now), left, said)
