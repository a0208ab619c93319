"""Tables with a name and a URL each, as hatch and pdm keep repositories."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import tomlkit

from indexpass._setup import toml_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tomlkit import TOMLDocument


def put(text: str, place: Sequence[str], wanted: Mapping[str, Mapping[str, str]]) -> str:
    """Return the text with these tables below ``place``, ``[place.name]`` each; what else they say stays.

    Raises ValueError if it is not TOML, if something else stands there, or if a table is about another URL.
    """
    end = "\r\n" if "\r\n" in text else "\n"
    for name, values in wanted.items():
        known = _find(toml_text.read(text), place)
        if isinstance(known.get(name), str):
            known = {**known, name: {"url": known[name]}}
        if name not in known:
            heading = tomlkit.key([*place, name]).as_string()
            lines = (f"[{heading}]", *(f"{key} = {tomlkit.string(value).as_string()}" for key, value in values.items()))
            gap = "" if not text.strip() else end if text.endswith("\n") else end * 2
            text += gap + "".join(f"{line}{end}" for line in lines)
            toml_text.read(text)
            continue
        if not isinstance(known[name], dict) or known[name].get("url") != values["url"]:
            raise ValueError(f"{'.'.join(place)}.{name} is another repository than {values['url']}")
        text = toml_text.edit(text, partial(_complete, place=place, name=name, values=values))
    return text


def _find(document: Mapping[str, Any], place: Sequence[str]) -> Mapping[str, Any]:
    for key in place:
        found = document.get(key, {})
        if not isinstance(found, dict):
            raise ValueError(f"{key} is not a table")  # noqa: TRY004  # what is wrong is a file
        document = found
    return document


def _complete(document: TOMLDocument, *, place: Sequence[str], name: str, values: Mapping[str, str]) -> None:
    repositories: Any = _find(document, place)
    if isinstance(repositories[name], str):
        repositories[name] = tomlkit.inline_table() | dict(values)
        return
    for key, value in values.items():
        if key not in repositories[name]:
            toml_text.put_below(repositories[name], "url", key, value)
