"""The commands of whoever runs a broker: make one, serve it, add people.

These functions read options and print; what they do is done elsewhere. No password or key is ever printed, or taken
from the command line.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from contextlib import closing
from pathlib import Path

import click
import platformdirs

from indexpass._http import HttpClient
from indexpass._secret import Secret
from indexpass.broker import people, serve, settings_file, starter
from indexpass.broker.service import Broker
from indexpass.broker.store import Store
from indexpass.errors import ConfigError

_USER_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")  # no colon: that is how workloads are told from people


_folder = click.argument(
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="INDEXPASS_BROKER_HOME",
    default=lambda: platformdirs.user_data_path("indexpass") / "broker",
)


@click.group()
def broker() -> None:
    """Run a broker: it trades sign-ins and identity tokens for tokens of your indexes.

    FOLDER holds all that a broker has: settings, keys and database. It is $INDEXPASS_BROKER_HOME where that is set,
    and a folder of your user's data otherwise.

    \b
    Example:
      indexpass broker init ./broker --issuer http://127.0.0.1:8765 --index-name acme
      indexpass broker user add alice ./broker
      indexpass broker serve ./broker --packages ./packages
    """  # noqa: D301  # click wants the character itself


@broker.command()
@_folder
@click.option("--issuer", required=True, metavar="URL", help="The broker's own URL: https, or http on loopback.")
@click.option("--index-name", required=True, metavar="NAME", help="What the index is called, such as acme.")
def init(folder: Path, issuer: str, index_name: str) -> None:
    """Make a broker in FOLDER: a commented broker.toml, a signing key and a database.

    \b
    Example:
      indexpass broker init ./broker --issuer https://packages.acme.example --index-name acme
    """  # noqa: D301  # click wants the character itself
    folder = folder.absolute()
    settings = Broker.create(folder, starter.text(issuer, index_name))
    click.echo(f"Made a broker in {folder}. It guards {settings.indexes[0].url}")
    click.echo(f"Next: indexpass broker user add NAME {folder}", err=True)
    click.echo(f"      indexpass broker serve {folder} --packages DIR", err=True)


@broker.command(name="serve")
@_folder
@click.option("--listen", metavar="HOST:PORT", help="Where to listen, in place of what broker.toml says.")
@click.option(
    "--packages",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Serve the indexes on the broker's own host too: each the packages in DIR/NAME.",
)
@click.option("--tls-certificate", type=click.Path(path_type=Path, dir_okay=False), help="PEM file; speak TLS.")
@click.option("--tls-key", type=click.Path(path_type=Path, dir_okay=False), help="PEM file of the certificate's key.")
@click.option("--access-log", is_flag=True, help="Print method, path and status of each request.")
def serve_command(  # noqa: PLR0913  # one for each option
    folder: Path,
    listen: str | None,
    packages: Path | None,
    tls_certificate: Path | None,
    tls_key: Path | None,
    *,
    access_log: bool,
) -> None:
    """Serve the broker in FOLDER until it is told to stop (SIGTERM or Ctrl-C).

    The audit is printed to standard error, one line of JSON for each decision.

    \b
    Example:
      indexpass broker serve ./broker --packages ./packages
      indexpass broker serve ./broker --listen 0.0.0.0:8443 --tls-certificate tls.crt --tls-key tls.key
    """  # noqa: D301  # click wants the character itself
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    logging.getLogger("indexpass").setLevel(logging.INFO)
    with closing(Broker.open(folder.absolute(), http=HttpClient())) as opened:
        settings = opened.settings
        serve.run(
            opened,
            address=_parsed_listen(listen) if listen else settings.listen,
            packages=packages.absolute() if packages else None,
            tls=serve.tls_files(tls_certificate or settings.tls_certificate, tls_key or settings.tls_key),
            has_access_log=access_log,
        )


@broker.group()
def user() -> None:
    """Add people who sign in at the broker with a password.

    \b
    Example:
      indexpass broker user add alice ./broker
    """  # noqa: D301  # click wants the character itself


@user.command()
@click.argument("name")
@_folder
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


def _parsed_listen(text: str) -> tuple[str, int]:
    try:
        return settings_file.parse_listen(text)
    except ValueError as error:
        raise ConfigError(f"--listen: {error}", hint="for example: --listen 127.0.0.1:8443") from error
