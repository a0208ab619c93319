"""``poetry indexpass add|login|logout|status|doctor``: the CLI's own commands, from inside Poetry's environment.

There ``indexpass`` itself is often not on anybody's PATH. Nothing is decided here: words, exit codes and options are
those of the CLI; only ``doctor`` is Poetry's own. This module is loaded when one of the commands is asked for.
"""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click
from cleo.helpers import argument, option  # type: ignore[import-not-found]  # there where Poetry is
from poetry.console.commands.command import Command  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from indexpass._doctor.findings import Finding
    from indexpass.poetry_plugin.doctor import Place


def load_command(name: str) -> object:
    """Return the command ``poetry indexpass`` ``name``."""
    return {
        "add": AddCommand,
        "doctor": DoctorCommand,
        "login": LoginCommand,
        "logout": LogoutCommand,
        "status": StatusCommand,
    }[name]()


class _OurCommand(Command):  # type: ignore[misc]  # untyped where there is no Poetry
    """A command of the CLI under its name in Poetry."""

    arguments: ClassVar[list[Any]] = [
        argument("index", "A name or URL; needed only if there are several.", optional=True)
    ]

    def handle(self) -> int:
        """Run the CLI's command with what was given here; return its exit code."""
        from indexpass._cli import main

        words = [self.name.removeprefix("indexpass ")]
        for each in self.options:
            given = self.option(each.name)
            if given:
                words.append(f"--{each.name}" if each.is_flag() else f"--{each.name}={given}")
        # After "--", because an index's name must never be taken for an option.
        words += ["--", *filter(None, (self.argument(each.name) for each in self.arguments))]
        try:
            main(words, prog_name="poetry indexpass")
        except SystemExit as ended:
            return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        return 0


class AddCommand(_OurCommand):
    """``poetry indexpass add``."""

    name = "indexpass add"
    description = "Configures a private index for you, on this machine."
    help = "Example: <info>poetry indexpass add https://packages.example.com/simple/</info>"
    arguments: ClassVar[list[Any]] = [argument("url", "The index's URL.")]
    options: ClassVar[list[Any]] = [
        option("name", None, "What to call it in commands. By default its host.", flag=False),
        option("broker", None, "The broker's URL. By default what the index says about itself.", flag=False),
        option("upload-url", None, "Where packages are uploaded, if the index does not say so itself.", flag=False),
        option("files-url", None, "Where files are, if not beside the index's simple page.", flag=False),
        option("yes", None, "Do not ask; for scripts.", flag=True),
    ]


class LoginCommand(_OurCommand):
    """``poetry indexpass login``."""

    name = "indexpass login"
    description = "Signs you in at the broker of a private index."
    help = "Example: <info>poetry indexpass login acme</info>"
    options: ClassVar[list[Any]] = [option("device", None, "Show a page and a code for any browser.", flag=True)]


class LogoutCommand(_OurCommand):
    """``poetry indexpass logout``."""

    name = "indexpass logout"
    description = "Signs you out at the broker of a private index."
    help = "Example: <info>poetry indexpass logout acme</info>"


class StatusCommand(_OurCommand):
    """``poetry indexpass status``."""

    name = "indexpass status"
    description = "Shows the private indexes, who you are there, and what is held for them."
    help = "Example: <info>poetry indexpass status --json</info>"
    options: ClassVar[list[Any]] = [option("json", None, "Print a list of objects instead of text.", flag=True)]


class DoctorCommand(Command):  # type: ignore[misc]  # untyped where there is no Poetry
    """``poetry indexpass doctor``."""

    name = "indexpass doctor"
    description = "Says what keeps the private sources of this project from working."
    help = "Example: <info>poetry indexpass doctor --json</info>"
    options: ClassVar[list[Any]] = [option("json", None, "Print a list of objects instead of text.", flag=True)]

    def handle(self) -> int:
        """Print the findings; return 1 if one of them is a fault, 3 if only a sign-in is missing."""
        from indexpass._doctor.findings import exit_code, render
        from indexpass._table import terminal_width
        from indexpass._terminal import as_typed_here
        from indexpass._waiting import waiting

        with waiting("looking at Poetry and servers"):
            findings = [finding._replace(hint=as_typed_here(finding.hint)) for finding in self._examine()]
        if self.option("json"):
            click.echo(json.dumps([finding._asdict() for finding in findings], indent=2))
        else:
            for line in render(findings, terminal_width()):
                click.echo(line)
        return exit_code(findings)

    def _examine(self) -> list[Finding]:
        import os

        from poetry.__version__ import __version__  # type: ignore[import-untyped]
        from poetry.config.config import Config  # type: ignore[import-untyped]
        from poetry.locations import CONFIG_DIR  # type: ignore[import-untyped]

        from indexpass._doctor.general import examine_all, read_configuration
        from indexpass._match import match
        from indexpass.poetry_plugin import doctor, locked_keyring, seams, secrets_in_files

        try:
            poetry = self.poetry
        except RuntimeError:  # no pyproject.toml in this folder or above it
            poetry = None
        config = poetry.config if poetry else Config.create()
        is_enabled = bool(config.get("keyring.enabled"))
        places = list(_places(poetry, config))
        configuration = read_configuration(os.environ)
        named = [found[0] for place in places if (found := match(place.url, configuration.indexes))]
        # Of others nobody speaks in a project that has sources of its own.
        indexes = {str(index.url): index for index in (named if places else configuration.indexes)}
        return doctor.examine(
            doctor.Facts(
                versions=f"indexpass {importlib.metadata.version('indexpass')} in Poetry {__version__}",
                complaints=[complaint for seam in seams.SEAMS if (complaint := seams.examine(seam))],
                signs=not any(seams.examine(seam) for seam in seams.SIGNING),
                is_keyring_enabled=is_enabled,
                would_open_keyring=bool(poetry) and is_enabled and locked_keyring.would_open(self, os.environ),
                places=places,
                leaks=secrets_in_files.find_leaks(poetry.file.path.parent if poetry else None, Path(CONFIG_DIR)),
                indexes=configuration.indexes,
                general=examine_all(configuration, [*indexes.values()], os.environ),
            )
        )


def _places(poetry: Any, config: Any) -> Iterator[Place]:  # noqa: ANN401  # untyped where there is no Poetry
    """Yield the project's sources, and the repositories that Poetry's settings name."""
    from indexpass.poetry_plugin.doctor import Place

    def has_own(name: str) -> bool:
        # The user name by itself as well, because only so are variables looked at.
        settings = (f"http-basic.{name}", f"http-basic.{name}.username", f"pypi-token.{name}")
        return any(config.get(setting) for setting in settings)

    sources = {source.name: source.url for source in (poetry.get_sources() if poetry else []) if source.url}
    for name, url in sources.items():
        yield Place("source", name, url, has_own(name))
    repositories: Mapping[str, Mapping[str, str]] = config.get("repositories") or {}
    for name, repository in repositories.items():
        url = str(repository.get("url", ""))
        if url and sources.get(name) != url:  # Poetry counts each source as a repository as well
            yield Place("repository", name, url, has_own(name))
