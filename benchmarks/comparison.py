"""What the peers' rounds say: each cost as a ratio to keyring alone, and to what indexpass takes for the same.

A peer that keeps nothing pays for the first call each time, so that its first cost is its later cost as well. Nothing
here has a bound: the peers are yardsticks, and none of them can fail the run.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, NamedTuple

from rows import Spread, spread_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from measure import Round

ALONE = ("keyring", "alone")
OURS = "indexpass"
ASKED = {"foreign": "foreign", "first": "own, first", "later": "own, later"}

_LINE = "{:<37}" + 6 * " {:>6}"


class Cost(NamedTuple):
    """What one look-up of one backend costs; ``is_kept`` tells whether it had kept the credential from another run."""

    who: str
    what: str
    milliseconds: float
    to_alone: Spread
    to_ours: Spread
    is_kept: bool

    def to_json(self) -> dict[str, object]:
        return {**self._asdict(), "to_alone": self.to_alone._asdict(), "to_ours": self.to_ours._asdict()}


def compare(rounds: Sequence[Round]) -> list[Cost]:
    """Return every cost, backend by backend in the order of the first round's names."""
    measured = rounds[0].keys()
    costs = []
    for who in sorted({who for who, _ in measured} - {ALONE[0]}, key=lambda who: (who != OURS, who)):
        for what in ASKED:
            key = (who, what)
            if what == "later" and key not in measured:
                key = (who, "first")
            if key not in measured:
                continue
            seconds = [each[key].wall for each in rounds]
            to_alone = [each[key].wall / each[ALONE].wall for each in rounds]
            to_ours = [each[key].wall / each[OURS, what].wall for each in rounds]
            middle = 1000 * statistics.median(seconds)
            costs.append(Cost(who, what, middle, spread_of(to_alone), spread_of(to_ours), is_kept=key[1] == "later"))
    return costs


def table(costs: Sequence[Cost], *, left_out: Sequence[str], rounds: int) -> Iterator[str]:
    """Yield the comparison's lines, none longer than 80 characters unless a reason for leaving out is."""
    yield f"{f'keyring get, medians of {rounds} rounds':<37} {'foreign':>13} {'own, first':>13} {'own, later':>13}"
    yield _LINE.format("", *(3 * (":alone", ":ours")))
    for who in dict.fromkeys(cost.who for cost in costs):
        found = {cost.what: (cost.to_alone, cost.to_ours) for cost in costs if cost.who == who}
        ratios = [f"{each.median:.2f}" if each else "" for what in ASKED for each in found.get(what, (None, None))]
        yield _LINE.format(who, *ratios).rstrip()
    widest = max(
        max(ratio.high - ratio.median, ratio.median - ratio.low) for ratio in (each.to_alone for each in costs)
    )
    yield f"95 % confidence: no ratio to keyring alone is further than {widest:.2f} from its median."
    yield from (f"Left out: {line}" for line in left_out)
