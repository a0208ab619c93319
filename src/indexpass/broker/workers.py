"""Several processes that serve one broker: start them, put another one in the place of each that dies, stop them all.

Every worker has a socket of its own on the same address, among which Linux shares out the connections, and opens the
broker for itself. Of its parent it has one end of a pipe: it says there when it is ready, and what is wrong. The word
to stop is the end of that pipe, so that no worker outlives its parent either. This module never opens the broker, and
never answers a request: the parent has no thread, no database and no event loop, so that it can fork at any time.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING

from indexpass.errors import ConfigError, IndexpassError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.process import BaseProcess
    from types import FrameType

MAX_WORKERS = 64
SOUND_SECONDS = 10.0  # a worker that lived for so long did not die of how it was started
MAX_DELAY_SECONDS = 30.0
STOP_SECONDS = 25.0  # less than systemd and Docker wait before they kill everybody
KILL_SECONDS = 5.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_SIGNAL_NAMES = {int(each): each.name for each in signal.Signals}
_log = logging.getLogger("indexpass.broker")

Listen = Callable[[], socket.socket]
Work = Callable[[int, socket.socket, Connection], None]


def check_platform(platform: str = sys.platform) -> None:
    """Raise ConfigError where several processes cannot share one address."""
    if platform != "linux":
        raise ConfigError(
            "only Linux shares out connections among several workers", hint="run one: leave out --workers"
        )


def supervise(count: int, *, listen: Listen, work: Work, greet: Callable[[], None]) -> None:
    """Keep ``count`` workers at work until SIGTERM or SIGINT; then they finish what has begun.

    ``work`` is called in each of them, with its number from 0, its socket and its end of the pipe: there it sends None
    once it answers, and it stops at the end of the pipe. ``greet`` is called once all of them answer. A second signal
    ends everything at once. Raises what ``listen`` raises, and what keeps a worker from its first start.
    """
    with closing(_Signals()) as signals:
        crew = _Crew(count, listen, work, signals)
        try:
            crew.begin()
            if not signals.count:
                greet()
            crew.keep_up()
        finally:
            crew.stop()


class _Signals:
    """Counts the words to stop; as a file it can be read once there is one, so that no wait misses it."""

    def __init__(self) -> None:
        self.count = 0
        self._heard, self._told = socket.socketpair()
        for end in (self._heard, self._told):
            end.settimeout(0)
        signal.set_wakeup_fd(self._told.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, self._hear) for number in _SIGNALS}

    def close(self) -> None:
        """Have signals do what they did before."""
        self.forget()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def fileno(self) -> int:
        return self._heard.fileno()

    def drain(self) -> None:
        with suppress(BlockingIOError):
            self._heard.recv(4096)

    def forget(self) -> None:
        """Have signals do what they do by default, as a worker wants it until it has a server."""
        signal.set_wakeup_fd(-1)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        self._heard.close()
        self._told.close()

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1


@dataclass(slots=True)
class _Worker:
    """A place among the workers, with the process that has it now, if one does."""

    number: int
    listener: socket.socket | None
    process: BaseProcess | None = None
    pipe: Connection | None = None
    is_ready: bool = False
    begun_at: float = 0.0
    due_at: float = 0.0  # when the next process is started, where there is none
    early_ends: int = 0  # in a row

    def __str__(self) -> str:
        return f"worker {self.number + 1}"

    def close(self) -> None:
        """Close what this process has of it: its socket, and the pipe."""
        if self.listener:
            self.listener.close()
            self.listener = None
        if self.pipe:
            self.pipe.close()
            self.pipe = None


class _Crew:
    """All workers of this process."""

    def __init__(self, count: int, listen: Listen, work: Work, signals: _Signals) -> None:
        self._listen = listen
        self._work = work
        self._signals = signals
        self._fork = multiprocessing.get_context("fork")
        self._workers: list[_Worker] = []
        try:
            for number in range(count):
                self._workers.append(_Worker(number, listen()))
        except IndexpassError:
            self.stop()
            raise

    def begin(self) -> None:
        """Start the workers. The first is alone: it makes the tables, and says once what is wrong for all of them."""
        gc.collect()
        gc.freeze()  # nobody looks through it again, so that the workers go on sharing its memory
        for group in (self._workers[:1], self._workers[1:]):
            if not self._signals.count:
                self._begin(group)

    def _begin(self, group: Sequence[_Worker]) -> None:
        for worker in group:
            self._start(worker)
        while not self._signals.count and not all(worker.is_ready for worker in group):
            for worker, failure in self._news(None):
                if failure:
                    self._end(worker)
                    raise failure

    def keep_up(self) -> None:
        """Put another process in the place of each that ends, until there is a signal."""
        while not self._signals.count:
            now = time.monotonic()
            waiting = [worker for worker in self._workers if not worker.process]
            for worker in waiting:
                if worker.due_at <= now:
                    self._start_again(worker)
            pauses = [worker.due_at - now for worker in waiting if not worker.process]
            for worker, failure in self._news(min(pauses, default=None)):
                if failure:
                    self._put_off(worker, failure)
                else:
                    _log.warning("%s answers again", worker)

    def stop(self) -> None:
        """Tell all workers to stop, and wait until they have; kill those that take too long."""
        for worker in self._workers:
            worker.close()
        deadline = time.monotonic() + STOP_SECONDS
        left = self._alive()
        while left and self._signals.count < 2 and time.monotonic() < deadline:  # noqa: PLR2004  # the second one
            wait([*(process.sentinel for process in left), self._signals.fileno()], deadline - time.monotonic())
            self._signals.drain()
            left = self._alive()
        for process in left:
            process.kill()
        for process in left:
            process.join(KILL_SECONDS)
        if left:
            _log.warning("%d workers did not stop in time and were killed", len(left))

    def _alive(self) -> list[BaseProcess]:
        return [worker.process for worker in self._workers if worker.process and worker.process.is_alive()]

    def _start(self, worker: _Worker) -> None:
        if not worker.listener:
            worker.listener = self._listen()
        worker.pipe, other_end = self._fork.Pipe()
        worker.process = self._fork.Process(target=self._be, args=(worker, worker.listener, other_end), daemon=True)
        worker.is_ready = False
        worker.begun_at = time.monotonic()
        worker.process.start()
        other_end.close()

    def _start_again(self, worker: _Worker) -> None:
        try:
            self._start(worker)
        except (IndexpassError, OSError) as error:  # somebody else has the address, no more processes
            self._put_off(worker, IndexpassError(f"{worker} cannot be started: {error}"))

    def _be(self, worker: _Worker, listener: socket.socket, parent: Connection) -> None:
        """Be that worker: this is where its process begins."""
        self._signals.forget()
        worker.listener = None
        for each in self._workers:  # held here, the others would neither see the parent's end nor free the port
            each.close()
        try:
            self._work(worker.number, listener, parent)
        except IndexpassError as error:
            with suppress(OSError):
                parent.send(error)
            sys.exit(1)

    def _news(self, seconds: float | None) -> Iterator[tuple[_Worker, IndexpassError | None]]:
        """Wait for a signal or a worker, and yield who became ready, or why they did not or are no more."""
        by_pipe = {worker.pipe: worker for worker in self._workers if worker.pipe}
        heard: Sequence[object] = wait([*by_pipe, self._signals.fileno()], seconds)
        self._signals.drain()
        for pipe, worker in by_pipe.items():
            if pipe in heard:
                yield worker, self._hear(worker, pipe)

    def _hear(self, worker: _Worker, pipe: Connection) -> IndexpassError | None:
        try:
            said: IndexpassError | None = pipe.recv()
        except (EOFError, OSError):
            return IndexpassError(self._end(worker), hint="see what the log says before this line")
        worker.is_ready = said is None
        return said

    def _end(self, worker: _Worker) -> str:
        """Be done with the worker's process, which is at its end. Returns how that was, in words."""
        if worker.pipe:
            worker.pipe.close()
            worker.pipe = None
        process, worker.process = worker.process, None
        if process is None:
            return "is not running"
        process.join(KILL_SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join(KILL_SECONDS)
        code = process.exitcode or 0
        ending = f"was ended by {_SIGNAL_NAMES.get(-code, -code)}" if code < 0 else f"ended with exit code {code}"
        return f"{worker} (process {process.pid}) {ending}"

    def _put_off(self, worker: _Worker, failure: IndexpassError) -> None:
        """Have the worker's next process start: at once, but not if the last ones did not live long."""
        self._end(worker)
        now = time.monotonic()
        if now - worker.begun_at >= SOUND_SECONDS:
            worker.early_ends = 0
        delay = min(2.0 ** (worker.early_ends - 1), MAX_DELAY_SECONDS) if worker.early_ends else 0.0
        worker.early_ends += 1
        worker.due_at = now + delay
        if delay and worker.listener:  # the others take its connections meanwhile
            worker.listener.close()
            worker.listener = None
        _log.warning("%s; another one is started %s", failure, f"in {delay:.0f} s" if delay else "at once")
