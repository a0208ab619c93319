"""Where the demonstration happens: one temporary folder, a clean environment, and every command shown and logged.

Nothing of the user's own configuration, keyring or cache is seen or touched: HOME and every folder that a client
looks for stand in the stage's folder.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from typing import TYPE_CHECKING

from indexpass.errors import IndexpassError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

# What a child needs to reach the network as its parent does, and to start at all on Windows.
_KEPT = frozenset(
    {
        *("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "COMSPEC", "PATHEXT"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"),
    }
)
_SHOWN_LINES = 8
_SHOWN_COLUMNS = 76  # with the frame, a line fits a terminal of 80 columns
_TIMEOUT_SECONDS = 120.0


class StageError(IndexpassError):
    """A command of the demonstration did not do what it should."""

    code = "demo-failed"


class Stage:
    """A folder, an environment, and a record of all that was run in it.

    ``say`` receives each line for the person.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        """Make the folders; run nothing."""
        self.folder = folder
        self.home = folder / "home"
        self.logs = folder / "logs"
        self.say = say
        self._running: list[tuple[subprocess.Popen[str], Path]] = []
        self._count = 0
        for each in (self.home, self.logs):
            each.mkdir(parents=True, exist_ok=True)

    def environ(self, *, path: Sequence[Path] = (), **more: str) -> dict[str, str]:
        """Return a clean environment for a child, with ``path`` in front of PATH."""
        home = self.home
        environ = {name: value for name, value in os.environ.items() if name in _KEPT}
        environ |= {
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_CACHE_HOME": str(home / "cache"),
            "XDG_DATA_HOME": str(home / "data"),
            "XDG_STATE_HOME": str(home / "state"),
            "INDEXPASS_HOME": str(home / "indexpass"),
            "INDEXPASS_SESSION_STORE": "file",  # a keyring belongs to the desktop, not to a folder
            "POETRY_CONFIG_DIR": str(home / "poetry-config"),
            "POETRY_DATA_DIR": str(home / "poetry-data"),
            "POETRY_CACHE_DIR": str(home / "poetry-cache"),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            "NO_COLOR": "1",
        }
        environ["PATH"] = os.pathsep.join([*(str(each) for each in path), environ.get("PATH", os.defpath)])
        return environ | more

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        typed: str | None = None,
        show: bool = True,
    ) -> str:
        """Run a command to its end, show it with the end of its output, and return the output.

        ``typed`` is sent to its standard input. Raises StageError with the whole output if it fails or takes longer
        than two minutes.
        """
        words = [str(word) for word in argv]
        if show:
            self.show_command(words)
        began = time.monotonic()
        try:
            done = subprocess.run(  # noqa: S603  # the demonstration's own commands
                words,
                env=dict(environ or self.environ()),
                cwd=cwd or self.folder,
                input=typed or "",
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise StageError(f"{self.named(words)} did not end within two minutes") from error
        output = done.stdout + done.stderr
        self.log(words, output)
        if done.returncode:
            raise StageError(f"{self.named(words)} failed with exit code {done.returncode}:\n{output}")
        if show:
            self.show_output(output, seconds=time.monotonic() - began)
        return output

    def start(self, argv: Sequence[str | Path], *, until: str, environ: Mapping[str, str] | None = None) -> str:
        """Start a command that goes on, and return the first line of its stderr that contains ``until``.

        Everything that it prints goes to a log file. Raises StageError if the line does not come within 30 seconds.
        """
        words = [str(word) for word in argv]
        self.show_command(words)
        path = self._next_log(words)
        with path.open("w", encoding="utf-8") as log:
            process = subprocess.Popen(  # noqa: S603  # the demonstration's own commands
                words,
                env=dict(environ or self.environ()),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
            )
        self._running.append((process, path))
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for line in path.read_text(encoding="utf-8").splitlines():
                if until in line:
                    return line
            if process.poll() is not None:
                break
            time.sleep(0.05)
        raise StageError(f"{self.named(words)} did not get ready:\n{path.read_text(encoding='utf-8')}")

    def wait(self) -> str:
        """Wait until the command that was started last ends, and return its output. Raises StageError if it fails."""
        process, path = self._running.pop()
        try:
            code = process.wait(_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired as error:
            process.kill()
            raise StageError("the command did not end within two minutes") from error
        output = path.read_text(encoding="utf-8")
        if code:
            raise StageError(f"the command failed with exit code {code}:\n{output}")
        self.show_output(output)
        return output

    def close(self) -> None:
        """Stop what still runs, gently at first."""
        for process, _ in self._running:
            process.terminate()
        for process, _ in self._running:
            _end(process)
        self._running.clear()

    def title(self, text: str) -> None:
        """Begin a step."""
        self.say("")
        self.say(text)

    def named(self, words: Sequence[str]) -> str:
        """Return the command as a person would type it: programs by name, the stage's folder as ``$DEMO``."""
        program = words[0].rpartition(os.sep)[2]
        return shlex.join([program, *words[1:]]).replace(str(self.folder), "$DEMO")

    def log(self, words: Sequence[str], output: str) -> None:
        """Keep what a command printed, under its number."""
        self._next_log(words).write_text(output, encoding="utf-8")

    def show_command(self, words: Sequence[str]) -> None:
        """Show a command before it runs."""
        self.say(f"  $ {self.named(words)}")

    def show_output(self, output: str, *, seconds: float | None = None) -> None:
        """Show the last lines of what a command printed, and how long it took."""
        lines = [line.rstrip() for line in output.replace(str(self.folder), "$DEMO").splitlines() if line.strip()]
        if len(lines) > _SHOWN_LINES:
            lines = ["…", *lines[-_SHOWN_LINES:]]
        for line in lines:
            self.say(f"  │ {line if len(line) <= _SHOWN_COLUMNS else line[: _SHOWN_COLUMNS - 1] + '…'}")
        if seconds is not None:
            self.say(f"  └ {seconds:.1f} s")

    def _next_log(self, words: Sequence[str]) -> Path:
        self._count += 1
        return self.logs / f"{self._count:02d}-{words[0].rpartition(os.sep)[2]}.log"


def _end(process: subprocess.Popen[str]) -> None:
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
