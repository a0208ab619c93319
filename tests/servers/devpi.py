"""The real devpi-server, from its distribution, in a process of its own on loopback, with a user ``alice``.

``devpi`` has an index ``alice/dev`` that only she may upload to. It reads nothing from outside.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from servers.loopback import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS = 90
ROOT_PASSWORD = "root-5f1c"
PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Devpi:
    """A server that answers."""

    url: str

    @property
    def index(self) -> str:
        """The page of alice's index."""
        return f"{self.url}alice/dev/+simple/"

    def upload(self, user: str, secret: str) -> int:
        """Upload a small file to alice's index, as twine does, and return the status of the answer."""
        form = {":action": "file_upload", "name": "tools", "version": "1.0", "metadata_version": "2.1"}
        files = {"content": ("tools-1.0.tar.gz", b"not a real archive")}
        auth = (user, secret) if user else None
        return requests.post(f"{self.url}alice/dev/", data=form, files=files, auth=auth, timeout=30).status_code

    def set_up(self) -> None:
        """Add alice and her index."""
        login = {"user": "root", "password": ROOT_PASSWORD}
        token = requests.post(f"{self.url}+login", json=login, timeout=30).json()["result"]["password"]
        alice = requests.put(f"{self.url}alice", json={"password": PASSWORD}, auth=("root", token), timeout=30)
        assert alice.status_code == 201, alice.text
        settings = {"bases": [], "volatile": True}
        index = requests.put(f"{self.url}alice/dev", json=settings, auth=("root", token), timeout=30)
        assert index.status_code == 200, index.text


@pytest.fixture(scope="session")
def devpi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devpi]:
    """The server that all tests of this process share."""
    folder = tmp_path_factory.mktemp("devpi")
    programs = Path(sys.executable).parent
    with free_port() as probe:
        port = probe.getsockname()[1]
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    place = ["--serverdir", str(folder / "server")]
    begin = [programs / "devpi-init", *place, "--no-root-pypi", "--root-passwd", ROOT_PASSWORD]
    subprocess.run(begin, env=environ, cwd=folder, check=True, capture_output=True, timeout=START_SECONDS)
    serve = [programs / "devpi-server", *place, "--host", "127.0.0.1", "--port", str(port), "--offline-mode"]
    with ExitStack() as stack:
        log = stack.enter_context((folder / "log").open("wb"))
        process = stack.enter_context(subprocess.Popen(serve, env=environ, cwd=folder, stdout=log, stderr=log))
        stack.callback(process.kill)
        server = Devpi(f"http://127.0.0.1:{port}/")
        deadline = time.monotonic() + START_SECONDS
        while not _answers(server):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"devpi-server did not start:\n{(folder / 'log').read_text()}")
            time.sleep(0.1)
        server.set_up()
        yield server


def _answers(server: Devpi) -> bool:
    try:
        return requests.get(f"{server.url}+api", timeout=5).status_code == 200
    except requests.ConnectionError:
        return False
