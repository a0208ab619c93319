"""``indexpass completion``: the script by which a shell completes commands, options and names of indexes.

What is completed is click's to find out; here is only where each shell looks for the script. A file that somebody else
has put there is never replaced.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
from click.shell_completion import get_completion_class

from indexpass._files import write_whole
from indexpass.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VARIABLE = "_INDEXPASS_COMPLETE"  # by which the script asks; click derives it from the name of the command


# zsh runs an installed script again at the second completion, where click's ends with setting up the third.
_ZSH_END = """
[[ $zsh_eval_context[-1] == loadautofunc ]] || _indexpass_completion "$@"
"""


class _Shell(NamedTuple):
    """Where a user's own scripts are for one shell, and what it may still need to find them there.

    ``end`` is what the script needs besides where it is not sourced, but installed.
    """

    place: Callable[[Mapping[str, str]], Path]
    advice: str = ""
    end: str = ""


def _bash_place(environ: Mapping[str, str]) -> Path:
    """Return what bash-completion 2 loads when the command is first completed (its README, "FAQ")."""
    own = environ.get("BASH_COMPLETION_USER_DIR")
    return (Path(own) if own else _folder(environ, "XDG_DATA_HOME", ".local/share") / "bash-completion") / (
        "completions/indexpass"
    )


def _zsh_place(environ: Mapping[str, str]) -> Path:
    """Return a file beside those of the system's ``site-functions``: zsh itself knows no folder of a user."""
    return _folder(environ, "XDG_DATA_HOME", ".local/share") / "zsh/site-functions/_indexpass"


def _fish_place(environ: Mapping[str, str]) -> Path:
    return _folder(environ, "XDG_CONFIG_HOME", ".config") / "fish/completions/indexpass.fish"


def _folder(environ: Mapping[str, str], variable: str, default: str) -> Path:
    value = environ.get(variable, "")
    if value.startswith("/"):
        return Path(value)
    try:
        return Path.home() / default
    except RuntimeError:  # a container may run as a user whom no file knows
        raise ConfigError("you have no home folder", hint=f"name another by {variable}") from None


_SHELLS = {
    "bash": _Shell(
        _bash_place, "It needs the package bash-completion. Without that, add to ~/.bashrc: source '{place}'"
    ),
    "zsh": _Shell(
        _zsh_place, "Put into ~/.zshrc, before the line with compinit: fpath=('{folder}' $fpath)", end=_ZSH_END
    ),
    "fish": _Shell(_fish_place),
}


@click.command(
    epilog="Examples:\n\n\b\n  indexpass completion bash --install\n  indexpass completion zsh\n"
    "  indexpass completion fish --install"
)
@click.argument("shell", type=click.Choice(list(_SHELLS)))
@click.option("--install", is_flag=True, help="Write it to where your shell looks for it, instead of printing it.")
def completion(shell: str, *, install: bool) -> None:
    """Print the script that completes indexpass in your shell: commands, options, names of indexes."""
    script = _script(shell, click.get_current_context().find_root().command)
    if not install:
        click.echo(script)
        return
    place = _SHELLS[shell].place(os.environ)
    _write(place, script + _SHELLS[shell].end)
    click.echo(f"Written to {place}. It works in each {shell} that starts from now on.", err=True)
    advice = _SHELLS[shell].advice.format(place=place, folder=place.parent)
    if advice:
        click.echo(advice, err=True)
    click.echo(f"To undo it, remove the file: rm '{place}'", err=True)


def _script(shell: str, command: click.Command) -> str:
    known = get_completion_class(shell)
    if known is None:
        raise ConfigError(f"this release of click does not know {shell}", hint="pip install --upgrade click")
    return known(command, {}, "indexpass", VARIABLE).source()


def _write(place: Path, script: str) -> None:
    try:
        if place.exists() and VARIABLE not in place.read_text(encoding="utf-8", errors="replace"):
            raise ConfigError(
                f"{place} is somebody else's", hint="move it away, or print the script: leave out --install"
            )
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{place} cannot be written: {error.strerror}", hint=f"ls -ld {place.parent}") from error
    write_whole(place, script.encode())
