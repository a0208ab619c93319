"""The broker's SQLite file is locked, removed, or the disk is full: checks go on, and nothing is minted."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from indexpass._wire import CLIENT_ID, GRANT_DEVICE
from indexpass.broker.service import Broker
from indexpass.broker.settings import starter
from indexpass.broker.state.store import Store
from servers.loopback import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers.brokers import RunningBroker, StartBroker

RECOVERY_SECONDS = 60
FULL_BLOCKS = 1200  # of 512 bytes: more than a new database takes, and soon full


def assert_later(answer: requests.Response) -> None:
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable"), answer.text
    assert int(answer.headers["Retry-After"]) > 0


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + RECOVERY_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture
def broker(start_broker: StartBroker) -> RunningBroker:
    return start_broker()


@pytest.fixture
def file(broker: RunningBroker) -> Path:
    return Path(broker.broker.settings.database.url.removeprefix("sqlite:///"))


def test_a_database_that_somebody_has_locked_is_used_again_afterwards(broker: RunningBroker, file: Path) -> None:
    answer = broker.sign_in()
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert_later(broker.refresh(answer["refresh_token"]))
        broker.clock.advance(60)
        assert broker.get("/simple/", answer["access_token"]).status_code == 200
    wait_until(lambda: broker.refresh(answer["refresh_token"]).status_code == 200)


def test_a_database_that_was_removed_takes_nothing_until_it_is_back(broker: RunningBroker, file: Path) -> None:
    answer = broker.sign_in()
    aside = file.rename(file.with_name("aside"))
    assert_later(broker.refresh(answer["refresh_token"]))
    broker.clock.advance(60)
    assert broker.get("/simple/", answer["access_token"]).status_code == 200
    assert not file.exists()
    aside.rename(file)
    wait_until(lambda: broker.refresh(answer["refresh_token"]).status_code == 200)


@pytest.fixture
def full_soon(tmp_path: Path) -> Iterator[tuple[str, Store]]:
    """A broker whose files cannot grow beyond some 600 KiB, by its URL, and its store."""
    with free_port() as probe:
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    folder = tmp_path / "broker"
    settings = Broker.create(folder, starter.text(url, "acme"))
    argv = [Path(sys.executable).with_name("indexpass"), "broker", "serve", folder]
    limited = ["/bin/sh", "-c", f'ulimit -f {FULL_BLOCKS}; exec "$@"', "sh", *argv]
    with (tmp_path / "log").open("wb") as log, closing(Store(settings.database)) as store:
        process = subprocess.Popen(limited, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_until(lambda: is_up(url))
            yield url, store
        finally:
            process.kill()
            process.wait(30)


def is_up(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthz", timeout=10).ok
    except requests.ConnectionError:
        return False


@pytest.mark.skipif(os.name != "posix", reason="limits are those of POSIX")
def test_a_full_disk_takes_nothing_and_lets_checks_go_on(full_soon: tuple[str, Store]) -> None:
    url, store = full_soon

    def begin() -> requests.Response:
        return requests.post(f"{url}/oauth/device_authorization", data={"client_id": CLIENT_ID}, timeout=30)

    store.add_user("alice", "a hash", time.time())
    device = begin().json()
    store.decide_device(device["user_code"], "alice", approved=True, now=time.time())
    form = {"grant_type": GRANT_DEVICE, "client_id": CLIENT_ID, "device_code": device["device_code"]}
    token = requests.post(f"{url}/oauth/token", data=form, timeout=30).json()
    for _ in range(5000):
        answer = begin()
        if answer.status_code != 200:
            break
    assert_later(answer)
    auth = ("__token__", token["access_token"])
    headers = {"X-Original-Method": "GET"}
    assert requests.get(f"{url}/check?index=acme", auth=auth, headers=headers, timeout=30).status_code == 204
