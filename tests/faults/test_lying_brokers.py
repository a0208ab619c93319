"""The broker answers with anything but what it should: real processes end in time, say so, and go on."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from indexpass._credential import Credential
from indexpass._secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from conftest import Machine
    from servers.raw import RawServer

CI = {"INDEXPASS_IDENTITY_TOKEN": "e30.e30.made-up"}
MIB = 1024 * 1024


def answer(status: str = "200 OK", body: bytes = b"{}", *headers: str) -> list[bytes]:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""])
    return [head.encode() + body]


LIES = [
    pytest.param(lambda _: answer(body=b""), "no JSON", id="empty"),
    pytest.param(lambda _: answer(body=b"\xff\x00{"), "no JSON", id="garbage"),
    pytest.param(lambda _: answer("200 OK", b"<h1>Sign in</h1>", "Content-Type: text/html"), "no JSON", id="a-page"),
    pytest.param(lambda _: answer(body=b"[" * 100_000), "no JSON", id="deep"),
    pytest.param(
        lambda _: answer(body=b'{"issuer": "https://elsewhere.example"}'),
        "says that it is another broker",
        id="another-issuer",
    ),
    pytest.param(lambda _: answer(body=b" " * (MIB + 1)), "more than 1 MiB", id="oversized"),
    pytest.param(lambda server: server.flood(), "more than 1 MiB", id="endless"),
    pytest.param(lambda _: answer("302 Found", b"", "Location: https://evil.example/"), "redirects", id="redirect"),
    pytest.param(lambda _: [b"{}"], "cannot be reached", id="http-0.9"),
    pytest.param(lambda _: [b"\x16\x03\x01\x00\x05"], "cannot be reached", id="tls-on-a-plain-port"),
    pytest.param(lambda _: [], "cannot be reached", id="hangs-up"),
    pytest.param(lambda _: [b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000], "cannot be reached", id="too-many-headers"),
    pytest.param(lambda _: answer("500 Oops"), "status 500", id="500"),
    pytest.param(lambda _: answer("503 Busy", b"", "Retry-After: 60"), "status 503", id="503"),
    pytest.param(lambda _: answer("429 Slow down", b"", "Retry-After: 60"), "status 429", id="429"),
    # The longest wait of all: nothing but the bound on the whole exchange ends it.
    pytest.param(lambda server: server.trickle(), "did not answer in time", id="slow-headers"),
]


@pytest.mark.parametrize(("lie", "words"), LIES)
def test_a_lie_is_explained_and_the_client_goes_on(
    machine: Machine, raw_server: RawServer, lie: Callable[[RawServer], Iterable[bytes]], words: str
) -> None:
    machine.configure(f"{raw_server.url}/simple/", raw_server.url)
    raw_server.pieces = lie(raw_server)
    machine.keyring(**CI).assert_explained(words)


@pytest.mark.parametrize(("lie", "words"), LIES[:-1])
def test_a_lie_costs_no_credential_that_is_still_usable(
    machine: Machine, raw_server: RawServer, lie: Callable[[RawServer], Iterable[bytes]], words: str
) -> None:
    assert words is not None
    machine.configure(f"{raw_server.url}/simple/", raw_server.url)
    now = time.time()
    machine.hold(Credential("__token__", Secret("usable"), now - 3000, now + 600))
    raw_server.pieces = lie(raw_server)
    assert machine.keyring(**CI).secret == "usable"
    assert raw_server.asked


def test_a_busy_broker_is_left_alone_by_every_process_for_as_long_as_it_asks(
    machine: Machine, raw_server: RawServer
) -> None:
    machine.configure(f"{raw_server.url}/simple/", raw_server.url)
    raw_server.pieces = answer("503 Busy", b"", "Retry-After: 120")
    assert [machine.keyring(**CI).code for _ in range(3)] == [1, 1, 1]
    assert len(raw_server.asked) == 1


@pytest.mark.parametrize("status", ["429 Slow down", "503 Busy"])
def test_no_broker_can_silence_a_machine_for_longer_than_5_minutes(
    machine: Machine, raw_server: RawServer, status: str
) -> None:
    machine.configure(f"{raw_server.url}/simple/", raw_server.url)
    raw_server.pieces = answer(status, b"", "Retry-After: 86400")
    machine.keyring(**CI)
    (failure,) = machine.credentials.glob("*.failure")
    until = json.loads(failure.read_bytes())["until"]
    assert failure.stat().st_mtime < until < time.time() + 300


def test_a_command_says_what_is_wrong_and_what_to_do(machine: Machine, raw_server: RawServer) -> None:
    machine.configure(f"{raw_server.url}/simple/", raw_server.url)
    raw_server.pieces = answer("302 Found", b"", "Location: https://evil.example/")
    done = machine.token(**CI)
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines() == [
        f"error: {raw_server.url} redirects",
        "hint:  configure the URL that it redirects to, if you trust it",
    ]
