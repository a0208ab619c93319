"""``indexpass exec``: runs a command that cannot ask keyring, with credentials that end with it.

The words for the person go to stderr, and stdout is the command's own. No secret is ever in a command line.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexpass._exec.forms import FORMS, NETRC
from indexpass._locations import locate
from indexpass._platforms import PLATFORMS
from indexpass._resolve import default_resolver
from indexpass.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from indexpass._exec.forms import Handed
    from indexpass._model import Index, Operation
    from indexpass._resolve import Resolver

PLACEHOLDER = "{netrc}"
EXIT_NOT_RUNNABLE = 126  # as shells, env and nohup say it
EXIT_NOT_FOUND = 127
_FORM_WIDTH = max(map(len, FORMS))


@click.command(
    "exec",
    context_settings={"allow_interspersed_args": False},
    epilog="FORM is for:\n\n\b\n"
    + "".join(f"  {name:<{_FORM_WIDTH}}  {form.whom}\n" for name, form in FORMS.items())
    + "\nExamples:\n\n\b\n"
    "  indexpass exec -- tox\n"
    "  indexpass exec --index acme -- docker build --secret id=netrc,src={netrc} .\n"
    "  indexpass exec -- docker run --rm -v {netrc}:/root/.netrc:ro acme/tools pip-compile\n"
    "  indexpass exec --as renovate -- renovate acme/app\n"
    "  indexpass exec --index acme --as twine -- twine upload dist/*",
)
@click.option("--index", "names", multiple=True, metavar="NAME", help="Only for this index; may be given repeatedly.")
@click.option(
    "--as",
    "forms",
    multiple=True,
    type=click.Choice(list(FORMS)),
    default=(NETRC,),
    show_default=True,
    metavar="FORM",
    help="How COMMAND gets them; may be given repeatedly.",
)
@click.option("--quiet", "-q", is_flag=True, help="Do not say how long the credentials are good for.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(names: tuple[str, ...], forms: tuple[str, ...], command: tuple[str, ...], *, quiet: bool) -> None:
    """Run COMMAND with credentials for your indexes, for what keyring cannot reach.

    By default, they stand in a private file that NETRC names, and that is removed when COMMAND ends. {netrc} in COMMAND
    is the path of that file. The file says which host a credential is for; most other forms leave that to COMMAND.
    In GitHub Actions and Azure Pipelines, the secrets are hidden in the log. The exit code is that of COMMAND.
    """
    from indexpass._exec.child import Child, end_like

    if NETRC not in forms and any(PLACEHOLDER in word for word in command):
        raise click.UsageError(f"{PLACEHOLDER} in the command needs --as {NETRC}")
    program = shutil.which(command[0])
    if program is None:
        sys.exit(_say_missing(command[0]))
    resolver = default_resolver()
    handed = {operation: tuple(_hand_out(operation, names, resolver)) for operation in _operations(forms)}
    environ = dict(os.environ)
    for form in forms:
        environ.update(FORMS[form].variables(handed[FORMS[form].operation]))
    with Child() as child, _netrc_file(handed["read"]) if NETRC in forms else nullcontext() as path:
        _announce([each for some in handed.values() for each in some], quiet=quiet)
        words = command[1:]
        if path:
            environ["NETRC"] = str(path)
            words = tuple(word.replace(PLACEHOLDER, str(path)) for word in words)
        try:
            code = child.run([program, *words], environ)
        except OSError as error:
            click.secho(f"error: {command[0]} cannot be run: {error.strerror}", fg="red", err=True)
            code = EXIT_NOT_RUNNABLE
    end_like(code)


def _say_missing(name: str) -> int:
    """Say why there is nothing to run, and return the exit code that shells have for that."""
    is_path = os.sep in name
    if is_path and Path(name).exists():
        click.secho(f"error: {name!r} cannot be run: it is no program, or not yours to run", fg="red", err=True)
        return EXIT_NOT_RUNNABLE
    click.secho(f"error: there is no program {name!r}{'' if is_path else ' on PATH'}", fg="red", err=True)
    return EXIT_NOT_FOUND


@contextmanager
def _netrc_file(handed: Sequence[Handed]) -> Iterator[Path]:
    """Yield the path of a private file with the credentials, and remove it afterwards. Raises IndexpassError."""
    from indexpass._exec import netrc_text
    from indexpass._exec.run_folder import run_folder
    from indexpass._files import write_whole

    own, problem = netrc_text.read_own(os.environ)
    if problem:
        click.secho(f"warning: left out for this command: {problem}", fg="yellow", err=True)
    text = netrc_text.write(handed, own)
    with run_folder(locate(os.environ).state / "exec") as folder:
        path = folder / "netrc"
        write_whole(path, text.encode())
        yield path


def _operations(forms: Sequence[str]) -> list[Operation]:
    return sorted({FORMS[form].operation for form in forms})


def _hand_out(operation: Operation, names: Sequence[str], resolver: Resolver) -> Iterator[Handed]:
    for index in _wanted(operation, names):
        yield index, resolver.credential_for(index, operation)


def _wanted(operation: Operation, names: Sequence[str]) -> tuple[Index, ...]:
    """Return the indexes that the command gets credentials for: those that are named, else all that have packages.

    An upload's credential is for one index, which has to be named where there are several. Raises ConfigError.
    """
    from indexpass._cli.selection import chosen, configured

    if operation == "upload":
        if len(names) > 1:
            raise ConfigError("an upload goes to one index", hint="name one: --index NAME")
        index = chosen(names[0] if names else None)
        if index.upload_url is None:
            raise ConfigError(
                f"the index {index.name!r} has no upload-url",
                hint='add a line to its table: upload-url = "https://…"',
            )
        return (index,)
    found = tuple(chosen(name) for name in names) if names else tuple(filter(_has_packages, configured()))
    if not found:
        raise ConfigError("no configured index can be read", hint="indexpass status")
    return found


def _has_packages(index: Index) -> bool:
    """Is it an index to read? GitHub's are repositories, and git has a helper of its own."""
    platform = PLATFORMS.get(index.provider)
    return index.provider != "github" and (platform is None or "read" in platform.operations)


def _announce(handed: Sequence[Handed], *, quiet: bool) -> None:
    """Have the CI system hide the secrets, and say how long the credentials are good for.

    The system reads stderr as it reads stdout. Where stderr goes to a file, nothing is hidden: the file would only keep
    the secrets.
    """
    from indexpass._exec.masks import mask_lines

    try:
        is_file = stat.S_ISREG(os.fstat(sys.stderr.fileno()).st_mode)
    except (OSError, ValueError):
        is_file = False
    for index, credential in handed:
        for line in () if is_file else mask_lines(credential, os.environ):
            click.echo(line, err=True)
        if not quiet:
            click.echo(f"indexpass: the credential for {index.name} {_words(credential.expires_at)}", err=True)


def _words(expires_at: float | None) -> str:
    if expires_at is None:
        return "has no end that is known"
    minutes, seconds = divmod(max(int(expires_at - time.time()), 0), 60)
    return f"is good for {minutes} minutes" if minutes else f"is good for {seconds} seconds"
