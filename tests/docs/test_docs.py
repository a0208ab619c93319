"""The pages agree with the code: commands, options, keys, variables, error codes and links."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from indexpass import _cli, _config, _diagnose
from indexpass._platforms import PLATFORMS
from indexpass.broker.settings import company, running, trust
from indexpass.broker.settings import file as settings_file

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "plugin-docs").rglob("*.md")])
CONFIGURATION = ROOT / "plugin-docs/reference/configuration.md"
BROKER_SETTINGS = ROOT / "plugin-docs/reference/broker-settings.md"
ERRORS = ROOT / "plugin-docs/reference/errors.md"
COMMANDS = ROOT / "plugin-docs/reference/cli.md"
SOURCES = sorted((ROOT / "src").rglob("*.py"))

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_ERROR_CODE = re.compile(r'^    code = "([a-z-]+)"$', re.MULTILINE)
_VARIABLE = re.compile(r"\bINDEXPASS_[A-Z_]+[A-Z]\b")


def page_ids(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def shell_lines(page: Path) -> Iterator[str]:
    """Yield the command lines of the page's console blocks, without the prompt and with continued lines joined."""
    for language, block in _FENCE.findall(page.read_text(encoding="utf-8")):
        if language == "console":
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("$ "):
                    yield line[2:]


def commands(page: Path) -> list[list[str]]:
    """Return every ``indexpass …`` that the page tells to run, as words."""
    lines = [*shell_lines(page), *_CODE_SPAN.findall(prose(page))]
    ours = [line for line in lines if re.match(r"(\S*/)?indexpass ", line) and "…" not in line]
    return [shlex.split(line, comments=True)[1:] for line in ours]


def table(page: Path, heading: str) -> list[str]:
    """Return the code in the first column of the table below ``heading``."""
    section = page.read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)


def toml_block(page: Path) -> str:
    """Return the page's first TOML example."""
    blocks: list[tuple[str, str]] = _FENCE.findall(page.read_text(encoding="utf-8"))
    return next(block for language, block in blocks if language == "toml")


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def unknown_word(words: list[str]) -> str | None:
    """Return the first word that the command line would not understand, or None."""
    command: click.Command = _cli.main
    context = click.Context(command, info_name="indexpass")
    for word in words:
        if word == "--":
            return None  # what follows is another program's
        if word.startswith("-"):
            options = {name for parameter in command.get_params(context) for name in parameter.opts}
            if word.partition("=")[0] not in options:
                return word
        elif isinstance(command, click.Group):
            child = command.get_command(context, word)
            if child is None:
                return word
            command, context = child, click.Context(child, info_name=word, parent=context)
    return None


@pytest.mark.parametrize("page", PAGES, ids=page_ids)
def test_every_command_in_a_page_exists_with_its_options(page: Path) -> None:
    wrong = [f"indexpass {' '.join(words)}: {word}" for words in commands(page) if (word := unknown_word(words))]
    assert wrong == []


@pytest.mark.parametrize(
    "line",
    ["frobnicate", "login --frobnicate", "broker frobnicate", "broker user frobnicate"],
    ids=["command", "option", "subcommand", "deeper"],
)
def test_a_command_that_does_not_exist_is_noticed(line: str) -> None:
    assert unknown_word(line.split()) is not None


def test_the_readme_and_the_tutorial_name_commands() -> None:
    assert commands(ROOT / "README.md")
    assert commands(ROOT / "plugin-docs/tutorial/first-install.md")


@pytest.mark.parametrize("page", PAGES, ids=page_ids)
def test_every_make_target_in_a_page_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    texts = [*shell_lines(page), *_CODE_SPAN.findall(prose(page))]
    named = {match[1] for text in texts if (match := re.match(r"make (?:\w+=\S+ )?([a-z]+)", text))}
    assert named <= targets


def test_the_reference_lists_the_keys_of_an_index_as_the_code_knows_them() -> None:
    assert table(CONFIGURATION, "Keys of an index") == list(_config.INDEX_KEYS)


def test_the_reference_lists_the_providers_and_their_keys_as_the_code_knows_them() -> None:
    assert table(CONFIGURATION, "Providers") == list(PLATFORMS)
    keys = {key for platform in PLATFORMS.values() for key in (*platform.needs, *platform.takes)}
    assert table(CONFIGURATION, "Keys of the providers") == sorted(keys)


@pytest.mark.parametrize(
    ("heading", "keys"),
    [
        ("Keys of the file", settings_file.KEYS),
        ("Keys of an index", settings_file.INDEX_KEYS),
        ("Keys of a trusted issuer", trust.ISSUER_KEYS),
        ("Keys of a policy", trust.POLICY_KEYS),
        ("Keys of the limits", running.LIMIT_KEYS),
        ("Keys of the company", company.KEYS),
    ],
    ids=["file", "index", "trusted-issuer", "policy", "limits", "company"],
)
def test_the_reference_lists_the_broker_s_keys_as_the_code_knows_them(heading: str, keys: tuple[str, ...]) -> None:
    assert table(BROKER_SETTINGS, heading) == list(keys)


def test_the_reference_lists_the_variables_as_the_code_knows_them() -> None:
    assert table(CONFIGURATION, "Environment variables") == list(_config.VARIABLES)


def test_the_reference_names_the_variables_that_the_source_names_and_no_others() -> None:
    named = {name for source in SOURCES for name in _VARIABLE.findall(source.read_text(encoding="utf-8"))}
    references = (CONFIGURATION, BROKER_SETTINGS)
    assert named == {name for page in references for name in _VARIABLE.findall(page.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("page", PAGES, ids=page_ids)
def test_every_variable_in_a_page_is_known_to_the_source(page: Path) -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in SOURCES)
    assert set(_VARIABLE.findall(page.read_text(encoding="utf-8"))) <= set(_VARIABLE.findall(source))


def test_the_reference_lists_every_error_code_once() -> None:
    codes = [code for source in SOURCES for code in _ERROR_CODE.findall(source.read_text(encoding="utf-8"))]
    assert sorted(table(ERRORS, "The codes")) == sorted(codes)


def test_the_reference_lists_the_exit_codes_as_the_code_knows_them() -> None:
    codes = (0, _cli.EXIT_FAILED, click.UsageError.exit_code, _cli.EXIT_SIGN_IN_NEEDED)
    assert table(COMMANDS, "Exit codes") == [str(code) for code in codes]


def test_the_reference_lists_the_codes_of_refusals_as_the_code_knows_them() -> None:
    assert table(ERRORS, "When an index refuses") == list(_diagnose.CODES)


def test_the_example_of_a_client_s_file_is_accepted(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(toml_block(CONFIGURATION), encoding="utf-8")
    assert [index.name for index in _config.read_file(file)] == ["acme"]


def test_the_example_of_a_broker_s_file_is_accepted(tmp_path: Path) -> None:
    settings = settings_file.parse(toml_block(BROKER_SETTINGS), file=tmp_path / "broker.toml")
    assert [index.name for index in settings.indexes] == ["acme"]


@pytest.mark.parametrize("page", PAGES, ids=page_ids)
def test_every_relative_link_leads_to_a_page_and_a_heading(page: Path) -> None:
    broken = []
    for link in _LINK.findall(prose(page)):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.is_file() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_is_reachable_from_the_readme() -> None:
    seen = {ROOT / "README.md"}
    queue = list(seen)
    while queue:
        page = queue.pop()
        for link in _LINK.findall(prose(page)):
            target = (page.parent / link.partition("#")[0]).resolve()
            if "://" not in link and target.suffix == ".md" and target.is_file() and target not in seen:
                seen.add(target)
                queue.append(target)
    assert set(PAGES) <= seen
