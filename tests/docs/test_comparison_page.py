"""The page that compares says which versions it speaks of: those that were measured."""

from __future__ import annotations

import json
import re
from pathlib import Path

PAGES = Path(__file__).resolve().parents[2] / "plugin-docs"
PAGE = (PAGES / "explanation/comparison.md").read_text(encoding="utf-8")
RESULTS = json.loads((PAGES / "assets/bench.json").read_text(encoding="utf-8"))


def test_the_backends_and_their_versions_are_those_that_were_measured() -> None:
    section = PAGE.partition("## Keyring backends\n")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| ([a-z.-]+) \| ([0-9.]+) \|", section, re.MULTILINE))
    assert rows
    assert rows == {who: RESULTS["versions"][who] for who in rows}
    assert {cost["who"] for cost in RESULTS["costs"]} <= set(rows)
