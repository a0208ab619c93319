"""How the broker runs, as ``broker.toml`` says it: what is counted and kept, who is believed, how much is taken.

This module reads tables; nothing here says who may do what.
"""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import TYPE_CHECKING

from indexpass.broker.settings import Rate, Running, values

if TYPE_CHECKING:
    from indexpass.broker.settings.table import Table

KEYS = ("trusted-proxies", "metrics-listen", "audit-retention", "usage", "limits")
LIMIT_KEYS = ("refused-exchanges", "wrong-passwords", "connections")
_MAX_RETENTION_SECONDS = 10 * 366 * 24 * 3600
_MAX_WINDOW_SECONDS = 24 * 3600
_MAX_CONNECTIONS = 100_000
_RATE = re.compile(r"([1-9][0-9]{0,5}) in (\S+)")
_DEFAULT = Running()


def read(table: Table) -> Running:
    """Return what the file says, and the defaults for what it leaves out. Raises ConfigError."""
    limits = table.table("limits", LIMIT_KEYS)
    return Running(
        trusted_proxies=_proxies(table),
        metrics_listen=table.optional("metrics-listen", values.parse_listen),
        audit_seconds=table.optional("audit-retention", values.seconds(_MAX_RETENTION_SECONDS))
        or _DEFAULT.audit_seconds,
        has_usage=table.flag("usage"),
        refused_exchanges=_rate(limits, "refused-exchanges") or _DEFAULT.refused_exchanges,
        wrong_passwords=_rate(limits, "wrong-passwords") or _DEFAULT.wrong_passwords,
        connections=_connections(limits) or _DEFAULT.connections,
    )


def _proxies(table: Table) -> tuple[str, ...]:
    if "trusted-proxies" not in table.values:
        return _DEFAULT.trusted_proxies
    texts = table.texts("trusted-proxies")
    wrong = next((text for text in texts if not _is_network(text)), None)
    if wrong:
        raise table.wrong(
            "trusted-proxies",
            f'"{wrong}" is not an address or a network',
            hint='write trusted-proxies = ["10.0.0.7", "10.1.0.0/24"]',
        )
    return texts


def _is_network(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


def _rate(limits: Table | None, key: str) -> Rate | None:
    return limits.optional(key, _parse_rate) if limits else None


def _parse_rate(text: str) -> Rate:
    found = _RATE.fullmatch(text)
    if not found:
        msg = 'a rate is a number and a duration, such as "300 in 1m"'
        raise ValueError(msg)
    return Rate(int(found[1]), values.seconds(_MAX_WINDOW_SECONDS)(found[2]))


def _connections(limits: Table | None) -> int | None:
    value = limits.values.get("connections") if limits else None
    if limits is None or value is None:
        return None
    if type(value) is not int or not 1 <= value <= _MAX_CONNECTIONS:
        raise limits.wrong(
            "connections", f"not a number from 1 to {_MAX_CONNECTIONS}", hint="write connections = 900, without quotes"
        )
    return value
