"""Draw the comparison as SVG: ``plot.py bench.json > bench.svg``. Nothing here measures or decides.

Colours follow the reader's light or dark setting; without one they are those of a light page.
"""

from __future__ import annotations

import json
import sys
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Cost = dict[str, Any]  # one element of "costs", as comparison.py writes it

WIDTH, LEFT, RIGHT = 700, 252, 56
ROW, BAR = 24, 12
OURS = "indexpass"
TITLE = "The time of keyring get with each backend, against keyring alone"
PANELS = (
    ("A URL of no index of the backend's", "foreign"),
    ("A URL of the backend's own index, its platform answering at once", "later"),
)
NOTES = (
    "Time of a whole keyring get; 1 is keyring without any of them. Thin line: 95 % confidence of the median.",
    "Outline: the first call, where later calls find a credential that was kept. The others keep none.",
    "keyrings-chainguard-libraries starts its platform's program, for which a script of two lines stands here.",
)
_STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
.head { font-weight: 600 } .quiet { fill: #59636e; font-size: 12px } .ours { font-weight: 600 }
.grid { stroke: #d1d9e0 } .alone { stroke: #59636e; stroke-dasharray: 4 3 } .spread { stroke: #1f2328 }
.bar { fill: #9aa4af } .bar.ours { fill: #1f6feb }
.first { fill: none; stroke: #818b98 } .first.ours { stroke: #1f6feb }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .quiet { fill: #9198a1 } .grid { stroke: #3d444d } .alone { stroke: #9198a1 }
.spread { stroke: #f0f6fc } .bar { fill: #656c76 } .bar.ours { fill: #4493f8 } .first { stroke: #9198a1 }
.first.ours { stroke: #4493f8 } }
"""


class Scale(NamedTuple):
    """Where ratios stand on the page: pixels for each whole, and the marks of the axis."""

    pixels: float
    ticks: Sequence[float]

    def x(self, ratio: float) -> float:
        return LEFT + ratio * self.pixels


def draw(results: Mapping[str, Any]) -> str:
    """Return the plot of the results as one SVG document."""
    costs: list[Cost] = results["costs"]
    ticks = [half / 2 for half in range(int(2 * max(cost["to_alone"]["high"] for cost in costs)) + 2)]
    scale = Scale((WIDTH - LEFT - RIGHT) / ticks[-1], ticks)
    body: list[str] = []
    y = 8.0
    for title, what in PANELS:
        shown = sorted((cost for cost in costs if cost["what"] == what), key=lambda cost: cost["to_alone"]["median"])
        first = {cost["who"]: cost["to_alone"]["median"] for cost in costs if cost["what"] == "first"}
        body += _panel(title, [(cost, first[cost["who"]] if cost["is_kept"] else None) for cost in shown], scale, y=y)
        y += 58 + ROW * len(shown)
    body += [_text(8, y + 8 + 18 * number, line, "quiet") for number, line in enumerate(NOTES)]
    height = y + 2 + 18 * len(NOTES)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
        f'viewBox="0 0 {WIDTH} {height:.0f}" role="img">\n<title>{TITLE}</title>\n<style>{_STYLE}</style>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def _panel(title: str, shown: Sequence[tuple[Cost, float | None]], scale: Scale, *, y: float) -> Iterator[str]:
    """Yield one panel: a row for each cost, with the ratio of its first call where that was another one."""
    top, bottom = y + 24, y + 28 + ROW * len(shown)
    yield _text(8, y + 12, title, "head")
    for tick in scale.ticks:
        yield _line(scale.x(tick), top, scale.x(tick), bottom, "alone" if tick == 1 else "grid")
        yield _text(scale.x(tick), bottom + 14, f"{tick:g}", "quiet", anchor="middle")
    for number, (cost, first) in enumerate(shown):
        ratio, label = cost["to_alone"], f"{cost['to_alone']['median']:.2f}"
        ours = " ours" if cost["who"] == OURS else ""
        middle = top + 4 + ROW * (number + 0.5)
        yield _text(LEFT - 8, middle + 4, cost["who"], f"name{ours}", anchor="end")
        if first is not None:
            yield _bar(first, middle, scale, f"first{ours}")
            label += f" (first call {first:.2f})"
        yield _bar(ratio["median"], middle, scale, f"bar{ours}")
        yield _line(scale.x(ratio["low"]), middle, scale.x(ratio["high"]), middle, "spread")
        yield _text(scale.x(max(ratio["high"], first or 0)) + 6, middle + 4, label, f"value{ours}")


def _bar(ratio: float, middle: float, scale: Scale, style: str) -> str:
    top = middle - BAR / 2
    return f'<rect class="{style}" x="{LEFT}" y="{top:.1f}" width="{ratio * scale.pixels:.1f}" height="{BAR}"/>'


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, style: str, *, anchor: str = "start") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


if __name__ == "__main__":
    sys.stdout.write(draw(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
