"""A sign-in in the middle of a client's run: on the terminal, for who has opted in, and for nobody else."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if sys.platform == "win32":
    pytest.skip("pseudo-terminals are those of POSIX", allow_module_level=True)

import pty
import tty

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.brokers import RunningBroker, StartBroker

# What pip runs for one question, after it has taken the terminal as its own.
KEYRING = """
import os, sys
if sys.argv[1]:
    os.open(sys.argv[1], os.O_RDWR)
del sys.argv[1]
from keyring.cli import main
sys.exit(main())
"""
SECONDS = 60.0


@pytest.fixture
def broker(start_broker: StartBroker) -> RunningBroker:
    return start_broker()


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """The end of a pseudo-terminal that a person sees, and the name of the other."""
    screen, device = pty.openpty()
    tty.setraw(device)
    yield screen, os.ttyname(device)
    os.close(device)
    os.close(screen)


def configure(home: Path, broker: RunningBroker, interactive: str) -> None:
    home.mkdir(mode=0o700)
    text = f'interactive = "{interactive}"\n[[index]]\nname = "acme"\nurl = "{broker.index}"\n'
    (home / "config.toml").write_text(f'{text}broker = "{broker.url}"\n')


def ask(home: Path, broker: RunningBroker, device: str, **environ: str) -> subprocess.Popen[str]:
    """Ask as pip does: stdin null, stdout and stderr captured."""
    clean = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("INDEXPASS_")}
    settings = {"INDEXPASS_HOME": str(home), "INDEXPASS_SESSION_STORE": "file", "NO_PROXY": "127.0.0.1"}
    keyring = {"PYTHON_KEYRING_BACKEND": "indexpass.keyring_backend.IndexpassKeyring"}
    return subprocess.Popen(
        [sys.executable, "-c", KEYRING, device, "--mode=creds", "--output=json", "get", broker.index],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # the first terminal that it opens becomes its own
        env={**clean, **settings, **keyring, **environ},
    )


def read_code(screen: int) -> str:
    """Wait for the line on the terminal, and return the code in it."""
    shown, deadline = "", time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if select.select([screen], [], [], 0.2)[0]:
            shown += os.read(screen, 4096).decode()
        found = re.search(r"user_code=([A-Z]{4}-[A-Z]{4})", shown)
        if found:
            return found[1]
    pytest.fail(f"no code on the terminal: {shown!r}")


def test_who_opted_in_signs_in_on_the_terminal_and_the_client_goes_on(
    tmp_path: Path, broker: RunningBroker, terminal: tuple[int, str]
) -> None:
    screen, device = terminal
    configure(tmp_path / "home", broker, "device")
    asking = ask(tmp_path / "home", broker, device)
    broker.decide(read_code(screen))
    stdout, stderr = asking.communicate(timeout=SECONDS)
    assert (json.loads(stdout)["username"], stderr) == ("__token__", "")
    assert broker.get("/simple/", token=json.loads(stdout)["password"]).status_code == 200


def test_a_sign_in_that_is_denied_leaves_the_client_without_a_credential(
    tmp_path: Path, broker: RunningBroker, terminal: tuple[int, str]
) -> None:
    screen, device = terminal
    configure(tmp_path / "home", broker, "device")
    asking = ask(tmp_path / "home", broker, device)
    broker.decide(read_code(screen), approved=False)
    stdout, _ = asking.communicate(timeout=SECONDS)
    assert (stdout, asking.returncode) == ("", 1)


@pytest.mark.parametrize(
    ("interactive", "has_terminal", "environ"),
    [("never", True, {}), ("device", False, {}), ("device", True, {"CI": "true"})],
    ids=["who did not opt in", "without a terminal", "in CI"],
)
def test_nobody_else_is_asked(  # noqa: PLR0913, PLR0917  # fixtures and cases
    tmp_path: Path,
    broker: RunningBroker,
    terminal: tuple[int, str],
    interactive: str,
    has_terminal: bool,  # noqa: FBT001  # a case
    environ: dict[str, str],
) -> None:
    configure(tmp_path / "home", broker, interactive)
    asking = ask(tmp_path / "home", broker, terminal[1] if has_terminal else "", **environ)
    stdout, _ = asking.communicate(timeout=SECONDS)
    assert (stdout, asking.returncode) == ("", 1)
    with broker.broker.store.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM device_codes").scalar() == 0
