"""A TOML table that is read strictly: every key is known, every value is what it should be, every error says where.

This module knows tables and texts; what the keys mean is the business of ``settings``.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeVar

from indexpass.broker.settings.lines import find_line
from indexpass.errors import ConfigError, UrlError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

_T = TypeVar("_T")


class Table:
    """One table of a file. ``where`` names it in errors, such as ``[[index]] 2``; empty for the file itself.

    ``text`` is the whole file, in which errors find their line.
    """

    def __init__(
        self, file: Path, where: str, values: Mapping[str, object], known: Iterable[str], *, text: str = ""
    ) -> None:
        """Refuse keys that are not known. Raises ConfigError naming the nearest that is."""
        self._file = file
        self._where = where
        self._text = text
        self.values = values
        for key in values:
            if key not in known:
                raise self.wrong(key, "this key is not known", hint=nearest(key, known))

    def wrong(self, key: str, problem: str, *, hint: str) -> ConfigError:
        """Return the error that says what is wrong with ``key``."""
        line = f":{find_line(self._text, self._where, key)}" if self._text else ""
        where = f"{self._where}: " if self._where else ""
        return ConfigError(f"{self._file}{line}: {where}{key}: {problem}", hint=hint)

    def parsed(self, key: str, parse: Callable[[str], _T], *, default: str | None = None) -> _T:
        """Return what ``parse`` makes of the text, or of ``default`` where the key is missing.

        ``parse`` raises ValueError or UrlError with what is wrong. Raises ConfigError.
        """
        value = self.values.get(key, default)
        if value is None:
            raise self.wrong(key, "this key is missing", hint=f'add a line: {key} = "…"')
        if not isinstance(value, str) or not value or not value.isprintable():
            raise self.wrong(key, "not a text", hint=f'write it in quotes: {key} = "…"')
        try:
            return parse(value)
        except UrlError as error:
            raise self.wrong(key, str(error), hint=error.hint or "write the whole URL, as a client would") from error
        except ValueError as error:
            raise self.wrong(key, str(error), hint=f"correct the value of {key}") from error

    def optional(self, key: str, parse: Callable[[str], _T]) -> _T | None:
        """Return what ``parse`` makes of the text, or None where the key is missing. Raises ConfigError."""
        return self.parsed(key, parse) if key in self.values else None

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of at least one text. Raises ConfigError."""
        value = self.values.get(key)
        if not isinstance(value, list) or not value or not all(isinstance(text, str) and text for text in value):
            raise self.wrong(key, "not a list of texts", hint=f'write a list: {key} = ["…"]')
        return tuple(value)

    def flag(self, key: str) -> bool:
        """Return whether ``key`` is true; it is false where it is missing. Raises ConfigError."""
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise self.wrong(key, "neither true nor false", hint=f"write {key} = true, without quotes")
        return value

    def table(self, key: str, known: Iterable[str]) -> Table | None:
        """Return the table that ``[key]`` begins, or None if there is none. Raises ConfigError."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.wrong(key, "not a table", hint=f"write [{key}] on a line of its own")
        return Table(self._file, f"[{key}]", value, known, text=self._text)

    def each(
        self, key: str, known: Iterable[str], read: Callable[[Table], _T], problems: list[ConfigError]
    ) -> tuple[_T, ...]:
        """Return what ``read`` makes of each table that ``[[key]]`` begins.

        A table that is wrong is left out, and the ConfigError added to ``problems``. Raises ConfigError if what stands
        there are no such tables.
        """
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
            raise self.wrong(key, "not a list of tables", hint=f"write [[{key}]] with two brackets")
        found = []
        for number, table in enumerate(value, 1):
            try:
                found.append(read(Table(self._file, f"[[{key}]] {number}", table, known, text=self._text)))
            except ConfigError as error:  # noqa: PERF203  # one wrong table must not hide the next
                problems.append(error)
        return tuple(found)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the hint for a word that is not known: the one that was probably meant, or all there are."""
    names = sorted(known)
    close = get_close_matches(word, names, n=1)
    return f"did you mean {close[0]}?" if close else f"known are: {', '.join(names) or 'none'}"
