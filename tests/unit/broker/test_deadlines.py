from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from indexpass.broker.deadlines import BodyDeadline, HeadDeadline

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass
class Transport:
    is_aborted: bool = False

    def abort(self) -> None:
        self.is_aborted = True


@dataclass
class Cycle:
    response_complete: bool


@dataclass(eq=False)
class Connection:
    cycle: Cycle | None = None
    transport: Transport = field(default_factory=Transport)


def watch(connection: Connection, *moments: float) -> bool:
    deadline = HeadDeadline(20.0)
    for now in moments:
        deadline.close_overdue([connection], now)  # type: ignore[list-item]  # a double
    return connection.transport.is_aborted


@pytest.mark.parametrize("cycle", [None, Cycle(response_complete=True)], ids=["first-request", "next-request"])
def test_a_connection_on_which_no_request_comes_about_is_closed(cycle: Cycle | None) -> None:
    assert not watch(Connection(cycle), 0.0, 19.0)
    assert watch(Connection(cycle), 0.0, 19.0, 20.0)


def test_an_answer_may_take_as_long_as_it_likes() -> None:
    assert not watch(Connection(Cycle(response_complete=False)), 0.0, 100.0, 1000.0)


def test_a_connection_that_was_busy_in_between_is_not_closed() -> None:
    deadline, connection = HeadDeadline(20.0), Connection()
    for now in (0.0, 15.0, 30.0, 45.0):
        deadline.close_overdue([connection], now)  # type: ignore[list-item]  # a double
        connection.cycle = Cycle(response_complete=True)
    assert not connection.transport.is_aborted


def test_a_connection_that_is_gone_is_forgotten() -> None:
    deadline = HeadDeadline(20.0)
    deadline.close_overdue([Connection()], 0.0)  # type: ignore[list-item]  # a double
    deadline.close_overdue([], 1.0)
    assert deadline._waiting == {}


async def reading_all(_scope: Scope, receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            msg = "the client is gone"
            raise ConnectionError(msg)
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})


def answer(app: ASGIApp, *parts: Message, method: str = "POST") -> list[Message]:
    """Return what the client hears that sends these parts, and then says nothing any more."""
    heard: list[Message] = []
    coming = list(parts)

    async def receive() -> Message:
        if coming:
            return coming.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        heard.append(message)

    async def call() -> None:
        await asyncio.wait_for(BodyDeadline(app, 0.01)({"type": "http", "method": method}, receive, send), 30)

    asyncio.run(call())
    return heard


def test_a_body_that_comes_is_handed_on() -> None:
    parts: list[Message] = [{"type": "http.request", "more_body": True}, {"type": "http.request", "more_body": False}]
    assert answer(reading_all, *parts)[0]["status"] == 200


def test_a_body_that_stops_coming_is_answered_with_408_and_nothing_else() -> None:
    heard = answer(reading_all, {"type": "http.request", "more_body": True})
    assert [message.get("status") for message in heard] == [408, None]


def test_an_answer_that_has_begun_is_only_cut_off() -> None:
    async def answering_early(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await reading_all(scope, receive, send)

    assert [message.get("status") for message in answer(answering_early)] == [200]


def test_waiting_for_the_client_to_go_is_not_hurried_once_the_body_is_there() -> None:
    async def streaming(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(receive(), 0.1)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    assert answer(streaming, {"type": "http.request"})[0]["status"] == 200


def test_an_error_of_the_application_itself_is_passed_on() -> None:
    async def failing(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        answer(failing)
