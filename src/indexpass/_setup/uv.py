"""uv: ``keyring-provider`` in the user's own uv.toml, and ``authenticate`` for our indexes wherever they are named.

uv asks keyring for an index only if that index, where uv takes it from, says ``authenticate = "always"`` or has a user
name in its URL. What another file says of the same URL does not count, and an index in the user's own file would be
searched by every project. So no index is added here: those that are there already are completed, in the user's file
and in a project that was named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from indexpass._match import match
from indexpass._setup import programs, toml_text
from indexpass._setup.plan import Plan, plan_edit
from indexpass.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tomlkit import TOMLDocument

    from indexpass._changes import Change
    from indexpass._setup.plan import Situation

OLDEST = (0, 6, 9)  # the first that asks keyring for a URL without a user name
USER = "__token__"  # any would do


def plan(situation: Situation) -> Plan:
    """Return the lines for the user's file, and for a project's. Raises ConfigError if uv is too old."""
    steps: list[str] = []
    program = programs.find("uv", situation.environ)
    version = programs.find_version(program, situation.environ) if program else None
    if version and version < OLDEST:
        raise ConfigError(
            f"uv {'.'.join(str(part) for part in version)} asks keyring only for URLs with a user name",
            hint="uv self update",
        )
    if not programs.find("keyring", situation.environ):
        steps.append("there is no keyring on PATH yet: uv tool install keyring --with indexpass")
    named = situation.environ.get("UV_KEYRING_PROVIDER")
    if named and named != "subprocess":
        steps.append(f"UV_KEYRING_PROVIDER is set to {named}, which wins: unset UV_KEYRING_PROVIDER")
    if not situation.project:
        steps.append("in each project that names one of your indexes: indexpass setup uv --project .")
    projects = [file.path for file in situation.files("uv") if file.scope == "project" and file.path.exists()]
    changes = (*_plan_own_file(situation), *(each for path in projects for each in _plan_project(path, situation)))
    return Plan(changes, tuple(steps))


def _plan_own_file(situation: Situation) -> tuple[Change, ...]:
    def edit(text: str) -> str:
        text = toml_text.put_on_top(text, "keyring-provider", "subprocess")
        return toml_text.edit(text, lambda document: _complete(document, situation))

    return plan_edit(situation.own_file("uv"), edit, why="lets uv ask keyring")


def _plan_project(path: Path, situation: Situation) -> tuple[Change, ...]:
    def change(document: TOMLDocument) -> None:
        tool: Any = document.get("tool", {})
        _complete(tool.get("uv", {}) if path.name == "pyproject.toml" else document, situation)

    return plan_edit(path, lambda text: toml_text.edit(text, change), why="makes uv ask keyring for your indexes")


def _complete(table: Any, situation: Situation) -> None:  # noqa: ANN401  # tomlkit's, of whatever shape
    for index in _indexes(table):
        url = index.get("url")
        if not isinstance(url, str) or not match(url, situation.indexes):
            continue
        if "authenticate" not in index:
            toml_text.put_below(index, "url", "authenticate", "always")
        elif index["authenticate"] != "always":
            index["authenticate"] = "always"
        upload = index.get("publish-url")
        if isinstance(upload, str) and (found := match(upload, situation.indexes)) and found[1] == "upload":
            scheme, _, rest = upload.partition("://")
            if "@" not in rest.partition("/")[0]:
                index["publish-url"] = f"{scheme}://{USER}@{rest}"  # without a user name, uv publish asks nobody


def _indexes(table: Any) -> Iterator[Any]:  # noqa: ANN401  # as above
    found = table.get("index", []) if hasattr(table, "get") else []
    if isinstance(found, list):
        yield from (each for each in found if isinstance(each, dict))
