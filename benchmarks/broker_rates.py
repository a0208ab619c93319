"""The broker's bounds: how fast it checks and exchanges, beside servers that do a part of the same work.

All take turns in rounds, so that a busy moment concerns the ones and the others. Nothing here has a bound but what
``judge`` says.
"""

from __future__ import annotations

import base64
import random
import shutil
import statistics
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from load import BASIC, FORM, Paced, pace, press
from rows import Row, ratio_row, spread_of
from services import (
    Broker,
    Issuer,
    start_bare,
    start_broker,
    start_oidc_provider,
    start_postgresql,
    start_pypiserver,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOT_TOKENS = 200
FIRST_RATE = 2000.0  # more than any broker's: so many identity tokens are signed for each second of its first turn
PACED_REQUESTS = 1000
CHECK, BARE, PYPISERVER, OIDC = "check", "bare 204", "pypiserver's password check", "oidc-provider"
CLIENT_CREDENTIALS = (
    "grant_type=client_credentials&client_id=ci&client_secret=made-up&scope=pypi%3Aread"
    "&resource=https%3A%2F%2Fpackages.acme.example%2Fsimple%2F"
)
MAX_CHECK, MAX_EXCHANGE, MAX_P99_MS = 1 / 0.7, 1 / 0.5, 50.0

Rates = dict[str, float]  # answers of a second, by who gave them


class BrokerRates(NamedTuple):
    """What the rounds measured, and the answers' times at half of each broker's own rate."""

    rounds: list[Rates]
    paced: dict[str, Paced]
    left_out: list[str]

    def times(self, one: str, other: str) -> list[float]:
        """Return how often as long ``one`` takes as ``other`` does, round by round; nothing if one is not there."""
        return [each[other] / each[one] for each in self.rounds if one in each and other in each]


def measure_brokers(folder: Path, programs: Path, *, rounds: int, seconds: int) -> BrokerRates | None:
    """Start all of them, and let them take turns of so many seconds. Returns None where there is no wrk."""
    if not shutil.which("wrk"):
        return None
    folder.mkdir()
    with ExitStack() as stack:
        issuer = Issuer(stack)
        left_out = []
        brokers = [start_broker(stack, programs, folder / "sqlite", issuer)]
        database = start_postgresql(stack, folder)
        if database:
            brokers.append(start_broker(stack, programs, folder / "postgres-broker", issuer, database=database))
        else:
            left_out.append("PostgreSQL: is not installed here")
        turns = _check_turns(stack, programs, folder, issuer, seconds)
        oidc = start_oidc_provider(stack, folder)
        if oidc:
            turns[OIDC] = lambda: press(
                f"{oidc}/token", folder, [CLIENT_CREDENTIALS], FORM, status=200, seconds=seconds
            )
        else:
            left_out.append(f"{OIDC}: needs node and npm")
        for broker in brokers:
            turns[exchange_of(broker.database)] = _exchanging(broker, issuer, folder, seconds)
        measured = _take_turns(turns, rounds)
        paced = {}
        for broker in brokers:
            rate = statistics.median(each[exchange_of(broker.database)] for each in measured) / 2
            requests = [_request(broker, form) for form in issuer.forms(PACED_REQUESTS, broker.url)]
            paced[broker.database] = pace("127.0.0.1", broker.port, requests, rate=rate)
    return BrokerRates(measured, paced, left_out)


def exchange_of(database: str) -> str:
    return f"exchange, {database}"


def judge(measured: BrokerRates) -> Iterator[Row]:
    """Yield the rows of what was measured. A rate that has to be high is a time for each that has to be low."""
    yield ratio_row(f"{CHECK} : {BARE}", MAX_CHECK, measured.times(CHECK, BARE))
    for database, paced in measured.paced.items():
        exchange = exchange_of(database)
        times = measured.times(exchange, OIDC)
        if times:
            yield ratio_row(f"{database} exchange:{OIDC}", MAX_EXCHANGE, times)
        p99 = 1000 * paced.p99
        row = Row(f"p99, half rate, {database}", "ms", MAX_P99_MS, p99, p99, p99, PACED_REQUESTS, is_decisive=False)
        yield row


def report(measured: BrokerRates) -> Iterator[str]:
    """Yield the rates, none of which means anything on another machine, and what has no bound."""
    rates = {who: statistics.median(each[who] for each in measured.rounds) for who in measured.rounds[0]}
    yield f"broker, medians of {len(measured.rounds)} rounds       answers in a second"
    yield from (f"  {who:<34} {rate:>8.0f}" for who, rate in rates.items())
    low, median, high = spread_of(measured.times(PYPISERVER, CHECK))
    yield f"pypiserver's own check takes {median:.1f} times as long ({low:.1f} … {high:.1f})."
    for database, paced in measured.paced.items():
        yield (
            f"At half rate with {database}: half within {1000 * paced.p50:.0f} ms, "
            f"99 % within {1000 * paced.p99:.0f} ms; asked {1000 * paced.late_p99:.0f} ms late at most."
        )
    yield from (f"Left out: {line}" for line in measured.left_out)


def to_json(measured: BrokerRates) -> dict[str, object]:
    return {
        "rows": [row.to_json() for row in judge(measured)],
        "rounds": measured.rounds,
        "paced_ms": {
            database: {name: 1000 * value for name, value in paced._asdict().items()}
            for database, paced in measured.paced.items()
        },
        "pypiserver_to_check": spread_of(measured.times(PYPISERVER, CHECK))._asdict(),
        "left_out": measured.left_out,
    }


def _check_turns(
    stack: ExitStack, programs: Path, folder: Path, issuer: Issuer, seconds: int
) -> dict[str, Callable[[], float]]:
    # One process of each: with two of ours, half of the time would be a second core's.
    broker = start_broker(stack, programs, folder / "checking", issuer, workers=1)
    forms = issuer.forms(HOT_TOKENS, broker.url)
    hot = [base64.b64encode(f"__token__:{broker.token(form)}".encode()).decode() for form in forms]
    ask = BASIC % broker.url.removeprefix("http://")
    bare = start_bare(stack, programs, folder)
    pypiserver, password = start_pypiserver(stack, programs, folder)
    return {
        BARE: lambda: press(f"{bare}/check", folder, hot, ask, status=204, seconds=seconds),
        CHECK: lambda: press(f"{broker.url}/check", folder, hot, ask, status=204, seconds=seconds),
        PYPISERVER: lambda: press(f"{pypiserver}/simple/", folder, [password], ask, status=200, seconds=seconds),
    }


def _exchanging(broker: Broker, issuer: Issuer, folder: Path, seconds: int) -> Callable[[], float]:
    """Return a turn for which enough identity tokens are signed before its clock starts."""
    latest = [FIRST_RATE]

    def turn() -> float:
        forms = issuer.forms(int(1.6 * latest[-1] * seconds) + 500, broker.url)
        latest.append(press(f"{broker.url}/oauth/token", folder, forms, FORM, status=200, seconds=seconds))
        return latest[-1]

    return turn


def _take_turns(turns: dict[str, Callable[[], float]], rounds: int) -> list[Rates]:
    orders = random.Random(0)  # noqa: S311  # the same orders in every run
    measured = []
    for _ in range(rounds + 1):
        rates = {}
        for who in orders.sample(list(turns), len(turns)):
            time.sleep(0.2)  # what the one before has left to do
            rates[who] = turns[who]()
        measured.append({who: rates[who] for who in turns})
    return measured[1:]  # the first one warms up


def _request(broker: Broker, form: str) -> bytes:
    head = f"POST /oauth/token HTTP/1.1\r\nHost: 127.0.0.1:{broker.port}\r\n"
    head += "Content-Type: application/x-www-form-urlencoded\r\n"
    return f"{head}Content-Length: {len(form)}\r\n\r\n{form}".encode()
