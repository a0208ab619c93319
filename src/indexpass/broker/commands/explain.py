"""``broker explain``: why a token is granted or denied.

The token comes from a file or standard input and is never printed. This module reads and prints; what is right or
wrong about the token is found out elsewhere.
"""

from __future__ import annotations

import json
import logging
import sys
import textwrap
import time
from contextlib import closing, nullcontext
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, BinaryIO

import click

from indexpass._http import HttpClient
from indexpass._model import Answer
from indexpass._secret import Secret
from indexpass._waiting import waiting
from indexpass.broker.commands.folder import folder_argument
from indexpass.broker.explain import Explanation, explain_access, explain_identity, is_made_here, show
from indexpass.broker.guarding.check import Checker
from indexpass.broker.service import Broker
from indexpass.broker.settings import file as settings_file
from indexpass.broker.trust.verify import Verifier
from indexpass.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from indexpass._model import Http, Operation
    from indexpass.broker.settings import GuardedIndex, Settings

_MAX_BYTES = 1024 * 1024  # of a token with whatever stands around it, and of a key set
_DENIED = 1
_WIDTH = 79
_SIGNS = {"right": "ok", "wrong": "NO", "not known": "?", "not looked at": "-"}


@click.command()
@folder_argument
@click.option("--token", type=click.File("rb"), required=True, metavar="FILE", help="The token; - is standard input.")
@click.option("--index", "index_name", metavar="NAME", help="Which index, where there are several.")
@click.option("--operation", type=click.Choice(["read", "upload"]), default="read", show_default=True)
@click.option("--jwks", type=click.File("rb"), metavar="FILE", help="The issuer's keys, in place of fetching them.")
@click.option("--at", metavar="TIME", help="As if it were then, such as 2026-11-02T10:00:00Z.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def explain(  # noqa: PLR0913  # one for each option
    folder: Path,
    *,
    token: BinaryIO,
    index_name: str | None,
    operation: Operation,
    jwks: BinaryIO | None,
    at: str | None,
    as_json: bool,
) -> None:
    """Say why the broker in FOLDER grants or denies a token.

    It can be an identity token of a trusted issuer, or an access token of this broker. Nothing is spent, and the
    token is not printed. The exit code is 0 if it is granted and 1 if it is denied.

    \b
    Example:
      indexpass broker explain ./broker --token token.jwt --operation upload
      indexpass broker explain ./broker --token - --jwks keys.json --at 2026-11-02T10:00:00Z
    """  # noqa: D301  # click wants the character itself
    logging.getLogger("indexpass").addHandler(logging.NullHandler())  # what is logged elsewhere is printed below
    folder = folder.absolute()
    secret = Secret(_read(token).decode("utf-8", "surrogateescape").strip())
    settings = settings_file.load(folder)
    index = _find_index(settings, index_name)
    now = _clock(at)
    with _open(folder, settings, now) as broker:
        found = explain_access(broker, secret, index, operation) if broker else None
        if found is None:
            if is_made_here(settings, secret):
                click.echo("This broker is named as the issuer, but none of its keys made the token.", err=True)
            verifier = _verifier(settings, now, _read(jwks) if jwks else None)
            with waiting("asking for the keys of the token's issuer"):
                found = explain_identity(settings, verifier, secret, index, operation, broker=broker)
    if as_json:
        click.echo(json.dumps(_document(found, index, operation), indent=2))
    else:
        _print(found, index, operation)
    if at is None and any(finding.what == "times" and finding.outcome == "wrong" for finding in found.findings):
        click.echo("To see what it was good for, say when: --at TIME", err=True)
    if found.reason:
        sys.exit(_DENIED)


class _KeysInFile:
    """Stands for the network: whatever is fetched, it is these keys."""

    def __init__(self, keys: object) -> None:
        self._keys = keys

    def get_json(self, url: str) -> Answer:  # noqa: ARG002  # there is one answer
        return Answer(200, self._keys)


def _verifier(settings: Settings, now: Callable[[], float], jwks: bytes | None) -> Verifier:
    if jwks is None:
        return Verifier(settings, http=HttpClient(), now=now)
    try:
        keys: Http = _KeysInFile(json.loads(jwks))  # type: ignore[assignment]  # nothing but get_json is called
    except (ValueError, RecursionError):
        raise ConfigError("--jwks: this is not JSON", hint="save what the issuer's jwks_uri answers") from None
    issuers = tuple(replace(issuer, jwks_url=issuer.jwks_url or issuer.url) for issuer in settings.trusted_issuers)
    return Verifier(replace(settings, trusted_issuers=issuers), http=keys, public_http=keys, now=now)


def _open(folder: Path, settings: Settings, now: Callable[[], float]) -> AbstractContextManager[Broker | None]:
    """Return the broker as it would be at that time; None where its secret or its database cannot be had."""
    try:
        broker = Broker.open(folder, http=HttpClient())  # by today's clock: opening may write
    except StoreError as error:
        click.echo(f"What was used or revoked is not known: {error.message}", err=True)
        return nullcontext()
    checker = Checker(settings.origin, broker.keys, broker.revocations, now)
    return closing(replace(broker, checker=checker, now=now))


def _read(file: BinaryIO) -> bytes:
    return file.read(_MAX_BYTES)


def _find_index(settings: Settings, name: str | None) -> GuardedIndex:
    if name is None and len(settings.indexes) == 1:
        return settings.indexes[0]
    index = settings.index_named(name or "")
    if index is None:
        names = ", ".join(index.name for index in settings.indexes) or "none"
        problem = f"there is no index {name}" if name else "there are several indexes"
        raise click.UsageError(f"{problem}; name one with --index: {names}")
    return index


def _clock(at: str | None) -> Callable[[], float]:
    if at is None:
        return time.time
    try:
        parsed = datetime.fromisoformat(at.replace("Z", "+00:00"))  # Python 3.10 does not read the Z
    except ValueError:
        raise click.UsageError("--at: write a time such as 2026-11-02T10:00:00Z") from None
    seconds = (parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)).timestamp()
    return lambda: seconds


def _document(found: Explanation, index: GuardedIndex, operation: Operation) -> Mapping[str, object]:
    return {
        "result": "denied" if found.reason else "granted",
        "reason": found.reason,
        "kind": found.kind,
        "who": found.who,
        "index": index.name,
        "operation": operation,
        "policy": found.grant.policy if found.grant else "",
        "seconds": found.grant.seconds if found.grant else None,
        "projects": sorted(found.grant.projects) if found.grant and found.grant.projects is not None else None,
        "findings": [
            {"what": finding.what, "outcome": finding.outcome, "detail": finding.detail} for finding in found.findings
        ],
        "policies": [
            {
                "name": policy.name,
                "grants": not policy.reasons,
                "reasons": [
                    {"what": reason.what, "expected": _plain(reason.expected), "found": _plain(reason.found)}
                    for reason in policy.reasons
                ],
            }
            for policy in found.policies
        ],
    }


def _plain(value: object) -> str:
    pattern = getattr(value, "pattern", None)
    return f"the pattern {show(pattern)}" if pattern is not None else "nothing" if value is None else show(value)


def _print(found: Explanation, index: GuardedIndex, operation: Operation) -> None:
    click.echo(f"{found.kind}{f' of {found.who}' if found.who else ''}")
    for finding in found.findings:
        _echo(f"  {_SIGNS[finding.outcome]:2}  {finding.what:9}  ", finding.detail)
    for policy in found.policies:
        click.echo(f"policy {policy.name}: {'does not grant this' if policy.reasons else 'grants this'}")
        for reason in policy.reasons:
            _echo("  NO  ", f"{reason.what}: expected {_plain(reason.expected)}, found {_plain(reason.found)}")
    if found.reason:
        _echo("DENIED: ", f"{operation} {index.name}: {found.reason}")
    elif found.grant:
        projects = "all projects" if found.grant.projects is None else ", ".join(sorted(found.grant.projects))
        _echo("GRANTED: ", f"{operation} {index.name} for {found.grant.seconds} s by {found.grant.policy}: {projects}")
    else:
        _echo("GRANTED: ", f"{operation} {index.name}")


def _echo(begin: str, text: str) -> None:
    """Print the text in lines of 79 characters, indented below their beginning; a long word stays whole."""
    lines = textwrap.wrap(text, _WIDTH - len(begin), break_long_words=False, break_on_hyphens=False)
    click.echo(begin + f"\n{' ' * len(begin)}".join(lines))
