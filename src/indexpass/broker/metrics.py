"""What the broker counts while it works: plain numbers in memory, for whoever reads them.

Counting costs a fraction of a microsecond and imports nothing; how the numbers are told to Prometheus is the business
of ``exposition``. A label is a word of ours or a name from ``broker.toml``, never anything that a client sent. This
module never decides anything.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from indexpass.broker.state.audit import Entry

CHECK_BOUNDS = (0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.01, 0.1, 1.0)
EXCHANGE_BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Histogram:
    """Durations, counted by the bound in seconds that they stay within. Not for several threads at once."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """Hold nothing yet."""
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self.sum += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """Return how many stay within each bound, and in all, as Prometheus has it."""
        total, found = 0, []
        for bound, count in zip((*map(str, self._bounds), "+Inf"), list(self._counts), strict=True):
            total += count
            found.append((bound, float(total)))
        return found


class Metrics:
    """The numbers of this process, from its start on.

    What concerns checks belongs to the event loop alone; what concerns decisions may come from any thread.
    """

    def __init__(self) -> None:
        """Start at nothing."""
        self._lock = threading.Lock()
        self.checks: Counter[tuple[str, int]] = Counter()  # by index and status
        self.check_seconds = Histogram(CHECK_BOUNDS)
        self.decisions: Counter[tuple[str, str, str]] = Counter()  # by event, result and index
        self.exchange_seconds = Histogram(EXCHANGE_BOUNDS)
        self.limited: Counter[str] = Counter()  # by limit

    def count_decision(self, entry: Entry) -> None:
        """Count what the audit has written down."""
        with self._lock:
            self.decisions[entry.event, entry.result, entry.index] += 1

    def count_limited(self, limit: str) -> None:
        """Count a request that was refused because there had been too many."""
        with self._lock:
            self.limited[limit] += 1

    @contextmanager
    def timing_exchange(self) -> Iterator[None]:
        """Measure an exchange, whatever comes of it."""
        begun = perf_counter()
        try:
            yield
        finally:
            took = perf_counter() - begun
            with self._lock:
                self.exchange_seconds.observe(took)
