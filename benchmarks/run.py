"""``make bench``: measure the client's bounds and say which hold. POSIX only; needs a package index to install from.

The times depend on the machine: they are shown beside a yardstick from the same run, and never fail it. The ratios
and counts do: the command ends with 1 if one of them is over its bound. It never measures the checkout, only a wheel
that it builds and installs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from broker_double import running_double
from environments import FOREIGN_URL, INDEX_URL, ROOT, configure, install
from measure import Fresh, Round, Rush, ask_at_once, ask_fresh, run_rounds
from rows import Row, count_row, ratio_row, table, time_row

if TYPE_CHECKING:
    from collections.abc import Iterator

RUSHING_PROCESSES = 50
INTERPRETERS, ROUNDS = 21, 60
QUICK_INTERPRETERS, QUICK_ROUNDS = 5, 10


class Measured(NamedTuple):
    """All that one run measured."""

    keyring_version: str
    rush: Rush
    foreign: list[Fresh]
    cached: list[Fresh]
    rounds: list[Round]

    @property
    def yardstick_ms(self) -> list[float]:
        """The quartiles of what ``import keyring`` takes: how fast this machine was, with or without us."""
        return statistics.quantiles((1000 * each["yardstick"] for each in (*self.foreign, *self.cached)), n=4)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the client's bounds.")
    parser.add_argument("--quick", action="store_true", help="fewer runs: an impression, not a measurement")
    parser.add_argument("--json", type=Path, default=ROOT / ".cache" / "bench.json", metavar="FILE", help="results")
    options = parser.parse_args()
    measured = measure(
        interpreters=QUICK_INTERPRETERS if options.quick else INTERPRETERS,
        rounds=QUICK_ROUNDS if options.quick else ROUNDS,
    )
    rows = judge(measured)
    print("\n".join(report(measured, rows)))
    write_json(options.json, measured, rows)
    return int(any(row.verdict == "OVER" and row.is_decisive for row in rows))


def measure(*, interpreters: int, rounds: int) -> Measured:
    """Install, and measure everything once; the rush leaves the credential that the later steps find cached."""
    with tempfile.TemporaryDirectory(prefix="indexpass-bench-") as folder, running_double() as double:
        say("building a wheel, installing it, and keyring alone beside it")
        environments = install(Path(folder).resolve())
        configure(environments.home, broker=double.url)
        say(f"{RUSHING_PROCESSES} processes at once")
        rush = ask_at_once(environments, double, processes=RUSHING_PROCESSES)
        say(f"first and later answers, {2 * interpreters} fresh interpreters")
        foreign = ask_fresh(environments, FOREIGN_URL, times=interpreters)
        cached = ask_fresh(environments, INDEX_URL, times=interpreters)
        say(f"keyring get, {rounds} rounds of three")
        clients = run_rounds(environments, rounds=rounds)
        if double.mints != rush.mints:
            sys.exit("a cached credential was minted again: its rows would measure something else")
    return Measured(environments.keyring_version, rush, foreign, cached, clients)


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
        ratio_row("keyring get, foreign : alone", 1.05, [each.foreign.wall / each.alone.wall for each in rounds]),
        ratio_row("keyring get, cached : alone", 1.05, [each.cached.wall / each.alone.wall for each in rounds]),
        count_row(f"mints for {measured.rush.processes} processes at once", 1, measured.rush.mints),
    ]


def report(measured: Measured, rows: list[Row]) -> Iterator[str]:
    """Yield the lines of the result, none longer than 80 characters."""
    low, median, high = measured.yardstick_ms
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    system = f"{platform.system()} {platform.machine()}, {cores} cores, load {load:.1f}"
    yield f"\nPython {platform.python_version()}, keyring {measured.keyring_version}, {system}"
    yield (f"Yardstick: import keyring takes {median:.0f} ms here ({low:.0f} … {high:.0f}); times scale with it.\n")
    yield from table(rows)
    yield "\nkeyring get, medians of its rounds    alone    foreign     cached"
    for name, costs in (
        ("by the clock", [[spent.wall for spent in each] for each in measured.rounds]),
        ("of the processor", [[spent.cpu for spent in each] for each in measured.rounds]),
    ):
        alone, foreign, cached = (1000 * statistics.median(column) for column in zip(*costs, strict=True))
        yield f"  {name:<32} {alone:>5.0f} ms   {foreign:>5.0f} ms   {cached:>5.0f} ms"
    yield f"All {measured.rush.processes} processes had their answer after {measured.rush.seconds:.1f} s.\n"
    yield "Spread: the middle half of the runs; for ratios, 95 % confidence of the median."
    yield "Only ratios and counts fail the run, and a ratio only beyond its confidence."
    if load > cores:
        yield "The machine was busy with other work: trust the ratios before the times."


def write_json(path: Path, measured: Measured, rows: list[Row]) -> None:
    results = {
        "python": platform.python_version(),
        "keyring": measured.keyring_version,
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "import_keyring_ms": dict(zip(("low", "median", "high"), measured.yardstick_ms, strict=True)),
        "rows": [row.to_json() for row in rows],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(main())
