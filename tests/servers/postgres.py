"""A real PostgreSQL of this test process: Debian's, in a folder of its own, reached by a socket or by loopback.

``postgres.database()`` makes an empty database and returns its URL; ``postgres.prepared()`` one that has the broker's
tables. A test that stops the server takes ``stoppable_postgres``, which runs again for the next one.
``new_database(folder)`` makes databases of SQLite in the folder; of PostgreSQL too where a test is marked with
``on_both``.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from indexpass.broker.state.store import Store
from servers.loopback import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers.programs import FindProgram

OWNER = "indexpass"
START_SECONDS = 60.0
NOBODY = 65534  # PostgreSQL refuses to run as root
TEMPLATE = "template_broker"
on_both = pytest.mark.parametrize("new_database", ["sqlite", "postgresql"], indirect=True)
# Nothing here has to outlive a power failure.
SETTINGS = """
fsync = off
full_page_writes = off
synchronous_commit = off
max_connections = 100
shared_buffers = 32MB
log_timezone = 'UTC'
"""


@dataclass
class Postgres:
    """One server. It is stopped by the name of its folder only, never by that of its program."""

    programs: Path
    folder: Path
    port: int
    password: str = field(repr=False)
    _process: subprocess.Popen[bytes] | None = None
    _is_prepared: bool = False

    def start(self) -> None:
        """Start the server, unless it runs, and wait until it takes connections."""
        if self._process:
            return
        argv = [self.programs / "postgres", "-D", self.folder / "data", "-k", self.folder, "-p", str(self.port)]
        with (self.folder / "log").open("ab") as log:
            # Whatever happens to the tests, the server goes with them.
            self._process = _run_as_nobody(argv, log=log, before=("--pdeathsig", "INT"))
        deadline = time.monotonic() + START_SECONDS
        while not self.is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"PostgreSQL did not start:\n{(self.folder / 'log').read_text()}")
            time.sleep(0.05)

    def is_ready(self) -> bool:
        """Does the server take connections?"""
        try:
            self.execute("SELECT 1")
        except OperationalError:
            return False
        return True

    def stop(self) -> None:
        """Stop the server at once, if it runs: its clients' connections break, what was committed stays."""
        if self._process:
            self._process.send_signal(2)  # SIGINT: "fast shutdown"
            self._process.wait(START_SECONDS)
            self._process = None

    @property
    def socket(self) -> Path:
        """Where it is reached by who is on this machine."""
        return self.folder / f".s.PGSQL.{self.port}"

    def url(self, database: str = "postgres", *, by_network: bool = False) -> str:
        """Return the URL of a database: by the socket, where nobody is asked for a password, or by loopback."""
        if by_network:
            return f"postgresql://{OWNER}@127.0.0.1:{self.port}/{database}"
        return f"postgresql://{OWNER}@/{database}?host={self.folder}&port={self.port}"

    def database(self, *, template: str = "template0") -> str:
        """Make an empty database, and return its URL."""
        name = f"test_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def prepared(self) -> str:
        """Make a database that has the broker's tables already, and return its URL."""
        if not self._is_prepared:
            self.execute(f"CREATE DATABASE {TEMPLATE}")
            with closing(Store(self.url(TEMPLATE))):
                pass
            self._is_prepared = True
        return self.database(template=TEMPLATE)

    def execute(self, statement: str) -> None:
        """Run a statement as the server's owner, outside any transaction."""
        engine = create_engine(self.url().replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(statement))


@pytest.fixture(scope="session")
def postgres(program: FindProgram) -> Iterator[Postgres]:
    """The server that all tests of this process share; nobody stops it."""
    with ExitStack() as stack:
        yield _start(program, stack)


@pytest.fixture(scope="session")
def _second_postgres(program: FindProgram) -> Iterator[Postgres]:
    with ExitStack() as stack:
        yield _start(program, stack)


@pytest.fixture
def stoppable_postgres(_second_postgres: Postgres) -> Postgres:
    """A server that this test may stop."""
    _second_postgres.start()
    return _second_postgres


@pytest.fixture
def new_database(request: pytest.FixtureRequest) -> Callable[[Path], str]:
    """Make databases, new or prepared: SQLite in the folder, or PostgreSQL where the test is ``on_both``."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return lambda folder: f"sqlite:///{folder / 'broker.sqlite3'}"
    postgres: Postgres = request.getfixturevalue("postgres")
    return lambda _folder: postgres.prepared()


def _start(program: FindProgram, stack: ExitStack) -> Postgres:
    programs = program("postgres").resolve().parent
    # Not below pytest's folder, which nobody but this user may enter; and a socket's path is short.
    folder = Path(tempfile.mkdtemp(prefix="indexpass-postgres-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    with free_port() as probe:
        port = probe.getsockname()[1]
    server = Postgres(programs, folder, port, secrets.token_urlsafe(16))
    (folder / "password").write_text(server.password)
    if os.geteuid() == 0:
        for path in (folder, folder / "password"):
            os.chown(path, NOBODY, NOBODY)
    words = ("--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={folder / 'password'}", "--no-sync")
    argv = [programs / "initdb", "-D", folder / "data", "-U", OWNER, "-E", "UTF8", "--locale=C.UTF-8", *words]
    with (folder / "log").open("ab") as log:
        made = _run_as_nobody(argv, log=log)
        if made.wait(START_SECONDS):
            pytest.fail(f"initdb failed:\n{(folder / 'log').read_text()}")
    with (folder / "data/postgresql.conf").open("a") as settings:
        settings.write(SETTINGS)
    stack.callback(server.stop)
    server.start()
    return server


def _run_as_nobody(argv: list[str | Path], *, log: object, before: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
    ids = ("--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups") if os.geteuid() == 0 else ()
    changed = ["setpriv", *ids, *before] if ids or before else []
    environ = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    return subprocess.Popen(
        [*changed, *argv],
        env=environ,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,  # type: ignore[call-overload]
    )
