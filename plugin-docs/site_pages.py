"""A hook of MkDocs: what the site has beyond the files of this folder. It never changes a file.

- CHANGELOG, CONTRIBUTING and SECURITY stand beside this folder: they become pages, and links lead to them and back.
- The page of commands is what each command's own ``--help`` says.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
from mkdocs.structure.files import File

from indexpass import _cli

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

_PAGES = Path(__file__).parent
_SITE_OF = {name: f"project/{name.lower()}" for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")}
_CHECKOUT_OF = {site: name for name, site in _SITE_OF.items()}
_LINK = re.compile(r"(?<=\]\()(?!\w+:)([^)#\s]+)(?=[)#])")
_MARK_OF_COMMANDS = "<!-- commands -->"
_COLUMNS = 78  # what click takes of a terminal's 80


def on_files(files: Files, *, config: MkDocsConfig) -> None:
    """Add the pages from outside of this folder."""
    for name, site in _SITE_OF.items():
        files.append(File.generated(config, site, abs_src_path=str(_PAGES.parent / name)))


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001  # MkDocs'
    """Return the page with the links that the site has, and with the commands where they belong."""
    here = page.file.src_uri
    in_checkout = _CHECKOUT_OF.get(here, f"{_PAGES.name}/{here}")

    def lead(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(in_checkout), link[1]))
        on_site = _SITE_OF.get(target, target.removeprefix(f"{_PAGES.name}/"))
        return posixpath.relpath(on_site, posixpath.dirname(here) or ".")

    if page.is_homepage:
        page.meta["hide"] = ["navigation"]  # the page itself is a list of all others
    markdown = _LINK.sub(lead, markdown)
    return markdown.replace(_MARK_OF_COMMANDS, _commands()) if _MARK_OF_COMMANDS in markdown else markdown


def _commands() -> str:
    names = _cli.main.context_settings["help_option_names"]
    top = click.Context(_cli.main, info_name="indexpass", help_option_names=names, terminal_width=_COLUMNS)
    found = list(_walk(_cli.main, top))
    rows = [
        f"| [`{context.command_path}`](#{context.command_path.replace(' ', '-')}) | {_say(context.command)} |"
        for context in found
    ]
    parts = [f"## {context.command_path}\n\n```text\n{context.command.get_help(context)}\n```\n" for context in found]
    return "\n".join(["| command | what it does |", "|---|---|", *rows, "", *parts])


def _say(command: click.Command) -> str:
    return command.get_short_help_str(limit=200).replace("|", "\\|")


def _walk(command: click.Command, context: click.Context) -> Iterator[click.Context]:
    """Yield the command and all below it, in the order of their names, as somebody who types them meets them."""
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child and not child.hidden:
                yield from _walk(child, click.Context(child, info_name=name, parent=context))
