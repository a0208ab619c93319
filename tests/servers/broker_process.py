"""A broker as the process that ``indexpass broker serve`` is, and all that it has said on standard error.

``running(folder)`` starts the broker of a folder and waits until it is ready. It is stopped by its own process number.
"""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START_SECONDS = 60.0
STOP_SECONDS = 30.0


class BrokerProcess(NamedTuple):
    """A broker that runs."""

    process: subprocess.Popen[bytes]
    log_file: Path

    @property
    def log(self) -> str:
        """All that it has said so far."""
        return self.log_file.read_text(errors="replace")

    def stop(self) -> int:
        """Tell it to stop, as systemd and Docker do; return its exit code."""
        self.process.terminate()
        return self.process.wait(STOP_SECONDS)


@contextmanager
def running(folder: Path, *options: str) -> Iterator[BrokerProcess]:
    """Run the broker in ``folder`` meanwhile."""
    log = folder.with_suffix(".log")
    argv = [sys.executable, "-c", "from indexpass._cli import main; main()", "broker", "serve", str(folder), *options]
    with log.open("ab") as stream, subprocess.Popen(argv, stderr=stream, stdout=stream) as process:
        broker = BrokerProcess(process, log)
        try:
            deadline = time.monotonic() + START_SECONDS
            while " is ready on " not in broker.log:
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"the broker did not start:\n{broker.log}")
                time.sleep(0.05)
            yield broker
        finally:
            process.kill()
