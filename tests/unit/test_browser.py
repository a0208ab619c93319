"""The listener for the browser's redirect, over real sockets, and which browsers count as one."""

from __future__ import annotations

import socket
import threading
import time
import webbrowser
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import pytest
import requests

from indexpass import _browser
from indexpass._browser import Listener, find_opener
from indexpass.errors import BrokerMisbehaved, SessionError

if TYPE_CHECKING:
    from collections.abc import Callable

GOOD = "state=right"


def accept(query: str) -> str | None:
    """Recognise one redirect, and refuse another."""
    if "liar" in query:
        raise BrokerMisbehaved("another broker answers")
    return query if "right" in query else None


def get(url: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, timeout=10)


class Outcome(NamedTuple):
    result: str | None
    pages: list[requests.Response]


def visit(*requests_to: str, before: Callable[[int], None] = lambda _port: None) -> Outcome:
    """Wait while a browser asks for these, one after the other, as ``METHOD path``."""
    pages = []
    done = threading.Event()
    with Listener(accept) as listener:
        origin = listener.redirect_uri.removesuffix("/callback")

        def browse() -> bool:
            before(urlsplit(origin).port or 0)
            with requests.Session() as session:
                session.trust_env = False
                for each in requests_to:
                    method, _, path = each.partition(" ")
                    pages.append(session.request(method, origin + path, timeout=10))
            done.set()
            return True

        result = listener.wait(browse, seconds=20)
    assert done.wait(20)  # the listener does not wait until the browser has read the page
    return Outcome(result, pages)


def speak(port: int, data: bytes) -> bytes:
    """Send bytes to the listener and return what it says before it hangs up."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.settimeout(10)
        said = bytearray()
        try:
            connection.sendall(data)
            while chunk := connection.recv(4096):
                said += chunk
        except ConnectionError:
            pass
        return bytes(said)


def test_the_redirect_ends_the_wait_with_what_it_brought() -> None:
    assert visit(f"GET /callback?{GOOD}").result == GOOD


def test_the_person_is_told_to_go_back_and_that_the_window_can_be_closed() -> None:
    (page,) = visit(f"GET /callback?{GOOD}").pages
    assert page.status_code == 200
    assert "You can close this window." in page.text
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"


def test_the_page_shows_nothing_of_what_was_received() -> None:
    (page,) = visit(f"GET /callback?{GOOD}&code=canary").pages
    assert "canary" not in page.text + str(page.headers)


def test_the_page_runs_nothing_and_is_neither_kept_nor_referred_to() -> None:
    (page,) = visit(f"GET /callback?{GOOD}").pages
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("other", "status"),
    [
        pytest.param("GET /favicon.ico", 404, id="favicon"),
        pytest.param("GET /", 404, id="root"),
        pytest.param(f"GET /callback/?{GOOD}", 404, id="another-path"),
        pytest.param(f"GET //callback?{GOOD}", 404, id="two-slashes"),
        pytest.param(f"POST /callback?{GOOD}", 404, id="post"),
        pytest.param(f"HEAD /callback?{GOOD}", 404, id="head"),
        pytest.param("GET /callback?state=wrong", 400, id="wrong-state"),
        pytest.param("GET /callback", 400, id="no-state"),
    ],
)
def test_what_is_not_the_redirect_is_sent_away_and_ends_nothing(other: str, status: int) -> None:
    outcome = visit(other, f"GET /callback?{GOOD}&second")
    assert outcome.pages[0].status_code == status
    assert outcome.result == f"{GOOD}&second"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"GET /callback?state=right&x=" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n", id="too-long"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 5_000 + b"\r\n", id="too-many-headers"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", id="tls"),
        pytest.param(b"\r\n\r\n", id="nothing"),
        pytest.param(b"GET\r\n\r\n", id="one-word"),
        pytest.param(b"GET /callback?\xff\xfe HTTP/1.1\r\n\r\n", id="no-text"),
    ],
)
def test_what_is_no_request_of_a_browser_ends_nothing(data: bytes) -> None:
    said: list[bytes] = []
    outcome = visit(f"GET /callback?{GOOD}", before=lambda port: said.append(speak(port, data)))
    assert outcome.result == GOOD
    assert b" 200 " not in said[0]


def test_connections_that_say_nothing_hold_nothing_up() -> None:
    silent: list[socket.socket] = []

    def connect(port: int) -> None:
        silent.extend(socket.create_connection(("127.0.0.1", port)) for _ in range(20))

    assert visit(f"GET /callback?{GOOD}", before=connect).result == GOOD
    for each in silent:
        each.close()


def test_more_connections_than_a_browser_opens_do_not_keep_the_browser_out() -> None:
    silent: list[socket.socket] = []

    def connect(port: int) -> None:
        silent.extend(socket.create_connection(("127.0.0.1", port)) for _ in range(_browser.MAX_VISITS + 5))

    assert visit(f"GET /callback?{GOOD}", before=connect).result == GOOD
    for each in silent:
        each.close()


def test_who_says_nothing_for_too_long_is_sent_away() -> None:
    def browse(url: str) -> bool:
        assert speak(urlsplit(url).port or 0, b"GET /callback") == b""
        return get(f"{url}?{GOOD}").ok

    with Listener(accept, head_seconds=1.0) as listener:
        assert listener.wait(lambda: browse(listener.redirect_uri), seconds=20) == GOOD


def test_a_request_may_come_in_pieces() -> None:
    def browse(url: str) -> bool:
        with socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), timeout=10) as connection:
            for piece in (b"GET /callback", f"?{GOOD} HTTP/1.1\r\n".encode(), b"\r", b"\n"):
                connection.sendall(piece)
                time.sleep(0.02)
            connection.recv(100)
        return True

    with Listener(accept) as listener:
        assert listener.wait(lambda: browse(listener.redirect_uri), seconds=20) == GOOD


def test_an_answer_from_the_wrong_broker_ends_the_wait_with_the_error() -> None:
    with pytest.raises(BrokerMisbehaved, match="another broker"):
        visit("GET /callback?liar")


def test_the_first_answer_counts() -> None:
    def browse(url: str) -> bool:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: get_or_nothing(f"{url}?{GOOD}&{number}"), range(4)))
        return True

    with Listener(accept) as listener:
        assert str(listener.wait(lambda: browse(listener.redirect_uri), seconds=20)).startswith(GOOD)


def get_or_nothing(url: str) -> None:
    try:
        get(url)
    except requests.ConnectionError:
        return


def test_the_listener_is_on_loopback_and_gone_afterwards() -> None:
    with Listener(accept) as listener:
        url = listener.redirect_uri
        assert url.startswith("http://127.0.0.1:")
        assert listener.wait(lambda: get(f"{url}?{GOOD}").ok, seconds=20) == GOOD
    with pytest.raises(requests.ConnectionError):
        get(url)


def test_the_listener_is_not_reachable_from_another_address_of_this_machine() -> None:
    with Listener(accept) as listener, pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.2", urlsplit(listener.redirect_uri).port or 0), timeout=5)


@pytest.mark.parametrize("error", [None, webbrowser.Error("x"), OSError("x")], ids=["says-so", "error", "os-error"])
def test_a_browser_that_does_not_open_ends_the_wait_without_an_answer(error: Exception | None) -> None:
    def browse() -> bool:
        if error:
            raise error
        return False

    with Listener(accept) as listener:
        assert listener.wait(browse, seconds=20) is None


def test_nobody_is_waited_for_longer_than_was_said() -> None:
    with Listener(accept) as listener, pytest.raises(SessionError, match="nobody approved") as caught:
        listener.wait(lambda: True, seconds=0.05)
    assert "--device" in caught.value.hint


def test_a_browser_that_stays_open_does_not_hold_up_the_answer() -> None:
    closed = threading.Event()

    def browse(url: str) -> bool:
        get(f"{url}?{GOOD}")
        return closed.wait(30)

    with Listener(accept) as listener:
        began = time.monotonic()
        assert listener.wait(lambda: browse(listener.redirect_uri), seconds=20) == GOOD
    assert time.monotonic() - began < 20
    closed.set()


def test_a_browser_that_fails_after_the_answer_changes_nothing() -> None:
    with Listener(accept) as listener:
        assert listener.wait(lambda: not get(f"{listener.redirect_uri}?{GOOD}").ok, seconds=20) == GOOD


def test_a_person_has_five_minutes() -> None:
    assert _browser.WAIT_SECONDS == 300


# Which browsers count


class FakeBrowser(webbrowser.BaseBrowser):
    """Opens nothing, and remembers what."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.opened: list[str] = []

    def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:  # noqa: ARG002, FBT001, FBT002
        self.opened.append(url)
        return True


@pytest.mark.parametrize("name", ["xdg-open", "/usr/bin/firefox", "default", "", "/opt/lynx-of-fire"])
def test_a_browser_with_windows_opens_the_page(name: str) -> None:
    browser = FakeBrowser(name)
    opener = find_opener({}, lambda: browser)
    assert opener is not None
    assert opener("https://tokens.acme.example/") is True
    assert browser.opened == ["https://tokens.acme.example/"]


@pytest.mark.parametrize(
    "name", ["www-browser", "links", "links2", "elinks", "lynx", "w3m", "/usr/bin/w3m", "lynx.exe"]
)
def test_a_browser_for_text_is_none(name: str) -> None:
    assert find_opener({}, lambda: FakeBrowser(name)) is None


@pytest.mark.parametrize("variable", ["CI", "SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY"])
def test_in_ci_and_over_ssh_no_browser_is_looked_for(variable: str) -> None:
    def look() -> webbrowser.BaseBrowser:
        raise AssertionError(variable)

    assert find_opener({variable: "1"}, look) is None


@pytest.mark.parametrize("variable", ["CI", "SSH_TTY"])
def test_an_empty_variable_counts_as_not_set(variable: str) -> None:
    assert find_opener({variable: ""}, lambda: FakeBrowser("firefox")) is not None


def test_a_machine_without_a_browser_has_none() -> None:
    def look() -> webbrowser.BaseBrowser:
        raise webbrowser.Error("could not locate runnable browser")

    assert find_opener({}, look) is None
