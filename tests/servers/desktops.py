"""A person's desktop: a session bus of its own, without a screen, and GNOME's keyring on it.

Nobody is there to answer a window, so a question to the person would hang. ``monitor`` notes each of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Protocol

import pytest

from indexpass._secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from jeepney.io.blocking import DBusConnection

    from servers.brokers import RunningBroker, StartBroker
    from servers.programs import FindProgram

PASSWORD = b"a password for the collection"
# A bus that starts nothing by itself, so that there are no daemons but the test's own.
BUS = """
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:tmpdir={folder}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""
SIGN_IN = """
import sys
from indexpass._model import Session
from indexpass._resolve import default_context
from indexpass._secret import Secret
default_context().sessions.save(Session(sys.argv[1], "alice", Secret(sys.stdin.read())))
"""
ASK = """
import json, sys
from indexpass.keyring_backend import IndexpassKeyring
credential = IndexpassKeyring().get_credential(sys.argv[1], None)
print(json.dumps(credential and credential.password))
"""


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that within a minute"
        time.sleep(0.02)


class Desktop:
    """A person's machine with a session bus: what is on it, and what its processes do."""

    def __init__(self, folder: Path, bus: str, broker: RunningBroker) -> None:
        self.bus = bus
        self.broker = broker
        self.home = folder / "home"
        self.home.mkdir(mode=0o700)
        text = f'[[index]]\nname = "acme"\nurl = "{broker.index}"\nbroker = "{broker.url}"\n'
        (self.home / "config.toml").write_text(text, encoding="utf-8")

    @property
    def environ(self) -> dict[str, str]:
        unwanted = ("INDEXPASS_", "KEYRING_", "PYTHON_KEYRING_", "XDG_", "DBUS_", "DISPLAY", "WAYLAND_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
        home = str(self.home)
        return {**kept, "HOME": home, "INDEXPASS_HOME": home, "DBUS_SESSION_BUS_ADDRESS": self.bus}

    def run(self, program: str, *words: str, typed: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-c", program, *words],
            env={**self.environ, **more},
            input=typed,
            capture_output=True,
            text=True,
            timeout=60,  # a bound for what would hang for ever
            check=False,
            start_new_session=True,  # no terminal: what there is to say is on stderr
        )
        assert done.returncode == 0, done.stderr
        return done

    def sign_in(self, **more: str) -> None:
        self.run(SIGN_IN, self.broker.url, typed=self.broker.sign_in()["refresh_token"], **more)

    def forget_credentials(self) -> None:
        """Let the next process begin cold, as on the next morning."""
        for path in (self.home / "credentials").glob("*"):
            path.unlink()

    def ask(self, **more: str) -> str | None:
        """Return what a client is given that asks for the index; nobody has to be told anything."""
        done = self.run(ASK, self.broker.index, **more)
        assert done.stderr == ""
        answer: str | None = json.loads(done.stdout)
        return answer

    @property
    def file(self) -> dict[str, object]:
        (path,) = (self.home / "sessions").glob("*.session")
        return dict(json.loads(path.read_bytes()))

    @contextmanager
    def connection(self) -> Iterator[DBusConnection]:
        from jeepney.io.blocking import open_dbus_connection  # noqa: PLC0415  # keyring has it on Linux only

        with closing(open_dbus_connection(self.bus)) as connection:
            yield connection

    def items(self) -> dict[str, Secret]:
        """Return label and secret of everything in the keyring."""
        import secretstorage  # noqa: PLC0415

        with self.connection() as connection:
            items = list(secretstorage.Collection(connection).get_all_items())
            return {item.get_label(): Secret(item.get_secret().decode()) for item in items}

    def lock(self) -> None:
        """Lock the keyring, as a screen lock may do."""
        import secretstorage  # noqa: PLC0415

        with self.connection() as connection:
            collection = secretstorage.Collection(connection)
            collection.lock()
            assert collection.is_locked()

    def questions(self, log: Path) -> int:
        """Return how often somebody wanted a keyring to be unlocked or the person to be asked, but for this method."""
        from jeepney import DBusAddress, new_method_call  # noqa: PLC0415

        service = DBusAddress("/org/freedesktop/secrets", "org.freedesktop.secrets", "org.freedesktop.Secret.Service")
        with self.connection() as connection:
            connection.send_and_get_reply(new_method_call(service, "Unlock", "ao", ([],)))  # the last, and the test's
        wait_until(lambda: "array [\n   ]" in log.read_text())
        return log.read_text().count("interface=org.freedesktop.Secret.") - 1


class Keyring(Protocol):
    """Starts GNOME's keyring on a desktop; without a password, there is no collection yet."""

    def __call__(self, password: bytes | None = PASSWORD) -> subprocess.Popen[bytes]: ...


@contextmanager
def running(
    argv: list[str | Path], *, environ: dict[str, str], typed: bytes = b"", log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the end of the test, with its output in ``log``."""
    with log.open("wb") as output:
        process = subprocess.Popen(argv, env=environ, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT)
        assert process.stdin is not None
        try:
            process.stdin.write(typed)
            process.stdin.close()
            yield process
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def desktop(tmp_path: Path, program: FindProgram, start_broker: StartBroker) -> Iterator[Desktop]:
    """A desktop with a bus, and no keyring yet."""
    daemon = program("dbus-daemon")
    with tempfile.TemporaryDirectory(prefix="ip-") as short:  # the path of a socket has 108 bytes at most
        config, log = tmp_path / "bus.conf", tmp_path / "bus.log"
        config.write_text(BUS.format(folder=short))
        argv = [daemon, f"--config-file={config}", "--nofork", "--nopidfile", "--print-address"]
        with running(argv, environ={"PATH": os.defpath}, log=log):
            wait_until(lambda: "unix:" in log.read_text())
            address = next(line for line in log.read_text().splitlines() if line.startswith("unix:"))
            yield Desktop(tmp_path, address, start_broker())


@pytest.fixture
def keyring(tmp_path: Path, desktop: Desktop, program: FindProgram) -> Iterator[Keyring]:
    """GNOME's keyring on the desktop, once it is started."""
    daemon = program("gnome-keyring-daemon")
    with ExitStack() as stack:

        def start(password: bytes | None = PASSWORD) -> subprocess.Popen[bytes]:
            from jeepney import message_bus  # noqa: PLC0415
            from jeepney.io.blocking import Proxy  # noqa: PLC0415

            short = stack.enter_context(tempfile.TemporaryDirectory(prefix="ip-"))
            environ = {**desktop.environ, "XDG_RUNTIME_DIR": short, "XDG_DATA_HOME": str(tmp_path / "data")}
            argv: list[str | Path] = [daemon, "--foreground", "--components=secrets"]
            if password is not None:
                argv.append("--unlock")
            process = stack.enter_context(
                running(argv, environ=environ, typed=password or b"", log=tmp_path / "keyring.log")
            )
            with desktop.connection() as connection:
                bus = Proxy(message_bus, connection)
                wait_until(lambda: bus.NameHasOwner("org.freedesktop.secrets")[0] == 1)
            return process

        yield start


@pytest.fixture
def monitor(tmp_path: Path, desktop: Desktop, program: FindProgram) -> Iterator[Path]:
    """The file in which every wish to unlock a keyring, or to ask the person, is noted from now on."""
    log = tmp_path / "monitor.log"
    rules = ["interface='org.freedesktop.Secret.Service',member='Unlock'", "interface='org.freedesktop.Secret.Prompt'"]
    argv = [program("dbus-monitor"), "--address", desktop.bus, *rules]
    with running(argv, environ={"PATH": os.defpath}, log=log):
        wait_until(lambda: "member=NameLost" in log.read_text())  # what the bus tells a monitor when it is one
        yield log
