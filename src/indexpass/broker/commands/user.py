"""``broker user``: the people who sign in at the broker.

No password is ever printed, or taken from the command line; an invitation code is printed once, for that is what it is
for. Whatever is changed is audited in the same transaction.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import closing, contextmanager
from getpass import GetPassWarning
from typing import TYPE_CHECKING
from warnings import catch_warnings, simplefilter

import click

from indexpass import _table
from indexpass._asking import require_yes
from indexpass._secret import Secret
from indexpass.broker import people
from indexpass.broker.commands import moments
from indexpass.broker.commands.folder import folder_argument
from indexpass.broker.settings import file as settings_file
from indexpass.broker.settings.table import nearest
from indexpass.broker.state import audit, invitations, users
from indexpass.broker.state.store import Store
from indexpass.errors import ConfigError, IndexpassError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from indexpass.broker.settings import Settings
    from indexpass.broker.state.users import User

MAX_INVITATION_DAYS = 30
_DAY_SECONDS = 24 * 3600
_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
_stdin_option = click.option(
    "--password-stdin", is_flag=True, help="Read the password from the first line of standard input."
)


@click.group(short_help="Add, invite, list and remove the people who sign in.")
def user() -> None:
    """Add, invite, list and remove the people who sign in at the broker.

    \b
    Example:
      indexpass broker user invite alice ./broker
      indexpass broker user list ./broker
    """  # noqa: D301  # click wants the character itself


@user.command(short_help="Add the person NAME with a password.")
@click.argument("name")
@folder_argument
@_stdin_option
@_json_option
def add(name: str, folder: Path, *, password_stdin: bool, as_json: bool) -> None:
    """Add the person NAME with a password, which is asked for twice and has at least 12 characters.

    After the command invite the person chooses it, and nobody else knows it.

    \b
    Example:
      indexpass broker user add alice ./broker
    """  # noqa: D301  # click wants the character itself
    _check_name(name)
    settings = settings_file.load(folder.absolute())
    password_hash = people.hash_password(_ask_password(from_stdin=password_stdin))
    now = time.time()
    with _writing(settings) as connection:
        if not users.add(connection, name, password_hash, now):
            raise ConfigError(f"there is a user {name} already", hint=f"indexpass broker user password {name} {folder}")
        audit.write_command(connection, "user-added", about=name, now=now)
    _report(f"Added {name}.", as_json=as_json, user=name)


@user.command()
@click.argument("name")
@folder_argument
@click.option(
    "--days",
    type=click.IntRange(1, MAX_INVITATION_DAYS),
    default=3,
    show_default=True,
    help="For how long the code works.",
)
@_json_option
def invite(name: str, folder: Path, *, days: int, as_json: bool) -> None:
    """Print a code with which the person NAME chooses a password. It works once, and is never shown again.

    Who is not there yet is added. Who has forgotten their password gets another by it; the old one works until then.

    \b
    Example:
      indexpass broker user invite alice ./broker
    """  # noqa: D301  # click wants the character itself
    _check_name(name)
    settings = settings_file.load(folder.absolute())
    now = time.time()
    ends = now + days * _DAY_SECONDS
    with _writing(settings) as connection:
        if not users.add(connection, name, None, now):
            _require_local(_find(connection, name))
        code = invitations.begin(connection, name, seconds=days * _DAY_SECONDS, now=now)
        audit.write_command(connection, "user-invited", about=name, now=now)
    page = f"{settings.issuer}/invitation"
    if not as_json:
        click.echo(f"Hand {name} this code, in a way that nobody else reads. It is for", err=True)
        click.echo(f"{page} and works once, until {moments.minute(ends)} UTC:", err=True)
    _report(code.reveal(), as_json=as_json, user=name, code=code.reveal(), url=page, expires_at=audit.rfc3339(ends))


@user.command(name="list", short_help="List everybody who may sign in.")
@folder_argument
@_json_option
def list_users(folder: Path, *, as_json: bool) -> None:
    """List everybody who may sign in: since when, when they last did, and whether they are locked or invited.

    \b
    Example:
      indexpass broker user list ./broker
    """  # noqa: D301  # click wants the character itself
    settings = settings_file.load(folder.absolute())
    now = time.time()
    with closing(Store(settings.database)) as store, store.reading() as connection:
        found = users.list_all(connection)
        invited = invitations.list_ends(connection)
    if as_json:
        click.echo(json.dumps([_facts(each, invited.get(each.name), now) for each in found], indent=2))
        return
    rows = [
        (
            each.name,
            "local" if each.is_local else "company",
            moments.day(each.created_at),
            moments.day(each.last_sign_in_at) if each.last_sign_in_at else "never",
            _state(each, invited.get(each.name), now),
        )
        for each in found
    ]
    head = ("NAME", "KIND", "SINCE", "LAST SIGN-IN", "STATE")
    for line in _table.render(head, rows, cut=(0,), width=_table.terminal_width()):
        click.echo(line)


@user.command(short_help="Remove the person NAME, their sessions and tokens.")
@click.argument("name")
@folder_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@_json_option
def remove(name: str, folder: Path, *, yes: bool, as_json: bool) -> None:
    """Remove the person NAME: their sessions end, and their tokens are refused within ten seconds.

    Who comes in through the company is known again as soon as they sign in: take them out of its groups, too.

    \b
    Example:
      indexpass broker user remove alice ./broker
    """  # noqa: D301  # click wants the character itself
    settings = settings_file.load(folder.absolute())
    with closing(Store(settings.database)) as store, store.reading() as connection:
        _find(connection, name)
    if not yes:
        require_yes(f"Remove {name}, with all sessions and tokens?")
    now = time.time()
    with _writing(settings) as connection:
        _find(connection, name)
        ended = users.remove(connection, name, now)
        audit.write_command(connection, "user-removed", about=name, now=now)
    _report(f"Removed {name}. {_sessions_ended(ended)}", as_json=as_json, user=name, sessions_ended=ended)


@user.command(short_help="Set another password for the person NAME.")
@click.argument("name")
@folder_argument
@_stdin_option
@_json_option
def password(name: str, folder: Path, *, password_stdin: bool, as_json: bool) -> None:
    """Set another password for the person NAME, and end their sessions. It is asked for twice.

    \b
    Example:
      indexpass broker user password alice ./broker
    """  # noqa: D301  # click wants the character itself
    settings = settings_file.load(folder.absolute())
    with closing(Store(settings.database)) as store, store.reading() as connection:
        _require_local(_find(connection, name))
    password_hash = people.hash_password(_ask_password(from_stdin=password_stdin))
    now = time.time()
    with _writing(settings) as connection:
        _require_local(_find(connection, name))
        ended = users.set_password(connection, name, password_hash, now)
        audit.write_command(connection, "user-password", about=name, now=now)
    words = f"{name} has another password. {_sessions_ended(ended)}"
    _report(words, as_json=as_json, user=name, sessions_ended=ended)


@user.command(short_help="Let the person NAME try passwords again.")
@click.argument("name")
@folder_argument
@_json_option
def unlock(name: str, folder: Path, *, as_json: bool) -> None:
    """Let the person NAME try passwords again, and forget the wrong ones.

    \b
    Example:
      indexpass broker user unlock alice ./broker
    """  # noqa: D301  # click wants the character itself
    settings = settings_file.load(folder.absolute())
    now = time.time()
    with _writing(settings) as connection:
        was_locked = _find(connection, name).is_locked(now)
        users.unlock(connection, name)
        audit.write_command(connection, "user-unlocked", about=name, now=now)
    words = f"Unlocked {name}." if was_locked else f"{name} was not locked."
    _report(words, as_json=as_json, user=name, was_locked=was_locked)


@contextmanager
def _writing(settings: Settings) -> Iterator[Connection]:
    with closing(Store(settings.database)) as store, store.writing() as connection:
        yield connection


def _check_name(name: str) -> None:
    if not people.is_user_name(name):
        raise ConfigError(
            f"{name!r} is not a user name", hint="use up to 64 lower-case letters, digits, dots, dashes and underscores"
        )


def _find(connection: Connection, name: str) -> User:
    found = users.find(connection, name)
    if found is None:
        names = [each.name for each in users.list_all(connection)]
        raise ConfigError(f"there is no user {name!r}", hint=nearest(name, names))
    return found


def _require_local(found: User) -> None:
    if not found.is_local:
        raise ConfigError(
            f"{found.name} signs in through the company, and has no password here",
            hint="let them change it at the company",
        )


def _ask_password(*, from_stdin: bool) -> Secret:
    asked = Secret(sys.stdin.readline().removesuffix("\n").removesuffix("\r")) if from_stdin else _prompt()
    if not people.has_right_length(asked):
        raise ConfigError(
            f"a password has {people.MIN_PASSWORD_LENGTH} to {people.MAX_PASSWORD_LENGTH} characters",
            hint="four or five words make a good one",
        )
    return asked


def _prompt() -> Secret:
    """Ask for a new password twice, without showing it. Raises IndexpassError where it would be shown."""
    try:
        with catch_warnings():
            simplefilter("error", GetPassWarning)
            return Secret(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    except GetPassWarning:
        raise IndexpassError(
            "there is no terminal to ask for a password", hint="hand it over by a pipe, with --password-stdin"
        ) from None


def _report(words: str, *, as_json: bool, **facts: object) -> None:
    click.echo(json.dumps(facts) if as_json else words)


def _facts(found: User, invited_until: float | None, now: float) -> dict[str, object]:
    return {
        "user": found.name,
        "kind": "local" if found.is_local else "company",
        "created_at": audit.rfc3339(found.created_at),
        "last_sign_in_at": audit.rfc3339(found.last_sign_in_at) if found.last_sign_in_at else None,
        "locked_until": audit.rfc3339(found.locked_until) if found.locked_until and found.is_locked(now) else None,
        "invited_until": audit.rfc3339(invited_until) if invited_until and invited_until > now else None,
        "has_password": found.password_hash is not None,
    }


def _state(found: User, invited_until: float | None, now: float) -> str:
    if found.locked_until and found.is_locked(now):
        return f"locked for {max(1, round((found.locked_until - now) / 60))} min"
    if invited_until and invited_until > now:
        return f"invited until {moments.day(invited_until)}"
    return "the invitation is over" if found.is_local and found.password_hash is None else ""


def _sessions_ended(count: int) -> str:
    return "1 session was ended." if count == 1 else f"{count} sessions were ended."
