"""``indexpass login`` and ``indexpass logout``: a person's session at a broker begins and ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from indexpass._model import SignIn
from indexpass._registry import provider_for
from indexpass._resolve import default_context, default_resolver
from indexpass.errors import ConfigError

if TYPE_CHECKING:
    from indexpass._model import Index, Invitation


@click.command(epilog="Examples:\n\n\b\n  indexpass login\n  indexpass login acme")
@click.argument("index", required=False, metavar="[INDEX]")
def login(index: str | None) -> None:
    """Sign in at the broker of INDEX (a name or URL; needed only if there are several indexes).

    Shows a page and a code, and waits until you have approved the sign-in there, in any browser on any machine.
    """
    from indexpass._cli.selection import chosen

    wanted = chosen(index)
    provider = _sign_in_at(wanted)
    context = default_context()
    session, credential = provider.sign_in(wanted, context, show=_show, wait=time.sleep)
    cache = default_resolver().cache
    cache.forget_failures()
    cache.store(wanted, "read", credential)
    click.secho(f"Signed in at {session.broker}" + (f" as {session.user}." if session.user else "."), err=True)


@click.command(epilog="Examples:\n\n\b\n  indexpass logout\n  indexpass logout acme")
@click.argument("index", required=False, metavar="[INDEX]")
def logout(index: str | None) -> None:
    """Sign out at the broker of INDEX: there, and on this machine with all credentials that came from it."""
    from indexpass._cli.selection import chosen, configured

    wanted = chosen(index)
    provider = _sign_in_at(wanted)
    cache = default_resolver().cache
    for other in configured():
        if other.provider == wanted.provider and other.options == wanted.options:
            cache.forget(other, "read")
            cache.forget(other, "upload")
    session = provider.sign_out(wanted, default_context())
    broker = wanted.options.get("broker", wanted.name)
    click.echo(f"Signed out at {broker}." if session else f"Nobody was signed in at {broker}.", err=True)


def _sign_in_at(index: Index) -> SignIn:
    provider = provider_for(index)
    if not isinstance(provider, SignIn):
        raise ConfigError(
            f"people do not sign in at the provider {index.provider!r}", hint=f"check it: indexpass status {index.name}"
        )
    return provider


def _show(invitation: Invitation) -> None:
    minutes = max(invitation.expires_in // 60, 1)
    click.echo(f"Open {click.style(invitation.direct_url, bold=True)}", err=True)
    click.echo(f"and check that it shows the code {click.style(invitation.code, bold=True)}.", err=True)
    click.echo(f"Waiting for your approval (at most {minutes} minutes; Ctrl-C gives up) …", err=True)
