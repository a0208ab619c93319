"""Each line that the page shows where no credential can be had is one that the code can say."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "plugin-docs/explanation/when-things-fail.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("\n## No credential can be had\n")[2].partition("\n## ")[0]
SHOWN = re.findall(r"^\| .+? \| `(.+ → .+)` \|$", SECTION, re.MULTILINE)
FEWEST_LETTERS = 8  # in words of its own, for a text of the code to count as one that says something
_WORD = re.compile("[A-Za-z]+(?![A-Za-z:])")
# Said by servers, or composed of what many parts say.
BEGINNINGS = {"the broker refused: ", "nothing here proves to ", "INDEXPASS_IDENTITY_SOURCE is kubernetes, but "}


@cache
def sayings() -> tuple[re.Pattern[str], ...]:
    """Return the texts of the client's source, with a gap where something is put in."""
    files = [file for file in (ROOT / "src/indexpass").rglob("*.py") if "broker" not in file.parts]
    found = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            texts = [str(part.value) if isinstance(part, ast.Constant) else None for part in parts]
            if len("".join(_WORD.findall(" ".join(text or "" for text in texts)))) >= FEWEST_LETTERS:
                found.add("".join(".+" if text is None else re.escape(text) for text in texts))
    return tuple(re.compile(each) for each in found)


def can_be_said(text: str) -> bool:
    return any(each.fullmatch(text) for each in sayings())


@pytest.mark.parametrize("line", SHOWN, ids=range(len(SHOWN)))
def test_each_line_is_one_that_the_code_says(line: str) -> None:
    message, _, hint = line.partition(" → ")
    if not any(message.startswith(beginning) for beginning in BEGINNINGS):
        assert can_be_said(message)
        assert can_be_said(hint)


def test_a_line_that_nobody_says_is_noticed() -> None:
    assert SHOWN
    assert not can_be_said("https://tokens.acme.example is on holiday")
