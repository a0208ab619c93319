"""The metrics as Prometheus reads them: ``GET /metrics`` on an address of its own, on a thread of its own.

What is counted is taken from memory at the moment of the question. Only the number of sessions is asked of the
database; where it does not answer, that one metric is left out. This module never counts anything itself.
"""

from __future__ import annotations

import platform
from contextlib import contextmanager, suppress
from importlib.metadata import version
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from indexpass.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from indexpass.broker.service import Broker

_CHECK_RESULTS = {204: "allowed", 401: "unauthorized", 403: "forbidden"}


@contextmanager
def exposing(broker: Broker, address: tuple[str, int]) -> Iterator[int]:
    """Answer Prometheus meanwhile; yield the port. Raises ConfigError if the address cannot be listened on."""
    try:
        server, thread = start_http_server(address[1], address[0], registry=registry_of(broker))
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {address[0]}:{address[1]} for metrics: {error.strerror}",
            hint="stop what listens there, or change metrics-listen in broker.toml",
        ) from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def registry_of(broker: Broker) -> CollectorRegistry:
    """Return what a question is answered with: the broker's own metrics, and those of its process."""
    registry = CollectorRegistry()
    registry.register(_BrokerCollector(broker))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class _BrokerCollector(Collector):
    """Reads the broker's numbers when it is asked."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def describe(self) -> Iterator[Metric]:
        """Name nothing beforehand: the registry would ask for all of it, the database too, to find the names."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        yield InfoMetricFamily(
            "indexpass_build",
            "The version that runs.",
            {"version": version("indexpass"), "python": platform.python_version()},
        )
        yield from self._decisions()
        yield from self._checks()
        yield from self._state()
        yield from self._failures()

    def _decisions(self) -> Iterator[Metric]:
        metrics = self._broker.metrics
        decisions = CounterMetricFamily(
            "indexpass_decisions", "What the audit has written down.", labels=("event", "result", "index")
        )
        for labels, count in list(metrics.decisions.items()):
            decisions.add_metric(labels, count)
        yield decisions
        exchange = HistogramMetricFamily("indexpass_exchange_seconds", "How long requests for a token took.")
        exchange.add_metric((), metrics.exchange_seconds.cumulative(), metrics.exchange_seconds.sum)
        yield exchange

    def _checks(self) -> Iterator[Metric]:
        metrics = self._broker.metrics
        checks = CounterMetricFamily("indexpass_checks", "Requests to an index, by answer.", labels=("index", "result"))
        for (index, status), count in list(metrics.checks.items()):
            checks.add_metric((index, _CHECK_RESULTS[status]), count)
        yield checks
        check = HistogramMetricFamily("indexpass_check_seconds", "How long a check took; one in 64 is measured.")
        check.add_metric((), metrics.check_seconds.cumulative(), metrics.check_seconds.sum)
        yield check

    def _state(self) -> Iterator[Metric]:
        broker = self._broker
        now = broker.now()
        try:
            sessions = broker.store.count_sessions(now)
        except SQLAlchemyError:
            pass  # counted as a failure of the database, where the store hears of it
        else:
            yield GaugeMetricFamily("indexpass_sessions", "Sign-ins of people that have not ended.", sessions)
        with suppress(StoreError):  # no key at all: /readyz says so
            yield GaugeMetricFamily(
                "indexpass_signing_key_age_seconds",
                "For how long the key that signs has done so.",
                broker.keys.signing_seconds(),
            )
        yield GaugeMetricFamily(
            "indexpass_revocations", "Tokens and sessions that are revoked before their time.", broker.revocations.size
        )
        yield GaugeMetricFamily(
            "indexpass_revocations_age_seconds",
            "How long ago the list of revocations was last read.",
            broker.revocations.age(now),
        )

    def _failures(self) -> Iterator[Metric]:
        broker = self._broker
        yield CounterMetricFamily(
            "indexpass_database_errors", "Transactions that the database did not take.", broker.store.failures
        )
        fetches = CounterMetricFamily(
            "indexpass_issuer_key_failures", "Fetches of an issuer's keys that brought none.", labels=("issuer",)
        )
        for issuer, count in broker.verifier.key_failures().items():
            fetches.add_metric((issuer,), count)
        yield fetches
        limited = CounterMetricFamily(
            "indexpass_limited_requests", "Requests that were told to wait.", labels=("limit",)
        )
        for limit, count in list(broker.metrics.limited.items()):
            limited.add_metric((limit,), count)
        yield limited
        yield CounterMetricFamily(
            "indexpass_usage_dropped", "Fetches that are missing from the usage.", broker.tally.dropped
        )
