"""``indexpass setup``: lets clients ask keyring. Shows each change to their settings, asks, and can take it back."""

from __future__ import annotations

import json
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from indexpass import _changes, _config
from indexpass._asking import is_agreed
from indexpass._locations import locate
from indexpass._setup.plan import CLIENTS, PLANNED, Plan, Situation, plan
from indexpass.errors import ConfigError, IndexpassError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from indexpass._changes import Change, Undone

EXIT_FAILED = 1
_USERINFO = re.compile(r"""://(?!__token__@)[^\s"']*@""")
_HEADING = re.compile(r" \s*\[[^\]]*\]{1,2}\s*")
_KEY = re.compile(
    r""" \s*[a-z][a-z_."' -]{0,60}="""
)  # no digits and no capitals: a token may go on in a line of its own
_MAX_LINE = 2000  # characters; nobody reads more
_INI_NAMES = ("pip.conf", "pip.ini", ".pypirc")


class _Outcome(NamedTuple):
    """What became of one client. ``state`` is "changed", "would change", "nothing to change", "left" or "failed"."""

    client: str
    state: str
    files: tuple[Path, ...] = ()
    steps: tuple[str, ...] = ()
    error: str = ""
    hint: str = ""


@click.command(
    epilog="Examples:\n\n\b\n  indexpass setup pip uv\n  indexpass setup --all --dry-run\n"
    "  indexpass setup uv --project .\n  indexpass setup shim\n  indexpass setup pip --undo"
)
@click.argument("clients", nargs=-1, metavar="[CLIENT]...", type=click.Choice(PLANNED))
@click.option("--all", "is_all", is_flag=True, help="Set up every client that is on this machine.")
@click.option(
    "--project",
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    help="Look into the files of the project in this folder too. Only uv needs that.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be changed, and change nothing.")
@click.option("--undo", is_flag=True, help="Take back what setup has changed.")
@click.option("--yes", is_flag=True, help="Do not ask; for scripts.")
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects; with --yes, --dry-run or --undo.")
def setup(  # noqa: PLR0913  # one parameter an option
    clients: tuple[str, ...],
    *,
    is_all: bool,
    project: Path | None,
    dry_run: bool,
    undo: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Let clients ask keyring: pip, uv, poetry, pdm, twine, hatch, git.

    Shows what it would change in the clients' own settings, and asks before it writes. No secret is written. Comments
    and order stay as they are; --undo takes the change back.

    The client "shim" is a small keyring command of our own, for pip, uv and pdm, that starts at once.
    """
    if bool(clients) == is_all:
        raise click.UsageError(f"name the clients to {'put back' if undo else 'set up'}, or say --all")
    if undo and (dry_run or project):
        raise click.UsageError("--undo takes back all that setup has changed for a client, and nothing else with it")
    if as_json and not (yes or dry_run or undo):
        raise click.UsageError("--json asks nothing: add --yes or --dry-run")
    if undo:
        wanted = list(clients) or _changed_before()
        if not wanted and not as_json:
            click.echo("There is nothing to take back.", err=True)
        outcomes = [_undo(client, is_silent=as_json) for client in wanted]
    else:
        situation = Situation(dict(os.environ), _config.load(locate(os.environ), os.environ), project)
        wanted = list(clients) or _found(situation)
        outcomes = [_set_up(each, situation, dry_run=dry_run, yes=yes, is_silent=as_json) for each in wanted]
    if as_json:
        click.echo(json.dumps([_json(outcome) for outcome in outcomes], indent=2))
    if any(outcome.state in {"failed", "left"} for outcome in outcomes):
        sys.exit(EXIT_FAILED)


def _found(situation: Situation) -> list[str]:
    """Return the clients on this machine."""
    from indexpass._setup import programs

    found = [client for client in CLIENTS if programs.find(client, situation.environ)]
    if not found:
        raise IndexpassError("none of the clients is on PATH", hint="name them: indexpass setup pip uv")
    return found


def _changed_before() -> list[str]:
    state = locate(os.environ).state
    return [client for client in PLANNED if _changes.has_kept(_name(client), state=state)]


def _name(client: str) -> str:
    return f"setup-{client}"


def _set_up(client: str, situation: Situation, *, dry_run: bool, yes: bool, is_silent: bool) -> _Outcome:
    try:
        planned = plan(client, situation)
        if not is_silent:
            _show(client, planned)
        files = tuple(change.path for change in planned.changes)
        if not files:
            return _Outcome(client, "nothing to change", steps=planned.steps)
        if dry_run:
            return _Outcome(client, "would change", files, planned.steps)
        if not yes and not is_agreed(f"Change this for {client}?"):
            click.echo(f"{client} is left as it is.", err=True)
            return _Outcome(client, "left", files, planned.steps)
        _changes.make(planned.changes, name=_name(client), state=locate(os.environ).state)
    except IndexpassError as error:
        return _failed(client, error, is_silent=is_silent)
    if not is_silent:
        click.echo(f"Done. To take it back: indexpass setup {client} --undo", err=True)
    return _Outcome(client, "changed", files, planned.steps)


def _show(client: str, planned: Plan) -> None:
    """Print the diff on stdout, and all words on stderr."""
    heading = click.style(client, bold=True)
    reasons = ", ".join(dict.fromkeys(change.why for change in planned.changes)) or "nothing to change"
    click.echo(f"{heading}: {reasons}", err=True)
    for line in _changes.show(planned.changes, redact=redacted_line):
        click.echo(_coloured(line))
    for step in planned.steps:
        click.echo(f"  → {step}", err=True)


def redacted_line(line: str) -> str:
    """Return a line of the diff without what somebody may have put there: only what setup itself writes is shown.

    Of the lines around it, the names of sections and keys are left. ``__token__`` is a user name.
    """
    if len(line) > _MAX_LINE:
        return f"{line[0]}…"
    line = _USERINFO.sub("://****@", line)
    if not line.startswith(" ") or not line.strip() or _HEADING.fullmatch(line):
        return line
    key = _KEY.match(line)
    return f"{key[0]} …" if key else " …"


def _coloured(line: str) -> str:
    if line.startswith(("+++", "---")):
        return click.style(line, bold=True)
    return click.style(line, fg={"+": "green", "-": "red", "@": "cyan"}.get(line[:1]))


def _undo(client: str, *, is_silent: bool) -> _Outcome:
    state = locate(os.environ).state
    if not _changes.has_kept(_name(client), state=state):
        if not is_silent:
            click.echo(f"{client}: nothing to take back", err=True)
        return _Outcome(client, "nothing to change")
    try:
        undone = _changes.undo(_name(client), state=state, merge=_merge)
        _refuse_left(undone)
    except IndexpassError as error:
        return _failed(client, error, is_silent=is_silent)
    if not is_silent:
        for each in undone:
            kept = ", with what was changed by others since" if each.result == "merged" else ""
            click.echo(f"{client}: {each.path} is as before{kept}", err=True)
    return _Outcome(client, "changed", tuple(each.path for each in undone))


def _refuse_left(undone: Iterable[Undone]) -> None:
    for each in undone:
        if each.result == "left":
            where = f"compare it with what stood there before: {each.copy}" if each.copy else f"remove it: {each.path}"
            raise ConfigError(
                f"{each.path} has been changed since, in the same lines, and is left as it is", hint=where
            )


def _merge(change: Change, current: str) -> str | None:
    """Take our lines out of a file that has been changed since, or at least our values if it is an INI file."""
    merged = _changes.merge_lines(change, current)
    if merged is None and change.path.name in _INI_NAMES:
        from indexpass._setup import ini

        with suppress(ValueError):  # broken since: then a person has to look at it
            return ini.take_out(change.before or "", change.after or "", current, ini.name_of_pip)
    return merged


def _failed(client: str, error: IndexpassError, *, is_silent: bool) -> _Outcome:
    if not is_silent:
        click.secho(f"error: {client}: {error.message}", fg="red", err=True)
        if error.hint:
            click.echo(f"hint:  {error.hint}", err=True)
    return _Outcome(client, "failed", error=error.message, hint=error.hint)


def _json(outcome: _Outcome) -> dict[str, object]:
    return {**outcome._asdict(), "files": [str(path) for path in outcome.files]}
