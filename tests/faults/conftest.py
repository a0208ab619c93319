"""A machine on which the real commands run as processes of their own, and a broker at which its user signed in."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from indexpass import _config
from indexpass._cache import Cache
from indexpass._locations import locate
from indexpass._model import Session
from indexpass._secret import Secret
from indexpass._sessions import FileSessions
from indexpass.broker.state import schema

if TYPE_CHECKING:
    from indexpass._model import Credential, Index
    from servers.brokers import RunningBroker, StartBroker

BIN = Path(sys.executable).parent
PROCESS_SECONDS = 60  # no process may take longer, whatever it meets
# What this machine itself has to say about networks shall not decide a test.
_NOT_INHERITED = ("INDEXPASS_", "KEYRING_", "PYTHON_KEYRING_", "XDG_", "REQUESTS_", "CURL_", "SSL_")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@dataclass
class Done:
    """What a process said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def secret(self) -> str:
        """The secret that ``keyring get`` printed; fails if it did not."""
        assert self.code == 0, self.err
        username, secret = self.out.splitlines()
        assert username == "__token__"
        return secret

    def assert_explained(self, *words: str) -> None:
        """The client went on without a credential, and its user was told why in one line, the last."""
        assert (self.code, self.out, "Traceback" in self.err) == (1, "", False), self.err
        line = self.err.splitlines()[-1]
        assert line.startswith("indexpass: "), line
        assert [word for word in words if word not in line] == [], line


@dataclass
class Machine:
    """One user with one index. ``before`` is put before each command, such as a shell that lowers a limit."""

    home: Path
    index: str = ""
    before: tuple[str, ...] = ()

    @property
    def credentials(self) -> Path:
        return locate({"INDEXPASS_HOME": str(self.home)}).credentials

    @property
    def sessions(self) -> Path:
        return locate({"INDEXPASS_HOME": str(self.home)}).sessions

    @property
    def configured(self) -> Index:
        (index,) = _config.read_file(self.home / "config.toml")
        return index

    @property
    def held(self) -> Path:
        """The file of the one credential that is held."""
        (path,) = self.credentials.glob("*.credential")
        return path

    def configure(self, index: str, broker: str) -> None:
        self.index = index
        text = f'[[index]]\nname = "acme"\nurl = "{index}"\nbroker = "{broker}"\n'
        (self.home / "config.toml").write_text(text, encoding="utf-8")

    def hold(self, credential: Credential) -> None:
        Cache(self.credentials).store(self.configured, "read", credential)

    def environ(self, **more: str) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(_NOT_INHERITED) and name.upper() not in _PROXIES
        }
        return {**kept, "HOME": str(self.home), "INDEXPASS_HOME": str(self.home), **more}

    def start(self, *argv: str | Path, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.before, *argv],
            env=self.environ(**more),
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # no terminal: what there is to say is on stderr
            encoding="utf-8",
        )

    def run(self, *argv: str | Path, **more: str) -> Done:
        with self.start(*argv, **more) as process:
            try:
                out, err = process.communicate(timeout=PROCESS_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return Done(process.returncode, out, err)

    def keyring(self, **more: str) -> Done:
        """Ask as uv does: the real ``keyring`` command."""
        return self.run(BIN / "keyring", "get", self.index, "--mode", "creds", **more)

    def token(self, **more: str) -> Done:
        """Ask as a script does: the real ``indexpass token``."""
        return self.run(BIN / "indexpass", "token", "acme", **more)


@dataclass
class SignedIn:
    """A machine whose user has signed in at a broker that answers."""

    machine: Machine
    broker: RunningBroker
    _before: int = 0

    def __post_init__(self) -> None:
        session = Session(self.broker.url, "alice", Secret(self.broker.sign_in()["refresh_token"]))
        FileSessions(self.machine.sessions).save(session)
        self._before = self._granted()

    @property
    def mints(self) -> int:
        """How many tokens the broker has minted since the sign-in."""
        return self._granted() - self._before

    def opens(self, secret: str) -> bool:
        """Does the secret open the index?"""
        return self.broker.get("/simple/", secret).status_code == 200

    def _granted(self) -> int:
        granted = select(func.count()).where(schema.audit.c.result == "granted", schema.audit.c.token_sha256 != "")
        with self.broker.broker.store.reading() as connection:
            return int(connection.execute(granted).scalar_one())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine that knows no index yet."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    return Machine(home)


@pytest.fixture
def over_tls() -> bool:
    """Is the broker behind a certificate of a private authority? A module may say so."""
    return False


@pytest.fixture
def signed_in(machine: Machine, start_broker: StartBroker, over_tls: bool) -> SignedIn:  # noqa: FBT001  # a fixture
    """A machine whose user has signed in, and holds no credential yet."""
    broker = start_broker(tls=over_tls)
    machine.configure(broker.index, broker.url)
    return SignedIn(machine, broker)
