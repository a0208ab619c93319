"""A refresh that is killed at any moment leaves the person signed in, against a real broker and with real processes.

The process kills itself at a chosen step: when it asks the broker, when the answer is there, and before each change of
a file or of the keyring. Python's own audit events are the steps, so the code under test knows nothing of them.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from indexpass._desktop_keyring import DesktopKeyring
from indexpass._http import HttpClient
from indexpass._model import Context, Index, Session
from indexpass._secret import Secret
from indexpass._sessions import FileSessions
from indexpass._url import IndexUrl
from indexpass.broker.state.sessions import GRACE_SECONDS
from indexpass.providers.broker import BrokerProvider
from servers.keyrings import FileEntries, fake_backend

if TYPE_CHECKING:
    from servers.brokers import RunningBroker, StartBroker

REFRESH = """
import json, os, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from indexpass._desktop_keyring import DesktopKeyring
from indexpass._http import HttpClient
from indexpass._model import Context, Index
from indexpass._sessions import FileSessions
from indexpass._url import IndexUrl
from indexpass.providers.broker import BrokerProvider
from servers.keyrings import FileEntries, fake_backend

home, broker, index, store, last = Path(sys.argv[2]), *sys.argv[3:6], int(sys.argv[6])
steps = []

def step(event, arguments):
    if event.startswith("refresh."):
        steps.append(event.removeprefix("refresh."))
    elif event == "open" and ".session" in str(arguments[0]) and arguments[2] & os.O_CREAT:
        steps.append("draft")
    elif event == "os.rename" and ".session" in str(arguments[1]):
        steps.append("replace")
    else:
        return
    if len(steps) == last:
        os.kill(os.getpid(), signal.SIGKILL)

class Http(HttpClient):
    def post_form(self, url, form):
        sys.audit("refresh.ask")
        answer = super().post_form(url, form)
        sys.audit("refresh.answer")
        return answer

def before(call):
    if call in ("set", "delete"):
        sys.audit(f"refresh.{call}")

keyring = DesktopKeyring((fake_backend(entries=FileEntries(home / "keyring.json"), before=before),), seconds=60)
sessions = FileSessions(home / "sessions", keyring, file_only=store == "file")
context = Context(http=Http(), sessions=sessions, identify=lambda _: None, now=time.time)
sys.addaudithook(step)
BrokerProvider().issue(Index("acme", IndexUrl.parse(index), options={"broker": broker}), "read", context)
sys.audit("refresh.done")
print(json.dumps(steps))
"""
TESTS = str(Path(__file__).resolve().parents[1])

# Where the token is before, where new ones shall go, and the steps of a refresh then. What comes before "ask" saves the
# old token once more, because a disk that is full has to say so before the token is spent.
WAYS = {
    "in-keyring": ("auto", "auto", "draft replace ask answer draft replace set delete draft replace done"),
    "in-file": ("file", "auto", "draft replace ask answer draft replace done"),
    "to-file": ("auto", "file", "draft replace delete draft replace ask answer draft replace done"),
}
IS_KEPT_AFTER = {"in-keyring": "set", "in-file": "replace", "to-file": "replace"}


class Machine:
    """A person's machine: a folder of sessions and a keyring, both of which outlive every process."""

    def __init__(self, home: Path, broker: RunningBroker) -> None:
        self.home = home
        self.broker = broker
        self.index = Index("acme", IndexUrl.parse(broker.index), options={"broker": broker.url})

    def sessions(self, store: str = "auto") -> FileSessions:
        backend = fake_backend(entries=FileEntries(self.home / "keyring.json"))
        return FileSessions(self.home / "sessions", DesktopKeyring((backend,), seconds=60), file_only=store == "file")

    def sign_in(self, store: str) -> None:
        refresh_token = Secret(self.broker.sign_in()["refresh_token"])
        self.sessions(store).save(Session(self.broker.url, "alice", refresh_token))

    def refresh(self, store: str, *, killed_at: int = 0) -> subprocess.CompletedProcess[str]:
        """Refresh in a process of its own, which kills itself when it comes to this step."""
        words = [TESTS, str(self.home), self.broker.url, self.broker.index, store, str(killed_at)]
        return subprocess.run(
            [sys.executable, "-c", REFRESH, *words], capture_output=True, text=True, timeout=120, check=False
        )

    def is_signed_in(self) -> bool:
        """Go on, as the next process does: with a credential from the session that is found."""
        now = self.broker.clock
        context = Context(http=HttpClient(), sessions=self.sessions(), identify=lambda _: None, now=now)
        credential = BrokerProvider().issue(self.index, "read", context)
        return self.broker.get("/simple/", credential.secret.reveal()).status_code == 200

    def secrets_on_disk(self) -> list[str]:
        """Return the secrets in the folder of the sessions and in the keyring."""
        files = [path.read_text() for path in (self.home / "sessions").iterdir() if path.suffix != ".lock"]
        kept = [text for text in files if "refresh_token" in text]
        return [*kept, *FileEntries(self.home / "keyring.json").values()]


@pytest.fixture
def machine(tmp_path: Path, start_broker: StartBroker) -> Machine:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    return Machine(home, start_broker())


def moments(*, kept: bool) -> list[object]:
    """Return every step at which a refresh can be killed: those after the new token is kept, or those before."""
    found = []
    for way, (before, store, line) in WAYS.items():
        steps = line.split()
        is_kept = steps.index(IS_KEPT_AFTER[way], steps.index("answer")) + 1  # counted from 1; not yet done when killed
        for number, name in enumerate(steps, start=1):
            if (number > is_kept) == kept:
                found.append(pytest.param(before, store, number, id=f"{way}-{number}-{name}"))
    return found


@pytest.mark.parametrize("way", WAYS)
def test_the_steps_of_a_refresh_are_known(machine: Machine, way: str) -> None:
    before, store, steps = WAYS[way]
    machine.sign_in(before)
    done = machine.refresh(store)
    assert json.loads(done.stdout or "[]") == steps.split(), done.stderr


@pytest.mark.parametrize(("before", "store", "number"), moments(kept=False))
def test_killed_before_the_token_is_kept_the_person_is_signed_in_by_the_broker_s_grace(
    machine: Machine, before: str, store: str, number: int
) -> None:
    machine.sign_in(before)
    assert machine.refresh(store, killed_at=number).returncode == -signal.SIGKILL
    assert machine.is_signed_in()


@pytest.mark.parametrize(("before", "store", "number"), moments(kept=True))
def test_killed_after_the_token_is_kept_the_person_needs_no_grace(
    machine: Machine, before: str, store: str, number: int
) -> None:
    machine.sign_in(before)
    assert machine.refresh(store, killed_at=number).returncode == -signal.SIGKILL
    machine.broker.clock.advance(GRACE_SECONDS + 1)
    assert machine.is_signed_in()


@pytest.mark.parametrize(("before", "store", "number"), [*moments(kept=False), *moments(kept=True)])
def test_wherever_it_was_killed_a_sign_out_leaves_nothing_behind(
    machine: Machine, before: str, store: str, number: int
) -> None:
    machine.sign_in(before)
    machine.refresh(store, killed_at=number)
    machine.sessions().forget(machine.broker.url)
    assert machine.secrets_on_disk() == []
