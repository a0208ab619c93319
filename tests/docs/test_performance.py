"""The performance page shows what was measured: its plot and its table are made of the results beside it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "plugin-docs"
PARTS = ("explanation/performance.md", "assets/bench.json", "assets/bench.svg")
RESULTS: dict[str, Any] = json.loads((PAGES / "assets/bench.json").read_text(encoding="utf-8"))


def published(results: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Return the page and its parts after publishing the results on a copy of them."""
    pages = shutil.copytree(PAGES, folder / "pages")
    file = folder / "results.json"
    file.write_text(json.dumps(results), encoding="utf-8")
    subprocess.run([sys.executable, ROOT / "benchmarks/page.py", file, pages], check=True, timeout=60)
    return {part: (pages / part).read_text(encoding="utf-8") for part in PARTS}


def test_the_page_and_its_plot_are_made_of_the_results_beside_them(tmp_path: Path) -> None:
    assert published(RESULTS, tmp_path) == {part: (PAGES / part).read_text(encoding="utf-8") for part in PARTS}


def test_other_results_change_the_page_and_its_plot(tmp_path: Path) -> None:
    (cost, *others) = RESULTS["costs"]
    other = {**cost, "to_alone": {"low": 2.24, "median": 2.25, "high": 2.26}}
    changed = published({**RESULTS, "costs": [other, *others]}, tmp_path)
    assert f"| {cost['who']} | {RESULTS['versions'][cost['who']]} | 2.25 |" in changed[PARTS[0]]
    assert ">2.25</text>" in changed[PARTS[2]]


def test_the_plot_loads_nothing_from_elsewhere() -> None:
    plot = (PAGES / "assets/bench.svg").read_text(encoding="utf-8")
    assert re.findall(r"\bhref\b|\bsrc\b|\burl\b|@import|https?://\S+", plot) == ['http://www.w3.org/2000/svg"']


@pytest.mark.parametrize("line", RESULTS["left_out"])
def test_the_page_says_why_something_was_left_out(line: str) -> None:
    page = (PAGES / PARTS[0]).read_text(encoding="utf-8")
    assert re.split("[,:]", line)[0] in page.partition("## How it was measured")[2]


def test_the_published_ratios_and_counts_hold_their_bounds() -> None:
    assert [row["what"] for row in RESULTS["rows"] if row["is_decisive"] and row["verdict"] == "OVER"] == []
