"""``indexpass status``: every index, who I am there, and how old my credentials are. Asks nobody."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, NamedTuple

import click

from indexpass import _registry
from indexpass._cache import Cache
from indexpass._cli.selection import chosen, configured
from indexpass._locations import locate
from indexpass._model import SignIn, SignInByTyping, WithOutlook
from indexpass._resolve import default_context
from indexpass.errors import IndexpassError

if TYPE_CHECKING:
    from indexpass._model import Context, Index, Operation

_OPERATIONS: tuple[Operation, ...] = ("read", "upload")


class _Held(NamedTuple):
    """What is kept on this machine for one operation: an age, seconds left, and the last failure in words."""

    age: str
    seconds_left: int | None
    failure: str | None


class _Row(NamedTuple):
    """One index as ``status`` shows it."""

    name: str
    url: str
    provider: str
    identity: str | None
    read: _Held
    upload: _Held
    outlook: str | None
    identity_sources: dict[str, str]


@click.command(epilog="Examples:\n\n\b\n  indexpass status\n  indexpass status acme --json")
@click.argument("index", required=False, metavar="[INDEX]")
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects instead of text.")
def status(index: str | None, *, as_json: bool) -> None:
    """Show the configured indexes, who you are there, and what is held for them. No secret is shown."""
    wanted = (chosen(index),) if index else configured()
    context = default_context()
    cache = Cache(locate(os.environ).credentials)
    rows = [_row(each, cache, context) for each in wanted]
    if as_json:
        click.echo(json.dumps([_json(row) for row in rows], indent=2))
        return
    for row in rows:
        click.echo(f"{click.style(row.name, bold=True)}  {row.url}")
        click.echo(f"  identity  {row.identity or click.style(f'nobody: indexpass login {row.name}', fg='yellow')}")
        for operation, held in zip(_OPERATIONS, (row.read, row.upload), strict=True):
            click.echo(f"  {operation:<8}  {_words(held)}")
        if row.outlook:
            click.echo(f"  outlook   {click.style(row.outlook, fg='yellow')}")


def _row(index: Index, cache: Cache, context: Context) -> _Row:
    return _Row(
        name=index.name,
        url=str(index.url),
        provider=index.provider,
        identity=identify(index, context),
        read=_held(index, "read", cache, context.now()),
        upload=_held(index, "upload", cache, context.now()),
        outlook=_foresee(index, context.now()),
        identity_sources=_sources(index, context),
    )


def identify(index: Index, context: Context) -> str | None:
    """Say who a new credential would be issued to; a source that fails says why."""
    try:
        provider = _registry.provider_for(index)
        is_typed = isinstance(provider, SignInByTyping)  # then what a machine can prove is of no use
        found = None if is_typed else _registry.find_source(_audience(index), context.environ)
        if found:
            return f"identity token from {found[1].source}"
        if not isinstance(provider, SignIn | SignInByTyping):
            return f"found by the provider {index.provider}"
        session = provider.session(index, context)
    except IndexpassError as error:
        return f"unusable: {error.message}"
    return f"{session.user or 'signed in'} at {session.broker}" if session else None


def _audience(index: Index) -> str:
    return index.options.get("audience") or index.options.get("broker", str(index.url))


def _sources(index: Index, context: Context) -> dict[str, str]:
    """Say of each identity source where a token would come from, or why it does not apply. Asks nobody."""
    try:
        fits = dict(_registry.examine_sources(_audience(index), context.environ))
    except IndexpassError:
        return {}  # the identity says what is broken
    return {name: f"applies: {fit.source}" if fit.source else fit.reason for name, fit in fits.items()}


def _foresee(index: Index, now: float) -> str | None:
    try:
        provider = _registry.provider_for(index)
        return provider.foresee(index, now) if isinstance(provider, WithOutlook) else None
    except IndexpassError:
        return None  # who cannot issue has said so beside the identity


def _held(index: Index, operation: Operation, cache: Cache, now: float) -> _Held:
    credential = cache.load(index, operation)
    failure = cache.failure(index, operation, now)
    if credential is None:
        return _Held("none", None, failure.message if failure else None)
    left = None if credential.expires_at is None else max(int(credential.expires_at - now), 0)
    return _Held(credential.age(now), left, failure.message if failure else None)


def _words(held: _Held) -> str:
    colour = {"fresh": "green", "usable": "yellow"}.get(held.age)
    words = click.style(held.age, fg=colour)
    if held.seconds_left and held.age != "expired":
        words += f", {time.strftime('%H:%M:%S', time.gmtime(held.seconds_left))} left"
    return f"{words} (last attempt failed: {held.failure})" if held.failure else words


def _json(row: _Row) -> dict[str, object]:
    return {**row._asdict(), "read": row.read._asdict(), "upload": row.upload._asdict()}
