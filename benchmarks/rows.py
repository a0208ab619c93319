"""What was measured against what was promised: one row a bound, its verdict, and the table for 80 columns."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Verdict = Literal["ok", "OVER", "unclear"]

_LINE = "{what:<33} {bound:>7} {measured:>8} {spread:>14} {share:>5}  {verdict}"


class Spread(NamedTuple):
    """A median, and between what it lies."""

    low: float
    median: float
    high: float


class Row(NamedTuple):
    """One bound. ``low`` and ``high`` are the spread; ``is_decisive`` rows fail the whole run.

    Decisive rows compare what ran side by side, so that a slow machine cannot fail them. For times, the spread is the
    middle half of the runs; for ratios and differences, where the median lies with 95 % confidence.
    """

    what: str
    unit: str
    bound: float
    measured: float
    low: float
    high: float
    runs: int
    is_decisive: bool

    @property
    def verdict(self) -> Verdict:
        """Over only if noise does not explain it: the whole spread lies above the bound."""
        if self.measured <= self.bound:
            return "ok"
        return "OVER" if self.low > self.bound else "unclear"

    def to_json(self) -> dict[str, object]:
        return {**self._asdict(), "of_bound": self.measured / self.bound, "verdict": self.verdict}

    def __str__(self) -> str:
        # As many digits as noise leaves meaningful: whole counts, thousandths of a ratio or of less than a millisecond.
        digits = 0 if not self.unit else 3 if self.unit == "x" or self.bound < 1 else 2
        spread = "" if self.low == self.high else f"{self.low:.{digits}f} … {self.high:.{digits}f}"
        return _LINE.format(
            what=self.what,
            bound=f"{self.bound:.3g} {self.unit}",
            measured=f"{self.measured:.{digits}f} {self.unit}",
            spread=spread,
            share=f"{self.measured / self.bound:.0%}",
            verdict=self.verdict,
        ).rstrip()


def time_row(what: str, bound_ms: float, seconds: Sequence[float]) -> Row:
    """Return the row of a time: the median of fresh processes, in milliseconds, and their middle half."""
    milliseconds = [1000 * each for each in seconds]
    low, middle, high = statistics.quantiles(milliseconds, n=4)
    return Row(what, "ms", bound_ms, middle, low, high, len(seconds), is_decisive=False)


def ratio_row(what: str, bound: float, ratios: Sequence[float]) -> Row:
    """Return the row of a ratio: the median of the rounds, and where it lies with 95 % confidence."""
    low, median, high = spread_of(ratios)
    return Row(what, "x", bound, median, low, high, len(ratios), is_decisive=True)


def difference_row(what: str, bound_ms: float, seconds: Sequence[float]) -> Row:
    """Return the row of what is added: the median of the rounds, and where it lies with 95 % confidence."""
    low, median, high = spread_of([1000 * each for each in seconds])
    return Row(what, "ms", bound_ms, median, low, high, len(seconds), is_decisive=False)


def spread_of(ratios: Sequence[float]) -> Spread:
    """Return the median, and where it lies with 95 % confidence.

    The confidence interval is that of the order statistics (binomial, normal approximation), which assumes nothing
    about how noise is distributed.
    """
    ordered = sorted(ratios)
    rank = max(math.floor(len(ordered) / 2 - 0.98 * math.sqrt(len(ordered))), 0)
    return Spread(ordered[rank], statistics.median(ordered), ordered[-1 - rank])


def count_row(what: str, bound: int, count: int) -> Row:
    """Return the row of something that is counted: it has no spread, and fails the run if there are more."""
    return Row(what, "", bound, count, count, count, 1, is_decisive=True)


def table(rows: Iterable[Row]) -> Iterator[str]:
    """Yield the table's lines, none longer than 80 characters."""
    yield _LINE.format(
        what="what", bound="bound", measured="measured", spread="spread", share="share", verdict="verdict"
    )
    for row in rows:
        yield str(row)
