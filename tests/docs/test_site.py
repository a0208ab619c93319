"""The site builds strictly, has every page and every command, and asks no other host for anything."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click
import filelock
import pytest

from indexpass import _cli

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "plugin-docs"
LOADED = {"audio": "src", "embed": "src", "iframe": "src", "img": "src", "link": "href", "object": "data"}
LOADED |= {"script": "src", "source": "src", "use": "href", "video": "src"}


def build(target: Path, settings: Path = ROOT / "mkdocs.yml") -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", settings, "--site-dir", target]
    environ = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The site, built once for all workers."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "site"
    with filelock.FileLock(f"{folder}.lock"):
        if not folder.exists():
            done = build(folder)
            assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Loads(HTMLParser):
    """Collects what a browser fetches to show the page."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in LOADED and (url := dict(attrs).get(LOADED[tag])):
            self.urls.append(url)


def commands(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    yield context.command_path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from commands(child, click.Context(child, info_name=name, parent=context))


def test_the_site_has_every_page(site: Path) -> None:
    names = {page.relative_to(PAGES).with_suffix(".html") for page in PAGES.rglob("*.md")}
    built = {page.relative_to(site) for page in site.rglob("*.html")}
    assert {name.with_name("index.html") if name.stem == "README" else name for name in names} <= built


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    foreign = {}
    for page in site.rglob("*.html"):
        loads = Loads()
        loads.feed(page.read_text(encoding="utf-8"))
        assert loads.urls
        foreign[str(page.relative_to(site))] = [url for url in loads.urls if urlsplit(url).netloc]
    assert {name: urls for name, urls in foreign.items() if urls} == {}


def test_no_style_loads_anything_from_another_host(site: Path) -> None:
    styles = [*site.rglob("*.css"), *site.rglob("*.svg")]
    urls = {url for style in styles for url in re.findall(r"(?:url\(|@import)\s*[\"']?([^\"')]+)", style.read_text())}
    assert styles
    assert [url for url in urls if urlsplit(url).netloc] == []


def test_the_page_of_commands_has_each_of_them_with_all_of_its_options(site: Path) -> None:
    page = unescape(re.sub(r"<[^>]+>", "", (site / "reference/cli.html").read_text(encoding="utf-8")))
    missing = []
    for path, command in commands(_cli.main, click.Context(_cli.main, info_name="indexpass")):
        section = page.partition(f"Usage: {path} ")[2].partition("\nUsage: ")[0]
        options = [name for parameter in command.params for name in parameter.opts if name.startswith("-")]
        missing += [f"{path} {name}" for name in options if name not in section]
        missing += [] if section else [path]
    assert missing == []


@pytest.mark.parametrize(
    "text",
    ["[gone](gone.md)", "[gone](index.md#gone)"],
    ids=["page", "heading"],
)
def test_a_link_that_leads_nowhere_fails_the_build(tmp_path: Path, text: str) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "index.md").write_text(f"# Here\n\n{text}\n", encoding="utf-8")
    validation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nvalidation:")[2].partition("\nnav:")[0]
    settings = tmp_path / "mkdocs.yml"
    settings.write_text(f"site_name: x\ndocs_dir: pages\nvalidation:{validation}\n", encoding="utf-8")
    assert build(tmp_path / "site", settings).returncode != 0
