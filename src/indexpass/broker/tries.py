"""Tries: counts guesses, so that nobody can go on guessing.

The counts live in this process's memory and in nothing else: with N replicas a guesser has N times the tries. This
module never learns what is guessed.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

MAX_KEYS = 10_000  # a megabyte or two


class Tries:
    """At most ``limit`` tries per key within a sliding window of ``seconds``."""

    def __init__(self, limit: int, seconds: float, *, max_keys: int = MAX_KEYS) -> None:
        """Start with no tries. Beyond ``max_keys`` keys, the one that was tried longest ago is forgotten."""
        self._limit = limit
        self._seconds = seconds
        self._max_keys = max_keys
        self._times: OrderedDict[Hashable, list[float]] = OrderedDict()

    def take(self, key: Hashable, now: float) -> int:
        """Count a try before it is made; return 0, or the whole seconds to wait if none is left.

        Counting before the answer is known means that a hundred tries at once are still a hundred tries.
        """
        times = [time for time in self._times.pop(key, []) if now - time < self._seconds]
        wait = 0 if len(times) < self._limit else math.ceil(times[0] + self._seconds - now)
        if not wait:
            times.append(now)
        self._times[key] = times
        if len(self._times) > self._max_keys:
            self._times.popitem(last=False)
        return wait

    def give_back(self, key: Hashable) -> None:
        """Forget the latest try because it was right; the earlier ones stay, so that a right one cannot hide them."""
        if self._times.get(key):
            self._times[key].pop()
