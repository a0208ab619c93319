"""Finds secrets that stand in settings by name: variables that clients read, and the passwords in their files.

The formats are read by their lines, not parsed: a broken file leaks as well as a whole one, and what is to be removed
must be known by its place.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING

from indexpass._leaks.leak import Edit, Sighting
from indexpass._leaks.values import is_password, is_token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from indexpass._leaks.forms import Form

_NAMES = (
    r"UV_INDEX_[A-Z0-9_]{1,64}_PASSWORD|UV_PUBLISH_(?:PASSWORD|TOKEN)"
    r"|POETRY_HTTP_BASIC_[A-Z0-9_]{1,64}_PASSWORD|POETRY_PYPI_TOKEN_[A-Z0-9_]{1,64}"
    r"|TWINE_PASSWORD|FLIT_PASSWORD|HATCH_INDEX_AUTH|PDM_PUBLISH_PASSWORD|CODEARTIFACT_AUTH_TOKEN"
)
_VARIABLE_NAME = re.compile(_NAMES)
_QUOTED = r"""(?:"([^"\r\n]*)"|'([^'\r\n]*)')"""
_BETWEEN = (
    r"""(?:["']?[ \t]*[=:][ \t]*"""  # NAME=…, NAME: …, "NAME": …
    r"""|["']?[ \t]*\r?\n[ \t]*["']?value["']?[ \t]*:[ \t]*"""  # - name: NAME, and below it value: …
    r"|[ \t]+)"  # ENV NAME …
)
_VARIABLE = re.compile(rf"""(?<![A-Za-z0-9_${{(.])({_NAMES}){_BETWEEN}(?:{_QUOTED}|([^\s"'`;&|,#]+))""")
_VARIABLE_IN_CODE = re.compile(rf"""(?<![A-Za-z0-9_$])["']?({_NAMES})["']?\]?[ \t]*[=:,][ \t]*{_QUOTED}""")
_CODE: tuple[Form, ...] = ("code", "pyproject", "uv", "settings", "pipfile")
_WITHOUT_VARIABLES: tuple[Form, ...] = ("lock", "netrc", "git", "pypirc")

_TOML_KEY = re.compile(
    r'(?<![\w-])["\']?(password|auth|secret|token)["\']?[ \t]*=[ \t]*'
    r"""(?:\"\"\"(.{0,4096}?)\"\"\"|'''(.{0,4096}?)'''|"((?:[^"\\\r\n]|\\.)*)"|'([^'\r\n]*)')""",
    re.DOTALL,
)
_PYPI_TOKEN = re.compile(
    r"""^[ \t]*(?:pypi-token\.)?["']?([\w.-]+)["']?[ \t]*=[ \t]*(?:"([^"\r\n]*)"|'([^'\r\n]*)')""", re.MULTILINE
)
_HEADER = re.compile(r"^\ufeff?[ \t]*\[\[?([^\[\]\r\n]+)\]\]?[ \t]*(?:[#;][^\r\n]*)?\r?$", re.MULTILINE)
_POETRY_TABLE = re.compile(r"http-basic\.[\w.\"'-]+")
_INDEX_TABLES = re.compile(r"""tool\.["']?(?:pdm|poetry|uv|hatch)["']?(?:\..*)?""")
_ORDINARY_LINE = re.compile(
    r"""[ \t]*(?:(?:username|password)[ \t]*=[ \t]*(?:"[^"\r\n]*"|'[^'\r\n]*')[ \t]*)?(?:#[^\r\n]*)?"""
)
_PYPIRC_PASSWORD = re.compile(r"^[ \t]*password[ \t]*[=:][ \t]*([^\s][^\r\n]*)", re.MULTILINE | re.IGNORECASE)
_MAX_TABLE = 4096  # characters; one with a user name and a password has a hundred


def find_settings(text: str, form: Form, sections: Sections) -> Iterator[Sighting]:
    """Yield the secrets that the text gives a name to."""
    if form not in _WITHOUT_VARIABLES:
        yield from _find_variables(text, _VARIABLE_IN_CODE if form in _CODE else _VARIABLE)
    if form in ("settings", "pyproject"):
        yield from _find_passwords(text, form, sections)
    if form == "pypirc":
        yield from _find_in_pypirc(text, sections)


def is_variable_of_client(name: str) -> bool:
    """Does a client take this variable's value for a secret?"""
    return _VARIABLE_NAME.fullmatch(name) is not None


class Sections:
    """The INI sections or TOML tables of a text, by where they begin."""

    def __init__(self, text: str) -> None:
        """Find their headers once."""
        self._headers = list(_HEADER.finditer(text))
        self._starts = [header.start() for header in self._headers]

    def name_at(self, place: int) -> str:
        """Return the name of the section that a place is in, "" before the first."""
        number = bisect_right(self._starts, place)
        return self._headers[number - 1][1].strip() if number else ""

    def bounds_at(self, place: int) -> tuple[int, int, int | None]:
        """Return where the section that a place is in has its header, where that ends, and where the next begins."""
        number = bisect_right(self._starts, place)
        header = self._headers[number - 1]
        return header.start(), header.end(), self._starts[number] if number < len(self._starts) else None


def _find_variables(text: str, pattern: re.Pattern[str]) -> Iterator[Sighting]:
    for found in pattern.finditer(text):
        start, end = _span_of_value(found, 2)
        if is_password(text[start:end]):
            yield Sighting("secret-in-variable", start, end, setting=found[1])


def _find_passwords(text: str, form: Form, sections: Sections) -> Iterator[Sighting]:
    for found in _TOML_KEY.finditer(text):
        start, end = _span_of_value(found, 2)
        section = sections.name_at(found.start())
        is_ours = form == "settings" or _INDEX_TABLES.fullmatch(section)
        if is_ours and is_password(text[start:end]) and (found[1] in ("password", "auth") or is_token(text[start:end])):
            setting = f"[{section}]" if section else found[1]
            yield Sighting(
                "password-in-file", start, end, setting=setting, edit=_remove_table(text, found.start(), sections)
            )
    for found in _PYPI_TOKEN.finditer(text):
        start, end = _span_of_value(found, 2)
        is_inside = sections.name_at(found.start()) == "pypi-token" or found[0].lstrip().startswith("pypi-token.")
        if is_inside and is_password(text[start:end]):
            yield Sighting(
                "password-in-file", start, end, setting=f"pypi-token.{found[1]}", edit=_remove_line(text, start)
            )


def _find_in_pypirc(text: str, sections: Sections) -> Iterator[Sighting]:
    for found in _PYPIRC_PASSWORD.finditer(text):
        start, end = found.start(1), found.start(1) + len(found[1].rstrip())
        if is_password(text[start:end]):
            setting = f"[{sections.name_at(start)}]"
            yield Sighting("password-in-file", start, end, setting=setting, edit=_remove_line(text, start))


def _span_of_value(found: re.Match[str], first: int) -> tuple[int, int]:
    groups = range(first, (found.re.groups) + 1)
    return next((found.span(group) for group in groups if found[group] is not None), (found.end(), found.end()))


def _remove_line(text: str, place: int) -> Edit:
    end = text.find("\n", place) + 1 or len(text)
    return Edit(text.rfind("\n", 0, place) + 1, end, "")


def _remove_table(text: str, place: int, sections: Sections) -> Edit | None:
    """Remove a table of Poetry's in which there is nothing but a user name and a password; else leave it to people."""
    if not _POETRY_TABLE.fullmatch(sections.name_at(place)):
        return None
    start, inside, end = sections.bounds_at(place)
    end = len(text) if end is None else end
    is_small = end - inside <= _MAX_TABLE
    is_ordinary = is_small and all(_ORDINARY_LINE.fullmatch(line) for line in text[inside:end].splitlines())
    return Edit(start, end, "") if is_ordinary else None
