"""The way out to public servers: what it never connects to, whatever a name says."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from indexpass.broker.trust.public_http import is_address, is_public, open_public_http
from indexpass.errors import BrokerMisbehaved
from servers.loopback import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with closing(free_port()) as found:
        found.settimeout(5)
        yield found


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("140.82.112.3", True),
        ("2606:50c0:8000::154", True),
        ("64:ff9b::8c52:7003", True),
        ("127.0.0.1", False),
        ("::1", False),
        ("0.0.0.0", False),  # noqa: S104  # nothing listens
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:10.1.2.3", False),
        ("2002:0a01:0203::1", False),
        ("64:ff9b::a01:203", False),
        ("224.0.0.1", False),
        ("packages.acme.example", False),
        ("", False),
    ],
)
def test_what_is_a_public_address(address: str, *, expected: bool) -> None:
    assert is_public(address) is expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [("10.0.0.1", True), ("::1", True), ("localhost", True), ("gitlab.acme.example", False)],
)
def test_what_is_written_as_an_address(host: str, *, expected: bool) -> None:
    assert is_address(host) is expected


def test_a_name_that_leads_to_a_private_address_gets_nothing_sent(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = (socket.AF_INET, socket.SOCK_STREAM, 6, "", listener.getsockname())
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [place])
    with pytest.raises(BrokerMisbehaved, match=r"ci\.acme\.example is at an address that is not public") as caught:
        open_public_http(total_seconds=5).get_json("https://ci.acme.example/keys")
    assert "private-network = true" in caught.value.hint
    connection, _ = listener.accept()
    with connection:
        assert connection.recv(100) == b""


@pytest.mark.parametrize("url", ["https://10.0.0.1/keys", "https://[::1]/keys", "http://localhost/keys"])
def test_a_proxy_is_not_asked_for_a_private_address(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{listener.getsockname()[1]}")
    monkeypatch.setenv("NO_PROXY", "")
    with pytest.raises(BrokerMisbehaved, match="not public"):
        open_public_http(total_seconds=5).get_json(url)
    listener.settimeout(0)
    with pytest.raises(BlockingIOError):
        listener.accept()
