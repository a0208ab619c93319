"""``broker user``: the people who sign in at the broker with a password.

No password is ever printed, or taken from the command line.
"""

from __future__ import annotations

import re
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import click

from indexpass._secret import Secret
from indexpass.broker import people
from indexpass.broker.commands.folder import folder_argument
from indexpass.broker.settings import file as settings_file
from indexpass.broker.state.store import Store
from indexpass.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_USER_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")  # no colon: that is how workloads are told from people


@click.group()
def user() -> None:
    """Add people who sign in at the broker with a password.

    \b
    Example:
      indexpass broker user add alice ./broker
    """  # noqa: D301  # click wants the character itself


@user.command()
@click.argument("name")
@folder_argument
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
def add(name: str, folder: Path, *, password_stdin: bool) -> None:
    """Add the person NAME. The password is asked for twice, and has at least 12 characters.

    \b
    Example:
      indexpass broker user add alice ./broker
    """  # noqa: D301  # click wants the character itself
    if not _USER_NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is not a user name", hint="use up to 64 lower-case letters, digits, dots, dashes and underscores"
        )
    settings = settings_file.load(folder.absolute())
    password = _ask_password(from_stdin=password_stdin)
    with closing(Store(settings.database)) as store:
        store.add_user(name, people.hash_password(password), time.time())
    click.echo(f"Added {name}.")


def _ask_password(*, from_stdin: bool) -> Secret:
    if from_stdin:
        password = Secret(sys.stdin.readline().removesuffix("\n").removesuffix("\r"))
    else:
        password = Secret(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    if not people.MIN_PASSWORD_LENGTH <= len(password.reveal()) <= people.MAX_PASSWORD_LENGTH:
        raise ConfigError(
            f"a password has {people.MIN_PASSWORD_LENGTH} to {people.MAX_PASSWORD_LENGTH} characters",
            hint="four or five words make a good one",
        )
    return password
