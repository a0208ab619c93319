"""A credential from any program that prints the answer of ``indexpass token --json``.

The program stands in the user's or the administrator's file, never in a variable. It is started without a shell, away
from the project's folder, with nothing to read and no terminal, and is bounded in time and output. What it says on
stderr is shown only if it fails, as one short line without what looks like a token. This module keeps nothing.
"""

from __future__ import annotations

import json
import math
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from indexpass._answer import make_readable, read_text
from indexpass._model import Credential
from indexpass._secret import Secret
from indexpass._wire import TOKEN_USERNAME
from indexpass.errors import BrokerMisbehaved, BrokerRefused, BrokerUnreachable, ConfigError, SessionError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO

    from indexpass._model import Context, Index, Operation

ANSWER_VERSION = 1
OPERATION_VARIABLE = "INDEXPASS_COMMAND_OPERATION"
URL_VARIABLE = "INDEXPASS_COMMAND_URL"
EXIT_SIGN_IN_NEEDED = 3  # as of our own commands
TOTAL_SECONDS = 20.0  # as long as an exchange with a server may take
MAX_ANSWER_BYTES = 64 * 1024
_MAX_PASSWORD_LENGTH = 16_384
_MAX_STDERR_BYTES = 4096  # the end of it is what says why
_END_SECONDS = 1.0  # for stderr to arrive once the program has ended
_EXAMPLE = '{"version": 1, "username": "…", "password": "…", "expires_at": 1790000000}'


class CommandProvider:
    """Runs the index's ``command``; implements Provider."""

    def __init__(self, *, total_seconds: float = TOTAL_SECONDS) -> None:
        """Run nothing yet; ``total_seconds`` bounds a run as a whole."""
        self._total_seconds = total_seconds

    def issue(self, index: Index, operation: Operation, context: Context) -> Credential:
        """Return what the program prints. Without ``expires_at`` in it, it is asked again by each process.

        Raises ConfigError if it cannot be run, SessionError if it ends with status 3, BrokerRefused for another one,
        BrokerUnreachable if it is late, and BrokerMisbehaved if it prints something else.
        """
        if context.environ.get(URL_VARIABLE):
            raise ConfigError(
                f"the program for {context.environ[URL_VARIABLE]} asks indexpass for {index.url}",
                hint="let it find its own credentials in another way",
            )
        words = _words(index, context.environ)
        environ = {**context.environ, OPERATION_VARIABLE: operation, URL_VARIABLE: str(index.url)}
        asked_at = context.now()
        result = _run(words, environ, seconds=self._total_seconds)
        name = Path(words[0]).name
        if result.status != 0:
            raise _failure(name, result, index)
        return _credential(name, result.stdout, asked_at)


class _Result(NamedTuple):
    status: int
    stdout: bytes
    stderr: bytes


class _Pipe:
    """What comes through one pipe, read on a thread: what the program has started may hold it open for ever."""

    def __init__(self, pipe: IO[bytes] | None, *, first: int = 0, last: int = 0) -> None:
        """Keep the ``first`` bytes and then read no more, or the ``last`` of all."""
        self.data = b""
        self._pipe = pipe
        self._first, self._last = first, last
        self._thread = threading.Thread(target=self._read, name="indexpass-command", daemon=True)
        self._thread.start()

    def is_read(self, seconds: float) -> bool:
        """Wait so long at most for the end, and say whether it came."""
        self._thread.join(max(seconds, 0.0))
        return not self._thread.is_alive()

    def _read(self) -> None:
        if self._pipe is None:
            return
        with self._pipe as pipe:
            if self._first:
                self.data = pipe.read(self._first)
                return
            while chunk := pipe.read(1024):
                self.data = (self.data + chunk)[-self._last :]


def _words(index: Index, environ: Mapping[str, str]) -> list[str]:
    """Return the program by its whole path, and its arguments. Raises ConfigError."""
    try:
        words = shlex.split(index.options["command"])
    except ValueError:
        words = []
    if not words:
        raise ConfigError(
            f"'command' of the index {index.name!r} is no program with arguments", hint="close its quotes"
        )
    found = shutil.which(words[0], path=environ.get("PATH", ""))
    if found is None:
        raise ConfigError(
            f"'command' of the index {index.name!r}: there is no program {words[0]}",
            hint="write its whole path, or correct PATH",
        )
    if not Path(found).is_absolute():  # a relative path, or a part of PATH that is one, or Windows' own habit
        raise ConfigError(
            f"'command' of the index {index.name!r} would be found in the working directory",
            hint="write its whole path: what a project brings along is never run",
        )
    return [found, *words[1:]]


def _run(words: list[str], environ: Mapping[str, str], *, seconds: float) -> _Result:
    """Run the program to its end. Raises ConfigError, BrokerUnreachable or BrokerMisbehaved."""
    name = Path(words[0]).name
    try:
        process = subprocess.Popen(  # noqa: S603  # the user's own program by its whole path, and no shell
            words,
            env=dict(environ),
            cwd=Path(words[0]).anchor,  # a program that reads files of the working directory would trust the project
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # no terminal to ask on, and one group to end
        )
    except OSError as error:
        raise ConfigError(f"{name} cannot be run: {error.strerror}", hint=f"check it: ls -l {words[0]}") from error
    try:
        return _collect(process, name, seconds=seconds)
    except BaseException:  # Ctrl-C as well: the program is in a session of its own, and would not hear of it
        _end(process)
        raise


def _collect(process: subprocess.Popen[bytes], name: str, *, seconds: float) -> _Result:
    ends = time.monotonic() + seconds
    stdout = _Pipe(process.stdout, first=MAX_ANSWER_BYTES + 1)
    stderr = _Pipe(process.stderr, last=_MAX_STDERR_BYTES)
    if not stdout.is_read(ends - time.monotonic()):
        raise _late(name, seconds)
    if len(stdout.data) > MAX_ANSWER_BYTES:
        raise BrokerMisbehaved(f"{name} printed more than 64 KiB", hint=f"let it print {_EXAMPLE}")
    try:
        status = process.wait(max(ends - time.monotonic(), 0.0))
    except subprocess.TimeoutExpired:
        raise _late(name, seconds) from None
    stderr.is_read(_END_SECONDS)
    return _Result(status, stdout.data, stderr.data)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program, and all that it has started."""
    if os.name == "posix" and process.returncode is None:  # nobody else has its number, nor that of its group, yet
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def _late(name: str, seconds: float) -> BrokerUnreachable:
    return BrokerUnreachable(
        f"{name} did not answer within {seconds:.0f} seconds", hint="run it yourself: it must not wait for anybody"
    )


def _failure(name: str, result: _Result, index: Index) -> SessionError | BrokerRefused:
    lines = result.stderr.decode(errors="replace").strip().splitlines()
    said = make_readable(lines[-1]) if lines else "it did not say why"
    if result.status == EXIT_SIGN_IN_NEEDED:
        return SessionError(f"{name} needs somebody to sign in: {said}", hint=f"do so in the way that {name} has")
    return BrokerRefused(
        f"{name} failed with status {result.status}: {said}",
        reason="command_failed",
        hint=f"run it yourself, with {URL_VARIABLE}={index.url}",
    )


def _credential(name: str, output: bytes, asked_at: float) -> Credential:
    """Return the credential that was printed. Raises BrokerMisbehaved."""
    hint = f"let it print {_EXAMPLE}"
    try:
        body = json.loads(output)
    except (ValueError, RecursionError):
        body = None  # the cause quotes the output
    if not isinstance(body, dict) or body.get("version") is True or body.get("version") != ANSWER_VERSION:
        raise BrokerMisbehaved(f"{name} printed no JSON object of version {ANSWER_VERSION}", hint=hint)
    try:
        username = read_text(body, "username", default=TOKEN_USERNAME)
        password = Secret(read_text(body, "password", limit=_MAX_PASSWORD_LENGTH))
    except BrokerMisbehaved as error:
        raise BrokerMisbehaved(f"{name}: {error.message}", hint=hint) from None
    expires_at = body.get("expires_at")
    if expires_at is None:
        return Credential(username, password, asked_at, None, is_kept=False)  # nobody knows for how long it may be
    if isinstance(expires_at, bool) or not isinstance(expires_at, (int, float)) or not math.isfinite(expires_at):
        raise BrokerMisbehaved(f"{name}: the answer's expires_at is not in seconds since the epoch", hint=hint)
    if expires_at <= asked_at:
        raise BrokerMisbehaved(f"{name} printed a credential that is over", hint="check it, and this machine's clock")
    return Credential(username, password, asked_at, float(expires_at))
