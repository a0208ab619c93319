"""``indexpass login`` and ``indexpass logout``: a person's session at a broker begins and ends."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, TypedDict

import click

from indexpass._cli.selection import chosen, complete_index, configured
from indexpass._model import SignIn, SignInByTyping
from indexpass._registry import provider_for
from indexpass._resolve import default_context, default_resolver
from indexpass._waiting import waiting
from indexpass.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from indexpass._model import Context, Credential, Index, Invitation, Session
    from indexpass._secret import Secret
    from indexpass._waiting import Waiting


@click.command(epilog="Examples:\n\n\b\n  indexpass login\n  indexpass login acme\n  indexpass login --device")
@click.argument("index", required=False, metavar="[INDEX]", shell_complete=complete_index)
@click.option("--device", is_flag=True, help="Show a page and a code for any browser on any machine.")
def login(index: str | None, *, device: bool) -> None:
    """Sign in at the broker of INDEX (a name or URL; needed only if there are several indexes).

    Opens your browser, and waits until you have approved the sign-in there. Where there is no browser to open (over
    SSH, in CI, without a desktop), it shows a page and a code, as with --device. Where the provider of INDEX wants a
    key or a password instead, it asks for that, and does not show it.
    """
    from indexpass._cli.turns import own_turn

    wanted = chosen(index)
    provider = _sign_in_at(wanted)
    context, resolver = default_context(), default_resolver()
    before = provider.session(wanted, context)
    with own_turn(wanted.options.get("broker", wanted.name)) as has_waited:
        session = provider.session(wanted, context) if has_waited else None
        if session is None or session == before:  # the sign-in that we have waited for came to nothing
            with waiting(f"asking {wanted.options.get('broker', wanted.url.origin)}") as wait:
                if isinstance(provider, SignIn):
                    session, credential = _sign_in(provider, wanted, context, wait, device=device)
                else:
                    session, credential = provider.sign_in_by_typing(wanted, context, **_questions(wait))
            resolver.cache.store(wanted, "read", credential)
        resolver.cache.forget_failures()
    click.secho(f"Signed in at {session.broker}" + (f" as {session.user}." if session.user else "."), err=True)


@click.command(epilog="Examples:\n\n\b\n  indexpass logout\n  indexpass logout acme")
@click.argument("index", required=False, metavar="[INDEX]", shell_complete=complete_index)
def logout(index: str | None) -> None:
    """Sign out at the broker of INDEX: there, and on this machine with all credentials that came from it."""
    wanted = chosen(index)
    provider = _sign_in_at(wanted)
    cache = default_resolver().cache
    for other in configured():
        if other.provider == wanted.provider and other.options == wanted.options:
            cache.forget(other, "read")
            cache.forget(other, "upload")
    cache.forget_failures()
    broker = wanted.options.get("broker", wanted.name)
    with waiting(f"signing out at {broker}"):
        session = provider.sign_out(wanted, default_context())
    click.echo(f"Signed out at {broker}." if session else f"Nobody was signed in at {broker}.", err=True)


def _sign_in_at(index: Index) -> SignIn | SignInByTyping:
    provider = provider_for(index)
    if not isinstance(provider, SignIn | SignInByTyping):
        raise ConfigError(
            f"people do not sign in at the provider {index.provider!r}", hint=f"check it: indexpass status {index.name}"
        )
    return provider


def _sign_in(
    provider: SignIn, index: Index, context: Context, wait: Waiting, *, device: bool
) -> tuple[Session, Credential]:
    from indexpass._browser import find_opener

    opener = None if device else find_opener(os.environ)
    browse = _browsing(opener, index, wait) if opener else None
    return provider.sign_in(index, context, show=_showing(wait), wait=time.sleep, browse=browse)


class _Questions(TypedDict):
    """How a provider asks a person for something."""

    ask: Callable[[str], str]
    ask_secret: Callable[[str], Secret]


def _questions(wait: Waiting) -> _Questions:
    """Return what asks a person, with nothing else on the line meanwhile."""

    def ask(words: str) -> str:
        return _prompt(words, wait, is_hidden=False)

    def ask_secret(words: str) -> Secret:
        from indexpass._secret import Secret

        return Secret(_prompt(words, wait, is_hidden=True))

    return {"ask": ask, "ask_secret": ask_secret}


def _prompt(words: str, wait: Waiting, *, is_hidden: bool) -> str:
    wait.pause()
    typed = str(click.prompt(words, hide_input=is_hidden, err=True)).strip()
    wait.go_on()
    return typed


def _browsing(opener: Callable[[str], bool], index: Index, wait: Waiting) -> Callable[[str], bool]:
    """Return what shows a page's URL, which holds no secret, and opens it."""

    def browse(url: str) -> bool:
        wait.pause()
        click.echo("Your browser opens now: sign in there, and approve. If it does not, open this page:", err=True)
        click.echo(f"  {click.style(url, bold=True)}", err=True)
        click.echo(f"To use another screen, press Ctrl-C and run: indexpass login --device {index.name}", err=True)
        click.echo("Waiting for your approval (at most 5 minutes; Ctrl-C gives up) …", err=True)
        wait.go_on("waiting")
        return opener(url)

    return browse


def _showing(wait: Waiting) -> Callable[[Invitation], None]:
    """Return what shows an invitation for any screen."""

    def show(invitation: Invitation) -> None:
        minutes = max(invitation.expires_in // 60, 1)
        wait.pause()
        click.echo(f"Open {click.style(invitation.direct_url, bold=True)}", err=True)
        click.echo(f"and check that it shows the code {click.style(invitation.code, bold=True)}.", err=True)
        click.echo(f"Waiting for your approval (at most {minutes} minutes; Ctrl-C gives up) …", err=True)
        wait.go_on("waiting")

    return show
