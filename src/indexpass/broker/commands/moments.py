"""A moment on the command line: so long ago, or a date. Everything is in UTC."""

from __future__ import annotations

import re
import time
from datetime import datetime, timezone

import click

_AGO = re.compile(r"([0-9]{1,9})([smhdw])")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}


def parse_moment(text: str) -> float:
    """Return the moment in seconds since the epoch: ``2h`` is two hours ago, ``2026-11-22T10:30Z`` is itself.

    Raises BadParameter, by which click ends the command.
    """
    ago = _AGO.fullmatch(text)
    if ago:
        return time.time() - int(ago[1]) * _UNIT_SECONDS[ago[2]]
    try:
        parsed = datetime.fromisoformat(text.replace("Z", "+00:00"))
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is neither so long ago, such as 2h or 30d, nor a date, such as 2026-11-22"
        ) from None


def shown(time: float) -> str:
    """Return the moment to the second, as tables have it."""
    return f"{_utc(time):%Y-%m-%d %H:%M:%S}"


def minute(time: float) -> str:
    """Return the moment to the minute."""
    return f"{_utc(time):%Y-%m-%d %H:%M}"


def day(time: float) -> str:
    """Return the day of the moment."""
    return f"{_utc(time):%Y-%m-%d}"


def _utc(time: float) -> datetime:
    return datetime.fromtimestamp(time, timezone.utc)
