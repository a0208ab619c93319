"""A broker that is not there, and real runs of pip for several packages from two of its indexes."""

from __future__ import annotations

import os
import subprocess
import threading
import time
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from indexpass._cache import Cache
from indexpass._config import read_file
from indexpass._demo.approve import approve
from indexpass.errors import BrokerUnreachable

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Environments, World

pytestmark = pytest.mark.e2e

PACKAGES = ("acme-one", "acme-two", "acme-three")
CONFIG = """
[[index]]
name = "acme"
url = "{index}/acme/simple/"
broker = "{broker}"

[[index]]
name = "team"
url = "{index}/team/simple/"
broker = "{broker}"
"""


class HangsUp(ThreadingHTTPServer):
    """Stands for a broker that breaks down: counts the connections, and answers none."""

    daemon_threads = True
    count = 0

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]  # any
        assert client_address
        self.count += 1
        self.shutdown_request(request)


class Locked(BaseHTTPRequestHandler):
    """An index that lets nobody in."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="index"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[str]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def write_wheel(folder: Path, name: str) -> None:
    module = name.replace("-", "_")
    with zipfile.ZipFile(folder / f"{module}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{module}.py", "")
        wheel.writestr(f"{module}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(
            f"{module}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{module}-1.0.dist-info/RECORD", "")


@pytest.mark.parametrize("mode", ["import", "subprocess"])
def test_a_run_of_pip_asks_a_broker_that_is_down_once(environments: Environments, tmp_path: Path, mode: str) -> None:
    ours = environments(ours="[broker]")
    python = environments("pip", "poetry-core>=2.0", ours="" if mode == "import" else None) / "python"
    home, wheels = tmp_path / "home", tmp_path / "wheels"
    for folder in (home, wheels):
        folder.mkdir(mode=0o700)
    for name in PACKAGES:
        write_wheel(wheels, name)  # found without an index, so that pip goes on to the next
    broker, index = HangsUp(("127.0.0.1", 0), Locked), ThreadingHTTPServer(("127.0.0.1", 0), Locked)
    with serving(broker) as broker_url, serving(index) as index_url:
        (home / "config.toml").write_text(CONFIG.format(index=index_url, broker=broker_url))
        done = subprocess.run(
            [
                *(python, "-m", "pip", "install", "--no-input", "--no-cache-dir", "--keyring-provider", mode),
                *("--index-url", f"{index_url}/acme/simple/", "--extra-index-url", f"{index_url}/team/simple/"),
                *("--find-links", wheels, "--target", tmp_path / "target", *PACKAGES),
            ],
            env={
                "HOME": str(home),
                "INDEXPASS_HOME": str(home),
                "INDEXPASS_IDENTITY_TOKEN": "a.b.c",
                "PATH": os.pathsep.join([str(ours), os.environ["PATH"]]),
                "NO_PROXY": "127.0.0.1",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            start_new_session=True,
            timeout=240,
            encoding="utf-8",
        )
    assert done.returncode == 0, done.stderr
    assert broker.count == 1
    if mode == "import":  # by the command, pip keeps what is said on stderr to itself
        assert done.stderr.count(f"indexpass: {broker_url} cannot be reached") == 1


def test_after_a_sign_in_a_broker_that_could_not_be_reached_is_asked_at_once(
    world: World, environments: Environments
) -> None:
    world.sign_in()
    home, target = world.stage.home / "indexpass", world.stage.folder / "target"
    cache, (acme, _) = Cache(home / "credentials"), read_file(home / "config.toml")
    cache.remember_failure(acme, "read", BrokerUnreachable("the network is down"), time.time() + 300)
    login = [world.ours / "indexpass", "login", "--device", "acme"]
    line = world.stage.start(login, until="Open http", environ=world.environ())
    approve(line.split()[1], user="alice", password=world.password, authorities=world.authorities)
    world.stage.wait()
    python = environments("pip", "poetry-core>=2.0", ours="") / "python"
    install = ("-m", "pip", "install", "--no-input", "--keyring-provider=import", "--index-url", world.brief_index)
    world.run(python, *install, "--target", target, "acme-hello")
    assert world.minted(index="brief") == 1
