"""``indexpass scan``: secrets of package indexes in files and variables; with ``--fix``, without them."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from indexpass._clients import ClientFile
    from indexpass._leaks.files import Looked, Unread
    from indexpass._leaks.forms import Form
    from indexpass._leaks.report import Told

EXIT_FOUND = 1
_NAME = "scan"  # of the kept copies
_SECONDS_BEFORE_PROGRESS = 1.0
_SECONDS_BETWEEN = 0.1
_PUBLIC: tuple[Form, ...] = ("requirements", "pyproject", "lock", "pipfile", "uv")


@click.command(
    epilog="Examples:\n\n\b\n  indexpass scan\n  indexpass scan requirements.txt deploy/\n  indexpass scan --fix\n"
    "  indexpass scan --format sarif . > indexpass.sarif\n\n"
    "Exit codes: 0 nothing found, 1 found or not all could be read, 2 wrong usage."
)
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(exists=True, path_type=Path))
@click.option("--fix", is_flag=True, help="Rewrite the files so that clients ask keyring; shows the change and asks.")
@click.option("--undo", is_flag=True, help="Put back what --fix has changed.")
@click.option("--yes", is_flag=True, help="Do not ask; for scripts.")
@click.option("--format", "form", type=click.Choice(["text", "json", "sarif"]), default="text", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--quiet", "-q", is_flag=True, help="Print nothing; the exit code says whether something was found.")
def scan(paths: tuple[Path, ...], *, fix: bool, undo: bool, yes: bool, form: str, as_json: bool, quiet: bool) -> None:  # noqa: PLR0913  # one parameter an option
    """Find secrets of package indexes in files, and say how to remove them. No secret is shown.

    Each PATH is a file or a folder; in folders, the files are searched that pip, uv, Poetry, PDM, twine, git, Docker
    and CI systems read. Without PATH: the folder you are in, your own settings of these clients, and the environment.
    """
    if undo:
        if paths or fix:
            raise click.UsageError("--undo takes back all of what --fix has changed, and nothing else with it")
        _undo()
        return
    from indexpass._leaks.files import Search

    progress = _Progress(sys.stderr.isatty() and not quiet)
    search = Search(_hosts(), progress)
    looked = [each for each in search.look(_named(paths)) if each.leaks]
    progress.clear()
    mended = _mend(looked, yes=yes, is_silent=quiet and yes) if fix else frozenset()
    told = _tell(looked, mended, with_environment=not paths)
    if not quiet:
        _print(told, search.unread, "json" if as_json else form)
        can_fix = any(each.may_be_mended and any(leak.may_be_mended for leak in each.leaks) for each in looked)
        again = shlex.join(["indexpass", "scan", *map(str, paths), "--fix"]) if can_fix and not mended else ""
        _say_what_next(told, search.unread, again, has_fixed=bool(mended))
    if search.unread or not all(each.is_fixed for each in told):
        sys.exit(EXIT_FOUND)


def _named(paths: Sequence[Path]) -> list[tuple[Path, Form | None]]:
    """Return what to look at; without paths, the folder here and this user's and site's own files."""
    if paths:
        return [(path, None) for path in paths]
    from indexpass._clients import files

    here = Path.cwd()
    return [(here, None), *((file.path, _form(file)) for file in files(os.environ, here))]


def _form(file: ClientFile) -> Form | None:
    forms: dict[str, Form] = {"pip": "pip", "twine": "pypirc", "netrc": "netrc", "git": "git"}
    if file.client in forms:
        return forms[file.client]
    return None if file.scope == "project" or file.client == "uv" else "settings"


def _hosts() -> frozenset[str]:
    """Return the hosts of the configured indexes. A broken configuration is told, and hinders no search."""
    from indexpass import _config
    from indexpass._locations import locate
    from indexpass.errors import IndexpassError

    try:
        indexes = _config.load(locate(os.environ), os.environ)
    except IndexpassError as error:
        click.secho(f"note: {error.message}", fg="yellow", err=True)
        return frozenset()
    places = (place for index in indexes for place in (index.url, index.upload_url, index.files_url) if place)
    return frozenset(place.origin.host for place in places)


def _tell(looked: Sequence[Looked], mended: frozenset[Path], *, with_environment: bool) -> list[Told]:
    from indexpass._leaks.report import Told
    from indexpass._leaks.search import find_in_variable

    told = [
        Told(each.path, leak, is_fixed=each.path in mended and leak.sighting.edit is not None)
        for each in looked
        for leak in each.leaks
        if not leak.is_silent
    ]
    if with_environment:
        told += [Told(None, leak) for name, value in os.environ.items() for leak in find_in_variable(name, value)]
    return told


def _mend(looked: Sequence[Looked], *, yes: bool, is_silent: bool) -> frozenset[Path]:
    """Show what would change, ask, and change it. Returns the files that are mended."""
    from indexpass._asking import require_yes
    from indexpass._changes import Change, make, show
    from indexpass._leaks.report import make_redactor
    from indexpass._leaks.search import clean
    from indexpass._locations import locate

    changes = []
    for each in looked:
        after = clean(each.text, each.leaks) if each.may_be_mended else each.text
        if after == each.text:
            continue
        if not os.access(each.path.resolve().parent, os.W_OK):
            click.secho(f"left as it is, for you may not write there: {each.path}", fg="yellow", err=True)
            continue
        change = Change(each.path, each.text, after, "secrets of package indexes removed")
        changes.append(change)
        redact = make_redactor(each.text, each.leaks, is_public=each.form in _PUBLIC)
        for line in () if is_silent else show([change], redact=redact):
            click.secho(line, fg={"+": "green", "-": "red"}.get(line[:1]), err=True)
    if not changes:
        return frozenset()
    if not yes:
        require_yes(f"Rewrite {_count(len(changes), 'file')}?")
    kept = make(changes, name=_NAME, state=locate(os.environ).state)
    if is_silent:
        return frozenset(change.path for change in changes)
    click.echo(f"The old files are kept in {kept}, for indexpass scan --undo.", err=True)
    click.echo("Their secrets are in there too: remove that folder when all are revoked.", err=True)
    return frozenset(change.path for change in changes)


def _undo() -> None:
    from indexpass._changes import has_kept, undo
    from indexpass._leaks.report import printable, shown_path
    from indexpass._locations import locate

    state = locate(os.environ).state
    if not has_kept(_NAME, state=state):
        click.echo("Nothing to undo: indexpass scan --fix has changed no file.", err=True)
        return
    undone = undo(_NAME, state=state)
    for each in undone:
        words = {
            "restored": "as it was before",
            "merged": "as before, with what was changed since",
            "left": f"changed since, and left alone; the old one is {each.copy}",
        }[each.result]
        click.echo(printable(f"{shown_path(each.path)}: {words}"), err=True)
    if any(each.result == "left" for each in undone):
        sys.exit(EXIT_FOUND)


def _print(told: Sequence[Told], unread: Sequence[Unread], form: str) -> None:
    from indexpass._leaks import report

    if form == "text":
        for each in told:
            if not each.is_fixed:
                place, advice = report.as_text(each).split("\n")
                click.echo(f"{click.style(place, bold=True)}\n{advice}")
        return
    if form == "json":
        click.echo(json.dumps(report.as_json(told, unread), indent=2))
        return
    from importlib.metadata import version

    click.echo(json.dumps(report.as_sarif(told, unread, version=version("indexpass")), indent=2))


def _say_what_next(told: Sequence[Told], unread: Sequence[Unread], again: str, *, has_fixed: bool) -> None:
    from indexpass._leaks.report import printable, shown_path

    for each in unread:
        click.secho(printable(f"not searched: {shown_path(each.path)}: {each.reason}"), fg="yellow", err=True)
    if not told:
        click.echo("No secret of a package index found.", err=True)
        return
    fixed = sum(each.is_fixed for each in told)
    where = len({each.path for each in told})
    words = f"{_count(len(told), 'secret')} in {_count(where, 'place')}"
    click.echo(f"{words}, {fixed} of them removed." if has_fixed else f"{words}.", err=True)
    click.echo("Revoke each: it is in copies and in the history, if not elsewhere.", err=True)
    for line in _name_issuers(told):
        click.echo(printable(line), err=True)
    if again:
        click.echo(printable(f"Remove them, after a look at the change: {again}"), err=True)
    if has_fixed:
        _say_who_answers(told)


def _name_issuers(told: Sequence[Told]) -> Iterator[str]:
    """Yield a line for each secret: its fingerprint, what it is, and where it can be revoked."""
    hosts: dict[tuple[str, str, str], dict[str, None]] = {}
    for each in told:
        same = hosts.setdefault((each.leak.fingerprint, each.leak.kind, each.leak.revoke), {})
        same.update({each.leak.sighting.host: None} if each.leak.sighting.host else {})
    for (fingerprint, kind, revoke), places in hosts.items():
        where = revoke or f"where {' or '.join(places) or 'it was'} issued{' it' if places else ''}"
        yield f"  [{fingerprint}] {kind}: {where}" if kind else f"  [{fingerprint}] {where}"


def _say_who_answers(told: Sequence[Told]) -> None:
    """Name the hosts for which keyring has no answer yet."""
    mended = {each.leak.sighting.host.partition(":")[0].lower() for each in told if each.is_fixed}
    missing = mended - _hosts() - {""}
    if missing:
        click.echo(f"Not configured yet: {', '.join(sorted(missing))}. For each index: indexpass add URL", err=True)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


class _Progress:
    """One line on a person's terminal while a search takes longer than a second."""

    def __init__(self, is_shown: bool) -> None:  # noqa: FBT001  # its only word
        self._is_shown = is_shown
        self._due = time.monotonic() + _SECONDS_BEFORE_PROGRESS
        self._has_shown = False

    def __call__(self, files: int) -> None:
        now = time.monotonic()
        if self._is_shown and now >= self._due:
            self._due = now + _SECONDS_BETWEEN
            self._has_shown = True
            click.echo(f"\r{files} files searched", nl=False, err=True)

    def clear(self) -> None:
        """Take the line away."""
        if self._has_shown:
            click.echo("\r\x1b[K", nl=False, err=True)
