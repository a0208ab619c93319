"""Several workers of one broker: both answer, any may die, all stop together, and nothing happens twice."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from indexpass._cli import main
from indexpass._wire import GRANT_EXCHANGE, TYPE_ID_TOKEN
from indexpass.broker.service import Broker
from indexpass.broker.settings import starter
from indexpass.broker.workers import MAX_WORKERS, check_platform
from indexpass.errors import ConfigError
from servers.broker_process import STOP_SECONDS, running
from servers.loopback import free_port
from servers.postgres import on_both

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers.broker_process import BrokerProcess
    from servers.issuers import Issuer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux shares out connections")
TWO = ("--workers", "2")
WAIT_SECONDS = 60.0
REQUESTS = 40  # all by the same one of two workers: once in 10^12 runs
TOKENS, TIMES_EACH = 6, 8


@dataclass(frozen=True)
class Home:
    """The folder of a broker with two workers, and where they will be."""

    folder: Path
    url: str
    metrics: tuple[int, int]

    @property
    def settings(self) -> Path:
        return self.folder / "broker.toml"

    def counted(self, name: str) -> list[float]:
        """Return what each worker has counted under this name."""
        texts = [requests.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text for port in self.metrics]
        return [
            sum(
                sample.value
                for family in text_string_to_metric_families(text)
                for sample in family.samples
                if sample.name == name
            )
            for text in texts
        ]


@pytest.fixture
def home(tmp_path: Path, new_database: Callable[[Path], str], issuer: Issuer) -> Home:
    with free_port() as found:  # and held meanwhile, or it might be one of the two
        url = f"http://127.0.0.1:{found.getsockname()[1]}"
        first, second = two_ports()
    folder = tmp_path / "broker"
    settings = f'database = "{new_database(folder)}"\nmetrics-listen = "127.0.0.1:{first}"\n'
    Broker.create(folder, settings + starter.text(url, "acme") + issuer.reading_policy.replace("{url}", url))
    return Home(folder, url, (first, second))


def two_ports() -> tuple[int, int]:
    """Return two free ports, one after the other."""
    for _ in range(100):
        with free_port() as found, socket.socket() as next_one:
            port = int(found.getsockname()[1])
            try:
                next_one.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port, port + 1
    pytest.fail("no two free ports beside each other")


def workers_of(process: BrokerProcess) -> set[int]:
    pid = process.process.pid
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def kill_one(process: BrokerProcess) -> int:
    """Kill a worker, and return once another one has taken its place and answers."""
    back = process.log.count("answers again")
    victim = min(workers_of(process))
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: process.log.count("answers again") > back, process.log)
    return victim


def status_of(home: Home) -> int:
    try:
        return requests.get(f"{home.url}/healthz", timeout=30).status_code
    except requests.ConnectionError:  # a worker that was killed had taken it up
        return 0


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_both_workers_answer_and_each_counts_for_itself(home: Home) -> None:
    with running(home.folder, *TWO) as process:
        for _ in range(REQUESTS):
            assert requests.get(f"{home.url}/check?index=acme", timeout=30).status_code == 401
        counted = home.counted("indexpass_checks_total")
        assert process.stop() == 0
    assert (sum(counted), all(counted)) == (REQUESTS, True)


def test_a_worker_that_is_killed_is_replaced_and_whoever_comes_meanwhile_is_answered(home: Home) -> None:
    with running(home.folder, *TWO) as process, ThreadPoolExecutor(1) as threads:
        before = workers_of(process)
        killing = threads.submit(kill_one, process)
        statuses = [status_of(home)]
        while not killing.done():
            statuses.append(status_of(home))
        victim, after = killing.result(), workers_of(process)
        assert process.stop() == 0
    assert f"worker 1 (process {victim}) was ended by SIGKILL; another one is started at once" in process.log
    assert (len(before), len(after), victim in after, len(before & after)) == (2, 2, False, 1)
    assert statuses.count(0) <= 1


def test_a_worker_that_dies_again_and_again_is_started_less_and_less_often(home: Home) -> None:
    with running(home.folder, *TWO) as process:
        first = min(workers_of(process))
        for _ in range(3):
            os.kill(first, signal.SIGKILL)
            back = process.log.count("worker 1 answers again")
            known = workers_of(process)
            wait_until(lambda back=back: process.log.count("worker 1 answers again") > back, process.log)  # type: ignore[misc]  # bound here
            (first,) = workers_of(process) - known
        assert process.stop() == 0
    assert [line.rpartition("started ")[2] for line in process.log.splitlines() if "SIGKILL" in line] == [
        "at once",
        "in 1 s",
        "in 2 s",
    ]


def test_a_worker_that_comes_later_has_the_settings_of_the_start(home: Home) -> None:
    with running(home.folder, *TWO) as process:
        home.settings.write_text("this is no longer TOML")
        kill_one(process)
        assert len(workers_of(process)) == 2
        assert process.stop() == 0


@on_both
def test_an_identity_token_that_comes_to_both_workers_at_once_is_taken_once(home: Home, issuer: Issuer) -> None:
    form = {"grant_type": GRANT_EXCHANGE, "subject_token_type": TYPE_ID_TOKEN}
    with running(home.folder, *TWO) as process, ThreadPoolExecutor(TIMES_EACH) as threads:

        def exchange(token: str) -> int:
            answer = requests.post(f"{home.url}/oauth/token", data={**form, "subject_token": token}, timeout=60)
            return answer.status_code

        tokens = [issuer.token(aud=home.url, jti=f"id-{number}").reveal() for number in range(TOKENS)]
        statuses = [sorted(threads.map(exchange, [token] * TIMES_EACH)) for token in tokens]
        counted = home.counted("indexpass_exchange_seconds_count")
        assert process.stop() == 0
    assert statuses == [[200] + [400] * (TIMES_EACH - 1)] * TOKENS
    assert (sum(counted), all(counted)) == (TOKENS * TIMES_EACH, True)


def test_workers_end_when_their_parent_is_killed(home: Home) -> None:
    with running(home.folder, *TWO) as process:
        workers = workers_of(process)
        process.process.kill()
        wait_until(lambda: not any(map(is_alive, workers)), "the workers go on")
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{home.url}/healthz", timeout=30)


def test_a_second_signal_ends_at_once(home: Home) -> None:
    address = ("127.0.0.1", int(home.url.rpartition(":")[2]))
    with running(home.folder, *TWO) as process, socket.create_connection(address, timeout=60) as connection:
        connection.sendall(b"POST /oauth/token HTTP/1.1\r\nHost: broker\r\nExpect: 100-continue\r\n")
        connection.sendall(b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\n")
        assert connection.recv(1024).startswith(b"HTTP/1.1 100 ")
        workers = workers_of(process)
        process.process.send_signal(signal.SIGINT)
        wait_until(lambda: sum(map(is_alive, workers)) == 1, "a worker without requests does not stop")
        process.process.send_signal(signal.SIGINT)
        assert process.process.wait(STOP_SECONDS) == 0
    assert "1 workers did not stop in time and were killed" in process.log


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("settings", "broker.toml"),
        ("secret", "secret"),
        ("database", "cannot be opened"),
        ("address", "cannot listen on 127.0.0.1:{port}"),
        ("metrics of the first", "for metrics"),
        ("metrics of the second", "for metrics"),
    ],
)
def test_what_is_wrong_is_said_once_before_anybody_is_ready(home: Home, wrong: str, says: str) -> None:
    port = int(home.url.rpartition(":")[2])
    with ExitStack() as stack:
        if wrong == "settings":
            home.settings.write_text("issuer = 7")
        elif wrong == "secret":
            (home.folder / "secret").unlink()
        elif wrong == "database":
            (home.folder / "broker.sqlite3").unlink(missing_ok=True)
            home.settings.write_text(
                "\n".join(
                    f'database = "sqlite:///{home.folder}"' if line.startswith("database") else line
                    for line in home.settings.read_text().splitlines()
                )
            )
        else:
            taken = {"address": port, "metrics of the first": home.metrics[0]}.get(wrong, home.metrics[1])
            stack.enter_context(socket.create_server(("127.0.0.1", taken)))
        with pytest.raises(pytest.fail.Exception) as failed, running(home.folder, *TWO):
            pass
    log = str(failed.value)
    assert log.count("error: ") == 1
    assert says.format(port=port) in log
    assert "Traceback" not in log


def test_a_second_broker_does_not_slip_in_beside_the_first_one(home: Home) -> None:
    with running(home.folder, *TWO) as process:
        result = CliRunner().invoke(main, ["broker", "serve", str(home.folder), *TWO])
        assert process.stop() == 0
    address = home.url.removeprefix("http://")
    assert (result.exit_code, f"cannot listen on {address}: " in result.output) == (1, True)


def test_metrics_need_a_port_for_each_worker(home: Home) -> None:
    home.settings.write_text(home.settings.read_text().replace(str(home.metrics[0]), "65535"))
    result = CliRunner().invoke(main, ["broker", "serve", str(home.folder), *TWO])
    assert (result.exit_code, "2 workers need 2 ports for metrics" in result.output) == (1, True)


@pytest.mark.parametrize("count", ["0", str(MAX_WORKERS + 1), "many"])
def test_a_number_of_workers_that_cannot_be_is_refused(tmp_path: Path, count: str) -> None:
    assert CliRunner().invoke(main, ["broker", "serve", str(tmp_path), "--workers", count]).exit_code == 2


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_elsewhere_one_worker_is_asked_for(platform: str) -> None:
    with pytest.raises(ConfigError, match="only Linux") as refused:
        check_platform(platform)
    assert "leave out --workers" in refused.value.hint
