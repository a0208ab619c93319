"""Put results on the performance page: ``page.py [RESULTS [PAGES]]``, by default what ``make bench`` wrote.

Writes the results, the plot and the page's table, so that the three always say the same. Nothing here measures.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plot import draw

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parent.parent
HEAD = """\
| backend | version | a URL of no index | own index, first call | own index, later calls |
|---|---|---|---|---|
"""
NEXT = "\n[All results]"
BROKER_HEAD = """\
| broker, in the same run | bound | measured |
|---|---|---|
"""
BROKER_NEXT = "Commits wait for the disk:"


def publish(results: Mapping[str, Any], pages: Path) -> None:
    page, assets = pages / "explanation/performance.md", pages / "assets"
    before, head, after = page.read_text(encoding="utf-8").partition(HEAD)
    if not head:
        sys.exit(f"{page} has no table that begins with:\n{HEAD}")
    assets.mkdir(exist_ok=True)
    (assets / "bench.json").write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (assets / "bench.svg").write_text(draw(results), encoding="utf-8")
    rest = after[after.index(NEXT) :]
    text = before + head + "".join(_table(results)) + _facts(results) + rest
    page.write_text(_with_broker(text, results), encoding="utf-8")


def _table(results: Mapping[str, Any]) -> Iterator[str]:
    for who, version in results["versions"].items():
        ratios = {cost["what"]: cost["to_alone"]["median"] for cost in results["costs"] if cost["who"] == who}
        cells = (f" {ratios[what]:.2f} |" if what in ratios else " |" for what in ("foreign", "first", "later"))
        yield f"| {who} | {version} |{''.join(cells)}\n"


def _with_broker(text: str, results: Mapping[str, Any]) -> str:
    """Put the broker's table in place of the one that is there, if there is one; nothing where it was left out."""
    text = re.sub(re.escape(BROKER_HEAD) + r"(?:\|.*\n)*\n", "", text)
    rows = results.get("brokers", {}).get("rows", [])
    if not rows:
        return text
    table = "".join(
        f"| {row['what']} | {row['bound']:.3g} {unit} | {row['measured']:.2f} {unit}, {row['verdict']} |\n"
        for row in rows
        for unit in [row["unit"]]
    )
    before, following, after = text.partition(BROKER_NEXT)
    return f"{before}{BROKER_HEAD}{table}\n{following}{after}"


def _facts(results: Mapping[str, Any]) -> str:
    return (
        f"\n{results['date']}: {results['rounds']} rounds, Python {results['python']}, keyring {results['keyring']}, "
        f"{results['system']}, {results['cores']} cores, load {results['load']:.1f} at the end.\n"
    )


if __name__ == "__main__":
    arguments = [Path(argument) for argument in sys.argv[1:]]
    file, *others = arguments or [ROOT / ".cache/bench.json"]
    publish(json.loads(file.read_text(encoding="utf-8")), others[0] if others else ROOT / "plugin-docs")
