"""Fifty real processes ask at once, or eight threads of one, and nothing is cached: the broker mints once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from indexpass._model import Session
from indexpass._secret import Secret
from indexpass._sessions import FileSessions
from indexpass.broker.state import schema

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from servers.brokers import RunningBroker, StartBroker
    from servers.issuers import Issuer

PROCESSES = 50
ASK = """
import json, sys
from indexpass.keyring_backend import IndexpassKeyring
backend = IndexpassKeyring()
print("ready", flush=True)
sys.stdin.readline()
credential = backend.get_credential(sys.argv[1], None)
print(json.dumps(credential and credential.password))
"""

ASK_BY_THREADS = """
import json, sys, threading
from concurrent.futures import ThreadPoolExecutor
from indexpass._embedded import answer
start = threading.Barrier(8)
def ask(_):
    start.wait()
    credential = answer(sys.argv[1])
    return credential and credential.secret.reveal()
with ThreadPoolExecutor(8) as pool:
    print(json.dumps(list(pool.map(ask, range(8)))))
"""


def clean_environ(home: Path, environ: Mapping[str, str]) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("INDEXPASS_", "KEYRING_"))}
    return {**inherited, "HOME": str(home), "INDEXPASS_HOME": str(home), **environ}


def ask_at_once(home: Path, url: str, environ: Mapping[str, str]) -> list[str | None]:
    """Start all processes, let all go on in one moment, and return what each was given."""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", ASK, url],
            env=clean_environ(home, environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # no terminal: what there is to say is on stderr
            encoding="utf-8",
        )
        for _ in range(PROCESSES)
    ]
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
        outputs = [child.communicate(timeout=120) for child in children]
    finally:
        for child in children:
            child.kill()
            child.communicate()
    assert [stderr for _, stderr in outputs if stderr] == []
    return [json.loads(stdout) for stdout, _ in outputs]


def minted_since(broker: RunningBroker, begin: float) -> int:
    """Count the tokens that the broker's own audit shows."""
    granted = select(schema.audit).where(
        schema.audit.c.result == "granted", schema.audit.c.token_sha256 != "", schema.audit.c.time > begin
    )
    with broker.broker.store.reading() as connection:
        return len(connection.execute(granted).all())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    return folder


def configure(home: Path, broker: RunningBroker) -> None:
    text = f'[[index]]\nname = "acme"\nurl = "{broker.index}"\nbroker = "{broker.url}"\n'
    (home / "config.toml").write_text(text, encoding="utf-8")


@pytest.mark.e2e
def test_fifty_processes_with_one_session_cost_one_mint(start_broker: StartBroker, home: Path) -> None:
    broker = start_broker()
    configure(home, broker)
    refresh_token = Secret(broker.sign_in()["refresh_token"])
    FileSessions(home / "sessions").save(Session(broker.url, "alice", refresh_token))
    begin = time.time()
    answers = ask_at_once(home, broker.index, {})
    assert (len(answers), len(set(answers)), None in answers) == (PROCESSES, 1, False)
    assert minted_since(broker, begin) == 1


@pytest.mark.e2e
def test_fifty_processes_with_one_identity_token_cost_one_mint(
    start_broker: StartBroker, issuer: Issuer, home: Path
) -> None:
    broker = start_broker(issuer.reading_policy)
    configure(home, broker)
    identity = issuer.token(aud=broker.url)
    begin = time.time()
    answers = ask_at_once(home, broker.index, {"INDEXPASS_IDENTITY_TOKEN": identity.reveal()})
    assert (len(answers), len(set(answers)), None in answers) == (PROCESSES, 1, False)
    assert minted_since(broker, begin) == 1


@pytest.mark.e2e
def test_eight_threads_cost_one_mint_also_where_nothing_can_be_written(
    start_broker: StartBroker, issuer: Issuer, home: Path
) -> None:
    broker = start_broker(issuer.reading_policy)
    configure(home, broker)
    (home / "credentials").touch()  # a file, where a folder should be
    identity = issuer.token(aud=broker.url)
    begin = time.time()
    done = subprocess.run(
        [sys.executable, "-c", ASK_BY_THREADS, broker.index],
        env=clean_environ(home, {"INDEXPASS_IDENTITY_TOKEN": identity.reveal()}),
        capture_output=True,
        timeout=120,
        check=True,
        encoding="utf-8",
    )
    answers = json.loads(done.stdout)
    assert (len(answers), len(set(answers)), None in answers) == (8, 1, False), done.stderr
    assert minted_since(broker, begin) == 1
