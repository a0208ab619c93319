"""Changes the text of a TOML file and keeps comments, order and line ends. Nothing is known here of any client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import InlineTable, Item

from indexpass._changes.merge import find_edits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tomlkit import TOMLDocument
    from tomlkit.items import Table

_MARK = "\ufeff"  # Windows' editors write a byte order mark


def edit(text: str, change: Callable[[TOMLDocument], None]) -> str:
    """Return the text after ``change`` has been made to what it says. Raises ValueError if it is not TOML."""
    mark = _MARK if text.startswith(_MARK) else ""
    plain = text.removeprefix(mark).replace("\r\n", "\n")
    document = parse(plain)
    change(document)
    return mark + "".join(_with_line_ends(text.removeprefix(mark), tomlkit.dumps(document)))


def parse(text: str) -> TOMLDocument:
    """Return what the text says, to be changed. Raises ValueError if it is not TOML, or could not be kept as it is."""
    try:
        document = tomlkit.parse(text)
    except (TOMLKitError, ValueError) as error:
        raise ValueError(str(error)) from None
    if tomlkit.dumps(document) != text:
        raise ValueError("it is written in a way that could not be kept")
    return document


def read(text: str) -> TOMLDocument:
    """Return what the text says, whatever its line ends are. Raises ValueError if it is not TOML."""
    return parse(text.removeprefix(_MARK).replace("\r\n", "\n"))


def put_on_top(text: str, key: str, value: str) -> str:
    """Return the text with this top-level value: in the line that has the key, else in the first line.

    The first line is where no table can have begun. Raises ValueError if it is not TOML.
    """

    def change(document: TOMLDocument) -> None:
        if document[key] != value:
            document[key] = value

    mark = _MARK if text.startswith(_MARK) else ""
    if key in read(text):
        return edit(text, change)
    end = "\r\n" if "\r\n" in text else "\n"
    rest = text.removeprefix(mark)
    return f"{mark}{key} = {tomlkit.string(value).as_string()}{end}{end if rest.strip() else ''}{rest}"


def put_below(table: Table | InlineTable, anchor: str, key: str, value: str) -> None:
    """Put a new text into the table, in the line below that of ``anchor``, which is a text too.

    tomlkit would put it at the table's end, where comments stand that belong to the next table.
    """
    above = table[anchor]
    if isinstance(table, InlineTable) or not isinstance(above, Item):
        table[key] = value
        return
    line = f"{above.trivia.indent}{key} = {tomlkit.string(value).as_string()}"
    above.trivia.trail = f"{above.trivia.trail}{line}\n" if above.trivia.trail else f"\n{line}"


def _with_line_ends(before: str, after: str) -> Iterator[str]:
    """Yield the lines of ``after``, those that were there before with the ends that they had."""
    old = before.splitlines(keepends=True)
    end = "\r\n" if "\r\n" in before else "\n"
    new = after.splitlines(keepends=True)
    bare = [line.replace("\r\n", "\n") for line in old]
    done = 0
    for begin, stop, lines in find_edits(bare, new):
        yield from old[done:begin]
        yield from (line.removesuffix("\n") + end if line.endswith("\n") else line for line in lines)
        done = stop
    yield from old[done:]
