"""Changes single values in the text of an INI file, line by line, because configparser would lose its comments.

A file is what ``configparser.RawConfigParser`` reads, as pip and twine read theirs. What was edited is read again and
has to say what it said before, and the new value; so a form of file that is not understood here is never spoiled.
"""

from __future__ import annotations

import configparser
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HEADING = re.compile(r"\[(.+)\]")  # as configparser has it
_OPTION = re.compile(r"(?P<indent>\s*)(?P<key>[^=:\s#;\[][^=:]*?)(?P<sign>\s*[=:][ \t]*)")
Settings = dict[tuple[str, str], str]


def name_of_pip(key: str) -> str:
    """Return how pip compares keys (pip/_internal/configuration.py)."""
    return key.strip().lower().replace("_", "-").removeprefix("--")


def read_settings(text: str, normalize: Callable[[str], str] = str.lower) -> Settings:
    """Return all values by section and key. Raises ValueError saying in which line it is broken."""
    parser = configparser.RawConfigParser()
    parser.optionxform = normalize  # type: ignore[method-assign,assignment]  # as its documentation says
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise ValueError(_explain(error)) from None
    found = {(section, key): value for section in parser.sections() for key, value in parser.items(section)}
    return found | {("DEFAULT", key): value for key, value in parser.defaults().items()}


def put(text: str, section: str, key: str, value: str, *, normalize: Callable[[str], str] = str.lower) -> str:
    """Return the text with this value: in the line that has the key, else as the last of its section, else at the end.

    A value of several lines has each but the first indented. Raises ValueError if the text is broken.
    """
    before = read_settings(text, normalize)
    if before.get((section, normalize(key))) == value:
        return text
    end = "\r\n" if "\r\n" in text else "\n"
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith(("\n", "\r")):
        lines[-1] += end
    first, *more = value.split("\n")
    place = _find(lines, section, key, normalize)
    heading, stop = _end_of(lines, section)
    if place:
        found = _OPTION.match(lines[place[0]])
        assert found  # noqa: S101  # only such lines are found
        indent, start = found["indent"], f"{found['indent']}{found['key']}{found['sign']}"
    else:
        indent, start = "", f"{key} = "
    block = [f"{start}{first}".rstrip() + end, *(f"{indent}    {part}{end}" for part in more)]
    if place:
        lines[slice(*place)] = [*block, *_comments_in(lines[slice(*place)])]
    else:
        if not heading:
            block = [*([end] if lines and lines[-1].strip() else []), f"[{section}]{end}", *block]
        lines[stop:stop] = block
    after = "".join(lines)
    if read_settings(after, normalize) != before | {(section, normalize(key)): value}:
        raise ValueError(f"[{section}] {key} stands there in a form that only you can change")
    return after


def add_word(text: str, section: str, key: str, word: str) -> str:
    """Return the text with one more word in a value that is there: in a line of its own if the others have theirs."""
    before = read_settings(text)
    end = "\r\n" if "\r\n" in text else "\n"
    lines = text.splitlines(keepends=True)
    place = _find(lines, section, key, str.lower)
    if place is None:
        raise ValueError(f"[{section}] {key} stands there in a form that only you can change")
    last = lines[place[1] - 1]
    bare = last.rstrip("\r\n")
    if place[1] - place[0] > 1:
        indent = bare[: len(bare) - len(bare.lstrip())]
        lines[place[1] - 1 : place[1]] = [f"{bare}{end}", f"{indent}{word}{last[len(bare) :] or end}"]
        added = f"\n{word}"
    else:
        lines[place[1] - 1] = f"{bare} {word}{last[len(bare) :]}"
        added = f" {word}"
    after = "".join(lines)
    if read_settings(after) != before | {(section, key): (before[section, key] + added).lstrip(" ")}:
        raise ValueError(f"[{section}] {key} stands there in a form that only you can change")
    return after


def remove(text: str, section: str, key: str, *, normalize: Callable[[str], str] = str.lower) -> str:
    """Return the text without the key, and without its section if nothing else was in it. Raises ValueError."""
    lines = text.splitlines(keepends=True)
    place = _find(lines, section, key, normalize)
    if place:
        lines[slice(*place)] = _comments_in(lines[slice(*place)])
        heading, stop = _end_of(lines, section)
        if heading and stop == heading and not any(name == section for name, _ in read_settings("".join(lines))):
            del lines[heading - 1]
            if heading > 1 and not lines[heading - 2].strip():
                del lines[heading - 2]
    return "".join(lines)


def take_out(before: str, after: str, current: str, normalize: Callable[[str], str] = str.lower) -> str | None:
    """Return ``current`` with the values of ``before`` wherever it still has those of ``after``.

    None if somebody else has changed one of our own values since. Raises ValueError if a text is broken.
    """
    old, ours, now = (read_settings(text, normalize) for text in (before, after, current))
    for (section, key), value in ours.items():
        if old.get((section, key)) == value:
            continue
        if now.get((section, key)) != value:
            return None
        if (section, key) in old:
            current = put(current, section, key, old[section, key], normalize=normalize)
        else:
            current = remove(current, section, key, normalize=normalize)
    return current


def _find(lines: list[str], section: str, key: str, normalize: Callable[[str], str]) -> tuple[int, int] | None:
    """Return where the key's lines begin, and where they end."""
    place: tuple[int, int] | None = None
    for number, kind, name, inside in _scan(lines):
        if kind == "more" and place:
            place = place[0], number + 1
        elif place:
            return place
        elif kind == "option" and inside == section and normalize(name) == normalize(key):
            place = number, number + 1
    return place


def _comments_in(lines: list[str]) -> list[str]:
    """Return those that stand between the lines of one value."""
    return [line for line in lines if line.lstrip().startswith(("#", ";"))]


def _end_of(lines: list[str], section: str) -> tuple[int, int]:
    """Return the number of the line after the section's heading, or 0, and that after its last line with a value."""
    numbers = [number for number, _, _, inside in _scan(lines) if inside == section]
    return (numbers[0] + 1, numbers[-1] + 1) if numbers else (0, len(lines))


def _scan(lines: list[str]) -> Iterator[tuple[int, str, str, str]]:
    """Yield number, kind, name and section of each line that is a "heading", an "option", or "more" of one.

    As in configparser, what is indented deeper than the option above goes on with its value.
    """
    inside, depth, has_option = "", 0, False
    for number, line in enumerate(lines):
        bare = line.strip()
        if not bare or bare.startswith(("#", ";")):
            continue
        indent = len(line) - len(line.lstrip())
        if has_option and indent > depth:
            yield number, "more", "", inside
            continue
        depth = indent
        if heading := _HEADING.match(bare):
            inside, has_option = heading[1], False
            yield number, "heading", inside, inside
        elif option := _OPTION.match(line):
            has_option = True
            yield number, "option", option["key"].rstrip(), inside


def _explain(error: configparser.Error) -> str:
    if isinstance(error, configparser.MissingSectionHeaderError):
        return f"line {error.lineno} stands before any [section]"
    if isinstance(error, configparser.ParsingError):
        return f"line {error.errors[0][0]} is neither a [section] nor a key with a value"
    if isinstance(error, configparser.DuplicateSectionError | configparser.DuplicateOptionError):
        what = f"[{error.section}]" + (
            f" {error.option}" if isinstance(error, configparser.DuplicateOptionError) else ""
        )
        return f"{what} stands there twice, again in line {error.lineno}"
    return "configparser cannot read it"
