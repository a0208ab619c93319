"""The measuring itself: fresh interpreters, many processes at once, and rounds of the keyring command.

Nothing here judges: it returns seconds and counts, or ends the run if what was measured is not what was meant.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypedDict

from environments import INDEX_URL, Environments, environ

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker_double import BrokerDouble

HERE = Path(__file__).parent
LATER_ANSWERS = 1000
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


class Case(NamedTuple):
    """One run of a client: who answers, what is asked, and how it has to end.

    Of ``keyring get``, ``what`` is ``alone``, ``foreign`` (a URL of no index of theirs), ``first`` or ``later`` (their
    own index, with nothing kept or with a kept credential). ``forgets`` is the file or folder that is removed before
    each run. Where a case ``may_fail``, a wrong end is left out of its round; any other's ends the whole run.
    """

    who: str
    what: str
    command: Command
    seen: Mapping[str, str]
    status: int
    forgets: Path | None = None
    may_fail: bool = False


Round = dict[tuple[str, str], Spent]  # who and what of each case, run back to back


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


def run_rounds(cases: Sequence[Case], *, rounds: int, seconds: float) -> list[Round]:
    """Return what each round cost. They end after ``seconds``, however slow the machine is.

    A busy neighbour slows the runs of a round alike, so that their ratio says more than the medians do. Each round has
    an order of its own, because the files that the run before has read are read faster.
    """
    orders = random.Random(0)  # noqa: S311  # the same orders in every run
    measured: list[Round] = []
    deadline = time.perf_counter() + seconds
    while len(measured) < rounds + 1 and (time.perf_counter() < deadline or len(measured) < 4):
        spent = {}
        for case in orders.sample(cases, len(cases)):
            status, cost = _run(case)
            if status == case.status:
                spent[case.who, case.what] = cost
            elif not case.may_fail:
                sys.exit(f"{case.who}, {case.what}: ended with {status}, not {case.status}")
        measured.append(spent)
    return measured[1:]  # the first one warms up


def ask_keyring(programs: Path, url: str, username: str = "") -> Command:
    """Return the command by which uv and others ask keyring for user name and secret."""
    return [programs / "keyring", "get", url, *([username] if username else []), "--mode", "creds"]


def ends_as_it_should(case: Case) -> bool:
    """Run the case once: is there a credential where there should be one, and none where there should be none?"""
    return _run(case)[0] == case.status


def _ask_fresh(environments: Environments, url: str) -> Fresh:
    command: Command = [environments.ours / "python", "-I", HERE / "fresh.py", url, str(LATER_ANSWERS)]
    done = subprocess.run(
        command, env=environ(environments.home), check=True, stdout=subprocess.PIPE, timeout=PROCESS_SECONDS
    )
    measured: Fresh = json.loads(done.stdout)
    if measured["is_ours"] is not (url == INDEX_URL):
        sys.exit(f"{url} was not answered as it should be")
    return measured


def _run(case: Case) -> tuple[int, Spent]:
    if case.forgets:
        _remove(case.forgets)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    with subprocess.Popen(
        case.command, env=case.seen, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        # Popen's own timeout looks only every 50 ms whether the process has ended, which is all that is measured here.
        watchdog = threading.Timer(PROCESS_SECONDS, process.kill)
        watchdog.start()
        status = process.wait()
        wall = time.perf_counter() - began
        watchdog.cancel()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return status, Spent(wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
