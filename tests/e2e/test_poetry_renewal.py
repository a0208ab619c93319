"""Tokens that end in mid-run, and bodies that can be sent once: the real Poetry, with the plugin and no keyring."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import socket
import socketserver
import threading
import time
import zipfile
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, cast

import pytest

from indexpass import _challenge
from indexpass._demo.stage import StageError
from servers.narrow_road import narrow_road

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from conftest import Environments, World

pytestmark = pytest.mark.e2e

LIFE_SECONDS = 5
FRESH_SECONDS = LIFE_SECONDS / 2 - LIFE_SECONDS / 20  # half the life less the jitter, see the architecture page
PIECE_SECONDS = 0.2
PACKAGES = 20
WORKERS = 8
UPLOAD_LIFE_SECONDS = 15 * 60
BODY_BYTES = 8 * 1024 * 1024  # more than fits between two sockets
SETTINGS = f"""
[[index]]
name = "fleeting"
url = "{{issuer}}/fleeting/simple/"
read-lifetime = "{LIFE_SECONDS}s"

[[policy]]
name = "fleeting-for-everybody"
index = "fleeting"
operations = ["read"]
users = ["*"]
"""
PYPROJECT = """
[project]
name = "app"
version = "1.0"
requires-python = ">=3.10"
dependencies = {dependencies}

[[tool.poetry.source]]
name = "private"
url = "{index}"
"""


@pytest.fixture
def more_settings() -> str:
    return SETTINGS


class Project:
    """A project of somebody who is signed in, and Poetry to run in it."""

    def __init__(self, world: World, environments: Environments, index: str, names: Sequence[str] = ()) -> None:
        self._world = world
        self._poetry = environments("poetry>=2.0", ours="") / "poetry"
        self.root = world.stage.folder / "project"
        self.root.mkdir()
        (self.root / "pyproject.toml").write_text(PYPROJECT.format(index=index, dependencies=json.dumps(names)))
        world.sign_in()

    def run(self, *words: str, **environ: str) -> str:
        """Run Poetry with eight workers and without its keyring."""
        environ = {
            "POETRY_KEYRING_ENABLED": "false",
            "POETRY_VIRTUALENVS_IN_PROJECT": "true",
            "POETRY_INSTALLER_MAX_WORKERS": str(WORKERS),
            **environ,
        }
        return self._world.stage.run(
            [self._poetry, *words, "--no-interaction"], environ=self._world.environ() | environ, cwd=self.root
        )

    def installed(self) -> int:
        return len(list((self.root / ".venv").rglob("part_*.py")))

    def publish(self, upload_url: str, content: bytes = b"") -> str:
        (self.root / "dist").mkdir(exist_ok=True)
        (self.root / "dist" / "app-1.0-py3-none-any.whl").write_bytes(make_wheel("app", content))
        return self.run("publish", "--repository=private", POETRY_REPOSITORIES_PRIVATE_URL=upload_url)


def make_wheel(name: str, content: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    folder = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(buffer, "w") as wheel:
        wheel.writestr(f"{name}.py", content)
        wheel.writestr(f"{folder}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{folder}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{folder}/RECORD", "")
    return buffer.getvalue()


def fill(shelf: Path, count: int) -> list[str]:
    """Put so many packages on the shelf, and return their names."""
    names = [f"part_{number}" for number in range(count)]
    for name in names:
        (shelf / f"{name}-1.0-py3-none-any.whl").write_bytes(make_wheel(name))
    return names


class Uploads(socketserver.ThreadingTCPServer):
    """Takes uploads; in the middle of one that carries the ``refused`` secret, it answers 401, and goes on reading."""

    daemon_threads = True

    def __init__(self, refused: str) -> None:
        super().__init__(("127.0.0.1", 0), _UploadHandler)
        self.refused = refused
        self.url = f"http://127.0.0.1:{self.server_address[1]}/legacy/"
        self.secrets: list[str] = []
        self.sizes: list[int] = []
        self.whole_sizes: list[int] = []


class _UploadHandler(socketserver.StreamRequestHandler):
    timeout = 60

    def handle(self) -> None:
        server = cast("Uploads", self.server)
        head = b"".join(iter(self.rfile.readline, b"\r\n")).decode()
        (authorization,) = re.findall("(?im)^authorization: basic (.*)\r$", head)
        (length,) = re.findall("(?im)^content-length: (.*)\r$", head)
        secret, whole = base64.b64decode(authorization).decode().partition(":")[2], int(length)
        server.secrets.append(secret)
        server.whole_sizes.append(whole)
        size = len(self.rfile.read(whole // 2))
        answer = "200 OK"
        if secret == server.refused:
            challenge = _challenge.bearer_challenge({"error_description": _challenge.TOKEN_REVOKED})
            answer = f"401 Unauthorized\r\nWWW-Authenticate: {challenge}"
        else:
            size += len(self.rfile.read(whole - size))
        self.wfile.write(f"HTTP/1.1 {answer}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode())
        self.connection.shutdown(socket.SHUT_WR)
        with suppress(OSError):
            size += len(self.rfile.read())  # until the client hangs up, whatever else it sends
        server.sizes.append(size)


@contextmanager
def uploads(world: World, *, refused: str = "") -> Iterator[Uploads]:
    """Take the uploads to acme meanwhile, in place of the index."""
    with Uploads(refused) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        config = world.stage.home / "indexpass" / "config.toml"
        config.write_text(config.read_text().replace(world.upload_url, server.url))
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def change_held(world: World, *, seconds: float, secret: str = "") -> None:
    """Let the only credential that is held claim to be so much older, and perhaps be another one."""
    (path,) = (world.stage.home / "indexpass" / "credentials").glob("*.credential")
    entry = json.loads(path.read_bytes())
    for key in ("issued_at", "expires_at"):
        entry[key] -= seconds
    path.write_text(json.dumps({**entry, "secret": secret or entry["secret"]}))


def logs(world: World) -> str:
    return "\n".join(path.read_text(errors="replace") for path in world.stage.logs.iterdir())


def test_tokens_that_live_for_seconds_serve_lock_and_install(world: World, environments: Environments) -> None:
    index = f"{world.issuer}/fleeting/simple/"
    names = fill(world.shelf.parent / "fleeting", PACKAGES)
    project = Project(world, environments, index, names)
    world.indexpass("add", index, "--name=fleeting", "--yes")
    with narrow_road(PIECE_SECONDS) as road:
        for words in (("lock",), ("install", "--no-root", "--no-cache")):
            before, began = world.minted(index="fleeting"), time.monotonic()
            project.run(*words, **road.environ)
            lasted, minted = time.monotonic() - began, world.minted(index="fleeting") - before
            assert 3 <= minted <= lasted / FRESH_SECONDS + 1
    assert project.installed() == PACKAGES
    world.assert_no_secret_is_anywhere()


def test_workers_that_are_refused_at_once_cost_one_token_and_ask_once_more(
    world: World, environments: Environments
) -> None:
    project = Project(world, environments, world.index, fill(world.shelf, WORKERS))
    project.run("lock")
    change_held(world, seconds=60, secret="refused")
    with narrow_road(PIECE_SECONDS) as road:
        project.run("install", "--no-root", "--no-cache", **road.environ)
    assert (project.installed(), world.minted()) == (WORKERS, 2)
    refused = re.findall(r"GET '(\S+)' 401", logs(world))
    assert 2 <= len(refused) == len(set(refused)) <= WORKERS


def test_an_upload_is_sent_with_a_new_token_where_the_old_one_ends_soon(
    world: World, environments: Environments
) -> None:
    project = Project(world, environments, world.index)
    old = world.indexpass("token", "--upload", "acme").strip()
    change_held(world, seconds=UPLOAD_LIFE_SECONDS - 60)
    with uploads(world, refused=old) as server:
        project.publish(server.url)
    assert (world.minted("upload"), len(server.secrets)) == (2, 1)
    assert server.sizes == server.whole_sizes


def test_an_upload_that_is_refused_half_way_is_not_sent_again_but_the_next_has_a_new_token(
    world: World, environments: Environments
) -> None:
    project = Project(world, environments, world.index)
    old = world.indexpass("token", "--upload", "acme").strip()
    change_held(world, seconds=60)
    with uploads(world, refused=old) as server:
        with pytest.raises(StageError) as refused:
            project.publish(server.url, os.urandom(BODY_BYTES))
        assert (server.secrets, server.sizes) == ([old], server.whole_sizes)
        assert "was revoked → run the command again: a new one is ready" in " ".join(str(refused.value).split())
        project.publish(server.url)
    assert (world.minted("upload"), len(server.secrets)) == (2, 2)
