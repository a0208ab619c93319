"""Times as a person reads them: how long, and how long ago. This module never asks a clock."""

from __future__ import annotations

import math
from datetime import datetime, timezone

_MANY_MINUTES, _MANY_HOURS = 120, 48  # from here on, the next unit says it better


def duration(seconds: float) -> str:
    """Say it in minutes, or in hours where it comes out even."""
    minutes = max(1, math.ceil(seconds / 60))
    count, unit = (minutes, "minute") if minutes % 60 else (minutes // 60, "hour")
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def approximately(seconds: float) -> str:
    """Say it in minutes, hours or days, rounded down: enough to remember by. Less than a minute is ""."""
    count, unit = int(max(0.0, seconds) // 60), "minute"
    if count >= _MANY_MINUTES:
        count, unit = count // 60, "hour"
        if count >= _MANY_HOURS:
            count, unit = count // 24, "day"
    if not count:
        return ""
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def ago(seconds: float) -> str:
    """Say how long ago that was."""
    text = approximately(seconds)
    return f"{text} ago" if text else "just now"


def later(seconds: float) -> str:
    """Say in how long that will be: "in 15 minutes" of what has just begun to take so long."""
    text = approximately(seconds + 60)
    return f"in {text}" if text else "now"


def moment(time: float) -> str:
    """Say when that was, to the minute; ``time`` is in seconds since the epoch."""
    return datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
