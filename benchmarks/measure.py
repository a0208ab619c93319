"""The measuring itself: fresh interpreters, many processes at once, and rounds of the keyring command.

Nothing here judges: it returns seconds and counts, or ends the run if what was measured is not what was meant.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypedDict

from environments import FOREIGN_URL, INDEX_URL, Environments, environ

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker_double import BrokerDouble

HERE = Path(__file__).parent
LATER_ANSWERS = 1000
ROUNDS_SECONDS = 45.0  # the rounds end then, however slow the machine is
PROCESS_SECONDS = 60.0

Command = list["str | Path"]


class Fresh(TypedDict):
    """What fresh.py prints; times are in seconds."""

    yardstick: float
    imported: float
    added: list[str]
    first: float
    later: float
    is_ours: bool


class Rush(NamedTuple):
    """How many processes asked at once, how many mints it cost, and the seconds until the last had its answer."""

    processes: int
    mints: int
    seconds: float


class Spent(NamedTuple):
    """What one run of a client cost, in seconds: by the clock, and of the processor."""

    wall: float
    cpu: float


class Round(NamedTuple):
    """Three runs of ``keyring get`` back to back: keyring alone, and with us for a foreign and for a cached URL."""

    alone: Spent
    foreign: Spent
    cached: Spent


def ask_fresh(environments: Environments, url: str, *, times: int) -> list[Fresh]:
    """Return what fresh.py measures in as many new processes, after one more that warms up the disk's cache."""
    return [_ask_fresh(environments, url) for _ in range(1 + times)][1:]


def ask_at_once(environments: Environments, double: BrokerDouble, *, processes: int) -> Rush:
    """Let many processes ask in the same moment for a credential that nobody has yet."""
    command: Command = [environments.ours / "python", "-I", HERE / "one_of_many.py", INDEX_URL]
    seen = environ(environments.home, INDEXPASS_IDENTITY_TOKEN="made.up.token")  # noqa: S106  # the double checks none
    waiting_end, starting_end = os.pipe()  # one pipe for all: closing it starts them in the same moment
    running = [
        subprocess.Popen(command, env=seen, stdin=waiting_end, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    os.close(waiting_end)
    try:
        for process in running:
            assert process.stdout
            process.stdout.readline()
        began = time.perf_counter()
        os.close(starting_end)
        answers = {process.communicate(timeout=PROCESS_SECONDS)[0].strip() for process in running}
        seconds = time.perf_counter() - began
    finally:
        for process in running:
            process.kill()  # does nothing to those that have ended
    if "nothing" in answers or len(answers) != double.mints:
        sys.exit(f"{processes} processes got {len(answers)} different answers from {double.mints} mints")
    return Rush(processes, double.mints, seconds)


def run_rounds(environments: Environments, *, rounds: int) -> list[Round]:
    """Return what each round cost.

    A busy neighbour slows the three runs of a round alike, so that their ratio says more than the medians do. Each
    order has its turn, because the files that the run before has read are read faster.
    """
    commands: list[Command] = [
        [environments.plain / "keyring", "get", FOREIGN_URL, "--mode", "creds"],
        [environments.ours / "keyring", "get", FOREIGN_URL, "--mode", "creds"],
        [environments.ours / "keyring", "get", INDEX_URL, "--mode", "creds"],
    ]
    statuses = (1, 1, 0)  # keyring ends with 1 if there is no credential
    seen = environ(environments.home)
    orders = list(itertools.permutations(range(3)))
    measured: list[Round] = []
    deadline = time.perf_counter() + ROUNDS_SECONDS
    while len(measured) < rounds + 1 and (time.perf_counter() < deadline or len(measured) < 2):
        spent = [Spent(0, 0)] * 3
        for which in orders[len(measured) % len(orders)]:
            spent[which] = _run(commands[which], seen, status=statuses[which])
        measured.append(Round(*spent))
    return measured[1:]  # the first one warms up


def _ask_fresh(environments: Environments, url: str) -> Fresh:
    command: Command = [environments.ours / "python", "-I", HERE / "fresh.py", url, str(LATER_ANSWERS)]
    done = subprocess.run(
        command, env=environ(environments.home), check=True, stdout=subprocess.PIPE, timeout=PROCESS_SECONDS
    )
    measured: Fresh = json.loads(done.stdout)
    if measured["is_ours"] is not (url == INDEX_URL):
        sys.exit(f"{url} was not answered as it should be")
    return measured


def _run(command: Sequence[str | Path], seen: Mapping[str, str], *, status: int) -> Spent:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    with subprocess.Popen(command, env=seen, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        # Popen's own timeout looks only every 50 ms whether the process has ended, which is all that is measured here.
        watchdog = threading.Timer(PROCESS_SECONDS, process.kill)
        watchdog.start()
        ended = process.wait()
        wall = time.perf_counter() - began
        watchdog.cancel()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended != status:
        sys.exit(f"keyring {command[1]} {command[2]} ended with {ended}, not {status}")
    return Spent(wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
