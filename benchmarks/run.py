"""``make bench``: measure the bounds of client and broker, say which hold, and set look-ups beside those of the peers.

POSIX only; needs a package index to install from. The times depend on the machine: they are shown beside a yardstick
from the same run, and never fail it. The ratios and counts do: the command ends with 1 if one of them is over its
bound. The peers never fail it. It never measures the checkout, only a wheel that it builds and installs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import broker_rates
import comparison
import poetry_runs
from broker_double import SLOW_SECONDS, running_double
from broker_rates import BrokerRates, measure_brokers
from comparison import ALONE, OURS
from environments import (
    FOREIGN_URL,
    INDEX_URL,
    ROOT,
    Environments,
    configure,
    environ,
    install,
    install_broker,
    install_poetry,
    install_shim,
)
from measure import Case, Fresh, Round, Rush, ask_at_once, ask_fresh, ask_keyring, run_rounds
from peers import invite
from platform_double import running_platforms
from plot import draw
from poetry_runs import PoetryCosts, measure_poetry
from rows import Row, count_row, ratio_row, table, time_row

if TYPE_CHECKING:
    from collections.abc import Iterator

RUSHING_PROCESSES = 50
INTERPRETERS, ROUNDS = 21, 60
QUICK_INTERPRETERS, QUICK_ROUNDS = 5, 10
BROKER_ROUNDS, BROKER_SECONDS = 12, 2
QUICK_BROKER_ROUNDS, QUICK_BROKER_SECONDS = 3, 1
PEER_ROUNDS = 12
POETRY_ROUNDS, QUICK_POETRY_ROUNDS, POETRY_SECONDS = 20, 8, 45.0
ROUNDS_SECONDS, PEER_SECONDS = 45.0, 60.0  # the rounds end then: the whole takes four minutes at most
FOREIGN, CACHED = (OURS, "foreign"), (OURS, "later")
SHIM = ("shim", "later")


class Compared(NamedTuple):
    """What the rounds with the peers measured, and which versions; ``left_out`` is one line for each thing missing."""

    rounds: list[Round]
    versions: dict[str, str]
    left_out: list[str]


class Measured(NamedTuple):
    """All that one run measured."""

    keyring_version: str
    rush: Rush
    foreign: list[Fresh]
    cached: list[Fresh]
    rounds: list[Round]
    poetry: PoetryCosts
    compared: Compared | None
    brokers: BrokerRates | None

    @property
    def yardstick_ms(self) -> list[float]:
        """The quartiles of what ``import keyring`` takes: how fast this machine was, with or without us."""
        return statistics.quantiles((1000 * each["yardstick"] for each in (*self.foreign, *self.cached)), n=4)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the client's bounds, and compare with other backends.")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="fewer runs and no peers: an impression, no measurement")
    size.add_argument("--long", action="store_true", help="four times the rounds: what the performance page shows")
    parser.add_argument("--json", type=Path, default=ROOT / ".cache" / "bench.json", metavar="FILE", help="results")
    parser.add_argument("--plot", type=Path, default=ROOT / ".cache" / "bench.svg", metavar="FILE", help="comparison")
    options = parser.parse_args()
    measured = measure(
        interpreters=QUICK_INTERPRETERS if options.quick else INTERPRETERS,
        rounds=QUICK_ROUNDS if options.quick else ROUNDS,
        poetry_rounds=QUICK_POETRY_ROUNDS if options.quick else POETRY_ROUNDS,
        peer_rounds=0 if options.quick else PEER_ROUNDS,
        broker_rounds=QUICK_BROKER_ROUNDS if options.quick else BROKER_ROUNDS,
        broker_seconds=QUICK_BROKER_SECONDS if options.quick else BROKER_SECONDS,
        times=4 if options.long else 1,
    )
    rows = judge(measured)
    print("\n".join(report(measured, rows)))
    results = to_json(measured, rows)
    write(options.json, json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    if measured.compared:
        write(options.plot, draw(results))
    return int(any(row.verdict == "OVER" and row.is_decisive for row in rows))


def measure(  # noqa: PLR0913  # how much of each is measured, all by keyword
    *,
    interpreters: int,
    rounds: int,
    poetry_rounds: int,
    peer_rounds: int,
    broker_rounds: int,
    broker_seconds: int,
    times: int,
) -> Measured:
    """Install, and measure everything; the rush leaves the credential that the later steps find cached.

    There are ``times`` as many rounds, and as much time for them.
    """
    with tempfile.TemporaryDirectory(prefix="indexpass-bench-") as name, running_double(seconds=SLOW_SECONDS) as double:
        folder = Path(name).resolve()
        say("building a wheel, installing it, and keyring alone beside it")
        environments = install(folder)
        configure(environments.home, broker=double.url)
        say(f"{RUSHING_PROCESSES} processes at once")
        rush = ask_at_once(environments, double, processes=RUSHING_PROCESSES)
        say(f"first and later answers, {2 * interpreters} fresh interpreters")
        foreign = ask_fresh(environments, FOREIGN_URL, times=interpreters)
        cached = ask_fresh(environments, INDEX_URL, times=interpreters)
        say(f"keyring get, {times * rounds} rounds of four")
        cases = [*client_cases(environments), shim_case(environments)]
        clients = run_rounds(cases, rounds=times * rounds, seconds=times * ROUNDS_SECONDS)
        say(f"Poetry with and without the plugin, {times * poetry_rounds} rounds")
        pair, seconds = install_poetry(folder), times * POETRY_SECONDS
        poetry = measure_poetry(
            folder, environments, pair, interpreters=interpreters, rounds=times * poetry_rounds, seconds=seconds
        )
        compared = None
        if peer_rounds:
            seconds = times * PEER_SECONDS
            compared = measure_peers(folder, environments, rounds=times * peer_rounds, seconds=seconds)
        if double.mints != rush.mints:
            sys.exit("a cached credential was minted again: its rows would measure something else")
        say(f"the broker beside others, {broker_rounds} rounds")
        programs = install_broker(folder)
        brokers = measure_brokers(folder / "brokers", programs, rounds=broker_rounds, seconds=broker_seconds)
    return Measured(environments.keyring_version, rush, foreign, cached, clients, poetry, compared, brokers)


def client_cases(environments: Environments) -> list[Case]:
    """Return keyring alone, and with us for a foreign and for a cached URL."""
    seen = environ(environments.home)  # keyring ends with 1 if there is no credential
    return [
        Case(*ALONE, ask_keyring(environments.plain, FOREIGN_URL), seen, status=1),
        Case(*FOREIGN, ask_keyring(environments.ours, FOREIGN_URL), seen, status=1),
        Case(*CACHED, ask_keyring(environments.ours, INDEX_URL), seen, status=0),
    ]


def shim_case(environments: Environments) -> Case:
    """Return the shim in the place of keyring, for a cached URL."""
    asking = ask_keyring(install_shim(environments), INDEX_URL)
    return Case(*SHIM, asking, environ(environments.home), status=0)


def measure_peers(folder: Path, environments: Environments, *, rounds: int, seconds: float) -> Compared:
    """Install the peers, and let them take turns with us; our broker's double answers as quickly as theirs."""
    home = folder / "cold"
    home.mkdir()
    seen = environ(home, INDEXPASS_IDENTITY_TOKEN="made.up.token")  # noqa: S106  # the double checks none
    with running_double(seconds=0) as broker, running_platforms() as platforms:
        say("installing the peers, each beside the same keyring")
        configure(home, broker=broker.url)
        cold = ask_keyring(environments.ours, INDEX_URL)
        ours = Case(OURS, "first", cold, seen, status=0, forgets=home / "credentials")
        invited = invite(folder, environments, double=platforms)
        cases = [*client_cases(environments), ours, *invited.cases]
        say(f"keyring get, {rounds} rounds of {len(cases)}")
        measured = run_rounds(cases, rounds=rounds, seconds=seconds)
        if broker.mints != 1 + len(measured):
            sys.exit("a first call was not minted: its row would measure something else")
    failed = {case.who for case in cases if not all((case.who, case.what) in each for each in measured)}
    left_out = [*invited.left_out, *(f"{who}: does not answer as it should every time" for who in sorted(failed))]
    kept = [{key: spent for key, spent in each.items() if key[0] not in failed} for each in measured]
    versions = {OURS: environments.version, **invited.versions}
    return Compared(kept, {who: version for who, version in versions.items() if who not in failed}, left_out)


def say(step: str) -> None:
    print(f"{step} …", file=sys.stderr, flush=True)


def judge(measured: Measured) -> list[Row]:
    """Set what was measured against the bounds."""
    foreign, cached, rounds = measured.foreign, measured.cached, measured.rounds
    added = {name for each in (*foreign, *cached) for name in each["added"]}
    return [
        time_row("import of keyring_backend", 1, [each["imported"] for each in (*foreign, *cached)]),
        count_row("modules that it adds, both ours", 2, len(added)),
        time_row("URL of no index, first answer", 8, [each["first"] for each in foreign]),
        time_row("URL of no index, later answers", 0.05, [each["later"] for each in foreign]),
        time_row("cached credential, first answer", 12, [each["first"] for each in cached]),
        time_row("cached credential, later answers", 0.3, [each["later"] for each in cached]),
        ratio_row("keyring get, foreign : alone", 1.05, [each[FOREIGN].wall / each[ALONE].wall for each in rounds]),
        ratio_row("keyring get, cached : alone", 1.05, [each[CACHED].wall / each[ALONE].wall for each in rounds]),
        ratio_row("shim, cached : keyring get, cached", 0.35, [each[SHIM].wall / each[CACHED].wall for each in rounds]),
        count_row(f"mints for {measured.rush.processes} processes at once", 1, measured.rush.mints),
        *poetry_runs.judge(measured.poetry),
        *(broker_rates.judge(measured.brokers) if measured.brokers else []),
    ]


def report(measured: Measured, rows: list[Row]) -> Iterator[str]:
    """Yield the lines of the result, none longer than 80 characters."""
    low, median, high = measured.yardstick_ms
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    system = f"{platform.system()} {platform.machine()}, {cores} cores, load {load:.1f}"
    yield f"\nPython {platform.python_version()}, keyring {measured.keyring_version}, {system}"
    yield (f"Yardstick: import keyring takes {median:.0f} ms here ({low:.0f} … {high:.0f}); times scale with it.\n")
    yield from table(rows)
    yield "\nkeyring get, medians of its rounds    alone    foreign     cached       shim"
    for name, field in (("by the clock", "wall"), ("of the processor", "cpu")):
        medians = (
            1000 * statistics.median(getattr(each[case], field) for each in measured.rounds)
            for case in (ALONE, FOREIGN, CACHED, SHIM)
        )
        yield f"  {name:<32} {'   '.join(f'{median:>5.0f} ms' for median in medians)}"
    yield f"All {measured.rush.processes} processes had their answer after {measured.rush.seconds:.1f} s.\n"
    if measured.compared:
        rounds, _, left_out = measured.compared
        costs = comparison.compare(rounds)
        yield from comparison.table(costs, left_out=left_out, rounds=len(rounds))
        yield ""
    yield from broker_rates.report(measured.brokers) if measured.brokers else ("Left out: the broker; install wrk.",)
    yield ""
    yield "Spread: the middle half of the runs; for ratios and what we add, 95 % confidence."
    yield "Only ratios and counts fail the run, and a ratio only beyond its confidence."
    if load > cores:
        yield "The machine was busy with other work: trust the ratios before the times."


def to_json(measured: Measured, rows: list[Row]) -> dict[str, object]:
    results: dict[str, object] = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "python": platform.python_version(),
        "keyring": measured.keyring_version,
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "import_keyring_ms": dict(zip(("low", "median", "high"), measured.yardstick_ms, strict=True)),
        "rows": [row.to_json() for row in rows],
    }
    if measured.brokers:
        results["brokers"] = broker_rates.to_json(measured.brokers)
    if measured.compared:
        rounds, versions, left_out = measured.compared
        costs = [cost.to_json() for cost in comparison.compare(rounds)]
        results |= {"rounds": len(rounds), "versions": versions, "costs": costs, "left_out": left_out}
    return results


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
