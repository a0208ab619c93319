"""A broker that is not there costs one wait: not one for each URL, index, operation or process."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from indexpass._cache import Cache
from indexpass._http import HttpClient
from indexpass._model import Context, IdentityToken, Index
from indexpass._resolve import Resolver
from indexpass._secret import Secret
from indexpass._sessions import FileSessions
from indexpass._url import IndexUrl
from indexpass.errors import IndexpassError
from indexpass.providers.broker import BrokerProvider

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WAIT_SECONDS = 0.5  # for each exchange; as short as it can be without being the machine's own delay
QUESTIONS = [
    "https://packages.acme.example/simple/",
    "https://packages.acme.example/simple/acme-tools/",
    "packages.acme.example",
    "https://packages.acme.example/legacy/",
    "https://files.acme.example/team/simple/",
    "files.acme.example",
]


class Listener:
    """Takes connections and counts them; then it hangs up, or says nothing for ever."""

    def __init__(self, *, hangs_up: bool) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._hangs_up = hangs_up
        self._open: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.count = 0

    @contextmanager
    def listening(self) -> Iterator[None]:
        thread = threading.Thread(target=self._listen)
        thread.start()
        try:
            yield
        finally:
            self._socket.shutdown(socket.SHUT_RDWR)
            thread.join()
            for each in (self._socket, *self._open):
                each.close()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.count += 1
            if self._hangs_up:
                connection.close()
            else:
                self._open.append(connection)


@pytest.fixture(params=["hangs-up", "is-silent"])
def listener(request: pytest.FixtureRequest) -> Iterator[Listener]:
    made = Listener(hangs_up=request.param == "hangs-up")
    with made.listening():
        yield made


def process(folder: Path, broker: str) -> Resolver:
    """Return what a process of its own would ask, with an identity token and two indexes of one broker."""
    options = MappingProxyType({"broker": broker})
    upload_url = IndexUrl.parse("https://packages.acme.example/legacy/")
    indexes = (
        Index("acme", IndexUrl.parse("https://packages.acme.example/simple/"), upload_url, options=options),
        Index("team", IndexUrl.parse("https://files.acme.example/team/simple/"), options=options),
    )
    context = Context(
        http=HttpClient(total_seconds=WAIT_SECONDS),
        sessions=FileSessions(folder / "sessions"),
        identify=lambda _: IdentityToken(Secret("a.b.c"), "a test"),
        now=time.time,
    )
    return Resolver(
        indexes=lambda: indexes,
        cache=Cache(folder / "credentials"),
        provider_for=lambda _: BrokerProvider(),
        context=lambda: context,
        now=time.time,
    )


def fail(resolver: Resolver, service: str) -> str:
    with pytest.raises(IndexpassError) as caught:
        resolver.credential(service)
    return caught.value.code


def test_a_run_of_one_process_waits_once(tmp_path: Path, listener: Listener) -> None:
    resolver = process(tmp_path, listener.url)
    assert {fail(resolver, service) for service in QUESTIONS} == {"broker-unreachable"}
    assert listener.count == 1


def test_a_run_of_many_processes_waits_once(tmp_path: Path, listener: Listener) -> None:
    assert {fail(process(tmp_path, listener.url), service) for service in QUESTIONS} == {"broker-unreachable"}
    assert listener.count == 1


def test_another_broker_is_asked_nevertheless(tmp_path: Path, listener: Listener) -> None:
    fail(process(tmp_path, "http://127.0.0.1:9"), QUESTIONS[0])
    fail(process(tmp_path, listener.url), QUESTIONS[0])
    assert listener.count == 1


def test_once_the_failures_are_forgotten_the_broker_is_asked_again(tmp_path: Path, listener: Listener) -> None:
    resolver = process(tmp_path, listener.url)
    fail(resolver, QUESTIONS[0])
    resolver.cache.forget_failures()
    fail(process(tmp_path, listener.url), QUESTIONS[-1])
    assert listener.count == 2
