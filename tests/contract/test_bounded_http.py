"""What a client may write around a body has an end, however fast it writes."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from indexpass.broker.service import Broker
from indexpass.broker.settings import starter
from servers.broker_process import running
from servers.loopback import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PIECE = b"x" * 1000
LIMIT_BYTES = 20_000_000  # sockets hold some megabytes that nobody has read
BEGINNINGS = {
    "a-path": (b"GET /", PIECE),
    "a-header": (b"GET /healthz HTTP/1.1\r\nHost: broker\r\nX-Long: ", PIECE),
    "headers": (b"GET /healthz HTTP/1.1\r\nHost: broker\r\n", b"X: " + PIECE + b"\r\n"),
    "trailers": (
        b"POST /oauth/token HTTP/1.1\r\nHost: broker\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n",
        b"X: " + PIECE + b"\r\n",
    ),
}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder: Path = tmp_path_factory.mktemp("bounded") / "broker"
    with free_port() as found:
        port = int(found.getsockname()[1])
    Broker.create(folder, starter.text(f"http://127.0.0.1:{port}", "acme"))
    with running(folder):
        yield port


@pytest.mark.parametrize(("beginning", "piece"), BEGINNINGS.values(), ids=BEGINNINGS)
def test_who_writes_without_end_is_cut_off(port: int, beginning: bytes, piece: bytes) -> None:
    sent = 0
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(beginning)
        with pytest.raises(ConnectionError):  # noqa: PT012  # which of the pieces meets it is up to the system
            while sent < LIMIT_BYTES:
                client.sendall(100 * piece)
                sent += 100 * len(piece)


def test_a_head_of_half_the_size_is_read(port: int) -> None:
    headers = b"".join(b"X-%d: %s\r\n" % (number, PIECE) for number in range(30))
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: broker\r\n" + headers + b"\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK")
