"""``broker keys``: the keys that sign tokens. They change by themselves; these commands are for when that is too late.

No key is ever printed. Whatever is changed is audited in the same transaction.
"""

from __future__ import annotations

import json
import math
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import click

from indexpass._asking import require_yes
from indexpass.broker.commands import moments
from indexpass.broker.commands.folder import folder_argument
from indexpass.broker.keys import Keys, read_secret
from indexpass.broker.settings import file as settings_file
from indexpass.broker.state import audit, signing_keys
from indexpass.broker.state.store import Store
from indexpass.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from indexpass.broker.state.signing_keys import SigningKey

_SHOWN_KID = 8  # of 43 characters: enough to tell keys apart, and fits on a line
_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
_yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
_STOPS = "Clients get new ones by themselves; a run that is under way may fail."


@click.group()
def keys() -> None:
    """List, change and revoke the keys that sign tokens.

    A new key follows by itself as often as key-lifetime in broker.toml says.

    \b
    Example:
      indexpass broker keys list ./broker
    """  # noqa: D301  # click wants the character itself


@keys.command(name="list", short_help="List the keys, and what each is for now.")
@folder_argument
@_json_option
def list_keys(folder: Path, *, as_json: bool) -> None:
    """List the keys: which signs, which is next, and which still verify what they have signed.

    \b
    Example:
      indexpass broker keys list ./broker
    """  # noqa: D301  # click wants the character itself
    settings = settings_file.load(folder.absolute())
    with closing(Store(settings.database)) as store, store.reading() as connection:
        found = signing_keys.read(connection)
    now = time.time()
    if as_json:
        click.echo(json.dumps([_facts(key, now) for key in found], indent=2))
        return
    click.echo("NUMBER  STATE     SIGNS FROM        SIGNS UNTIL       VERIFIES UNTIL    KEY")
    for key in found:
        times = (_moment(key.signs_from), _moment(key.signs_until), _moment(key.verifies_until))
        from_, until, verifies = (f"{text:16}" for text in times)
        click.echo(f"{key.number:6}  {key.state(now):8}  {from_}  {until}  {verifies}  {key.kid[:_SHOWN_KID]}")


@keys.command()
@folder_argument
@click.option("--at-once", is_flag=True, help="Revoke all keys, and with them every token that they have signed.")
@_yes_option
@_json_option
def rotate(folder: Path, *, at_once: bool, yes: bool, as_json: bool) -> None:
    """Have a new key sign. It is published first, so that everybody knows it: it signs ten minutes later.

    With --at-once it signs now, and all that the others have signed is worth nothing within ten seconds: that is for
    keys that were stolen. Who verifies offline with keys read before believes a thief until they read them again.
    Sessions go on. If the file "secret" was stolen too, stop the broker, replace that file by 32 random bytes, and run
    this before you start it again.

    \b
    Example:
      indexpass broker keys rotate ./broker
      indexpass broker keys rotate --at-once ./broker
    """  # noqa: D301  # click wants the character itself
    if at_once and not yes:
        require_yes(f"Revoke all keys, and all tokens that they have signed? {_STOPS}")
    now = time.time()
    with _writing(folder) as (connection, made):
        if at_once:
            key = signing_keys.replace(connection, made.make, now=now)
        else:
            key = signing_keys.rotate(connection, made.make, now=now)
        event = "keys-replaced" if at_once else "key-rotated"
        audit.write_command(connection, event, about=key.kid, now=now)
    begins = "now" if key.signs_from <= now else f"from {_moment(key.signs_from)} UTC"
    click.echo(json.dumps(_facts(key, now)) if as_json else f"Key {key.number} signs {begins}.")


@keys.command(short_help="Revoke the key NUMBER, and all that it has signed.")
@click.argument("number", type=click.IntRange(min=1))
@folder_argument
@_yes_option
@_json_option
def revoke(number: int, folder: Path, *, yes: bool, as_json: bool) -> None:
    """Revoke the key NUMBER: what it has signed is refused within ten seconds.

    If it is the one that signs, the next one does so at once.

    \b
    Example:
      indexpass broker keys revoke 3 ./broker
    """  # noqa: D301  # click wants the character itself
    settings = settings_file.load(folder.absolute())
    with closing(Store(settings.database)) as store, store.reading() as connection:
        kid = next((key.kid for key in signing_keys.read(connection) if key.number == number), "")
    if kid and not yes:
        require_yes(f"Revoke key {number}, and all tokens that it has signed? {_STOPS}")
    now = time.time()
    with _writing(folder) as (connection, made):
        if not kid or not signing_keys.revoke(connection, made.make, kid, now=now):
            raise ConfigError(f"there is no key {number}", hint=f"indexpass broker keys list {folder}")
        audit.write_command(connection, "key-revoked", about=kid, now=now)
    click.echo(json.dumps({"number": number, "kid": kid}) if as_json else f"Revoked key {number}.")


@contextmanager
def _writing(folder: Path) -> Iterator[tuple[Connection, Keys]]:
    """Begin a transaction, with what makes keys that this broker can open."""
    settings = settings_file.load(folder.absolute())
    made = Keys(read_secret(folder.absolute()), issuer=settings.issuer, now=time.time)
    with closing(Store(settings.database)) as store, store.writing() as connection:
        yield connection, made


def _facts(key: SigningKey, now: float) -> dict[str, object]:
    return {
        "number": key.number,
        "kid": key.kid,
        "state": key.state(now),
        "published_at": audit.rfc3339(key.published_at),
        "signs_from": audit.rfc3339(key.signs_from),
        "signs_until": None if math.isinf(key.signs_until) else audit.rfc3339(key.signs_until),
        "verifies_until": None if math.isinf(key.verifies_until) else audit.rfc3339(key.verifies_until),
    }


def _moment(time: float) -> str:
    return "-" if math.isinf(time) else moments.minute(time)
