"""How much may go wrong for one address: who is refused again and again has to wait.

Only what failed is counted, so that a company behind one address is never slowed down by its successes. The counts live
in this process's memory: with N replicas there are N times as many. This module never learns what was refused, or why.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from indexpass.broker.settings import Rate, Running

MAX_ADDRESSES = 20_000  # a few megabytes
_IPV6_PREFIX = 64  # what one line at home is given, at the least
_MAX_ADDRESS_LENGTH = 64


class Limits:
    """The limits of one broker."""

    def __init__(self, running: Running, told: Callable[[str], None]) -> None:
        """Take the rates of the settings. ``told`` is called with a limit's name for each request that has to wait."""
        self.exchanges = FailureLimit(running.refused_exchanges, lambda: told("refused-exchanges"))
        self.passwords = FailureLimit(running.wrong_passwords, lambda: told("wrong-passwords"))


class FailureLimit:
    """At most so many failures for each address; they are forgiven one at a time, evenly over the rate's seconds."""

    def __init__(self, rate: Rate, told: Callable[[], None], *, max_addresses: int = MAX_ADDRESSES) -> None:
        """Hold nothing against anybody. ``told`` is called for each request that has to wait.

        Beyond ``max_addresses``, the address that failed longest ago is forgotten.
        """
        self._capacity = rate.count
        self._per_second = rate.count / rate.seconds
        self._told = told
        self._max_addresses = max_addresses
        self._lock = threading.Lock()
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()  # how full, and when that was so

    def wait(self, address: str, now: float) -> int:
        """Return the whole seconds until the address may try again; 0 if it may now."""
        with self._lock:
            excess = self._level(place_of(address), now) + 1 - self._capacity
        if excess <= 0:
            return 0
        self._told()
        return math.ceil(excess / self._per_second)

    def count(self, address: str, now: float) -> None:
        """Count a failure."""
        place = place_of(address)
        with self._lock:
            # Those that were tried at once, before one of them was counted, do not make the wait longer.
            self._levels[place] = min(self._level(place, now) + 1, self._capacity), now
            self._levels.move_to_end(place)
            if len(self._levels) > self._max_addresses:
                self._levels.popitem(last=False)

    def _level(self, place: str, now: float) -> float:
        level, since = self._levels.get(place, (0.0, now))
        return max(0.0, level - max(0.0, now - since) * self._per_second)


@lru_cache(4096)
def place_of(address: str) -> str:
    """Return what counts as one place: an IPv4 address, or the 64 bits of an IPv6 network that one owner has."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:_MAX_ADDRESS_LENGTH]  # what a proxy wrote that is believed
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    mapped = parsed.ipv4_mapped
    return str(mapped or IPv6Network((parsed, _IPV6_PREFIX), strict=False))
