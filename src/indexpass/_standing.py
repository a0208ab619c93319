"""Where this machine stands with an index: who a new credential would be for, and what is held. Asks nobody.

What a provider or an identity source would say if it were asked is not known here; what is wrong already is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from indexpass import _registry
from indexpass._model import SignIn, SignInByTyping, WithOutlook, WithOwnProof
from indexpass._resolve import renews_at
from indexpass.errors import IndexpassError

if TYPE_CHECKING:
    from indexpass._cache import Cache
    from indexpass._model import Context, Index, Operation


class Held(NamedTuple):
    """What is kept for one operation: an age ("none" if nothing is), the last failure in words, and seconds.

    ``seconds_left`` is until the credential ends, of ``life_seconds``; whoever asks after ``renews_in_seconds`` has it
    renewed. All three are None where nothing is held, or what is held does not end.
    """

    age: str
    seconds_left: int | None
    failure: str | None
    life_seconds: int | None = None
    renews_in_seconds: int | None = None


class Standing(NamedTuple):
    """What one index is, and where this machine stands with it."""

    name: str
    url: str
    provider: str
    identity: str | None
    read: Held
    upload: Held
    outlook: str | None
    identity_sources: dict[str, str]


def examine(index: Index, cache: Cache, context: Context) -> Standing:
    """Return where this machine stands with the index. What is broken is said in words, not raised."""
    return Standing(
        name=index.name,
        url=str(index.url),
        provider=index.provider,
        identity=identify(index, context),
        read=look_up(index, "read", cache, context.now()),
        upload=look_up(index, "upload", cache, context.now()),
        outlook=_foresee(index, context.now()),
        identity_sources=examine_identity(index, context),
    )


def identify(index: Index, context: Context) -> str | None:
    """Say who a new credential would be issued to, or None if somebody has to sign in first.

    A source that fails says why: "unusable: …".
    """
    try:
        return find_identity(index, context)
    except IndexpassError as error:
        return f"unusable: {error.message}"


def find_identity(index: Index, context: Context) -> str | None:
    """Return what :func:`identify` says. Raises IndexpassError with a hint where something is broken."""
    provider = _registry.provider_for(index)
    if isinstance(provider, WithOwnProof):
        proof = provider.own_proof(index, context)
        if proof:
            return proof
    elif not isinstance(provider, SignInByTyping):  # else what a machine can prove is of no use
        found = _registry.find_source(_audience(index), context.environ)
        if found:
            return f"identity token from {found[1].source}"
    if not isinstance(provider, SignIn | SignInByTyping):
        return f"found by the provider {index.provider}"
    session = provider.session(index, context)
    return f"{session.user or 'signed in'} at {session.broker}" if session else None


def examine_identity(index: Index, context: Context) -> dict[str, str]:
    """Say of each identity source where a token would come from, or why it does not apply."""
    try:
        fits = dict(_registry.examine_sources(_audience(index), context.environ))
    except IndexpassError:
        return {}  # the identity says what is broken
    return {name: f"applies: {fit.source}" if fit.source else fit.reason for name, fit in fits.items()}


def asks_identity_sources(index: Index) -> bool:
    """Would a new credential come from what an identity source proves, if one applies?"""
    try:
        provider = _registry.provider_for(index)
    except IndexpassError:
        return False
    return not isinstance(provider, WithOwnProof | SignInByTyping)


def look_up(index: Index, operation: Operation, cache: Cache, now: float) -> Held:
    """Return what is held for one operation on the index."""
    credential = cache.load(index, operation)
    failure = cache.failure(index, operation, now)
    words = failure.message if failure else None
    if credential is None:
        return Held("none", None, words)
    renewal = renews_at(credential)
    if credential.expires_at is None or renewal is None:
        return Held(credential.age(now), None, words)
    return Held(
        credential.age(now),
        max(int(credential.expires_at - now), 0),
        words,
        life_seconds=max(int(credential.expires_at - credential.issued_at), 0),
        renews_in_seconds=max(int(renewal - now), 0),
    )


def _audience(index: Index) -> str:
    return index.options.get("audience") or index.options.get("broker", str(index.url))


def _foresee(index: Index, now: float) -> str | None:
    try:
        provider = _registry.provider_for(index)
        return provider.foresee(index, now) if isinstance(provider, WithOutlook) else None
    except IndexpassError:
        return None  # who cannot issue has said so beside the identity
