"""The page on environment variables lists those that the source names: no more, no fewer."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "plugin-docs/reference/environment.md").read_text(encoding="utf-8")
OURS = ROOT / "src/indexpass"
ELSEWHERE = ("_demo", "_exec", "broker", "testing")  # what they name is set by them, or stands on other pages
_NAME = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
_IN_CAPITALS = {"INVALID_ARGUMENT", "NOT_FOUND", "SERVICE_DISABLED"}  # Google's words for what went wrong


def listed() -> list[str]:
    return re.findall(r"^\| `([A-Z0-9_]+)` \|", PAGE, re.MULTILINE)


def texts() -> set[str]:
    """Return all texts that stand in the source by themselves."""
    files = [file for file in OURS.rglob("*.py") if file.relative_to(OURS).parts[0] not in ELSEWHERE]
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_each_variable_that_the_source_names_is_listed_once() -> None:
    named = {text for text in texts() if _NAME.fullmatch(text) and not text.startswith("O_")} - _IN_CAPITALS
    assert sorted(named - set(listed())) == []
    assert len(listed()) == len(set(listed()))


def test_each_variable_that_is_listed_is_named_by_the_source() -> None:
    read_by_click = {"NO_COLOR"}
    read_by_the_broker = {"INDEXPASS_BROKER_HOME"}
    assert sorted(set(listed()) - texts() - read_by_click - read_by_the_broker) == []
