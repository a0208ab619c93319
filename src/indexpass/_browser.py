"""The person's browser on this machine: is there one, and what does it bring back (RFC 8252 section 7.3)?

A listener on 127.0.0.1 waits for one redirect, answers it with a small page, and is gone. Whatever else comes (a
favicon, a stranger's guess, a connection that says nothing) is sent away and ends nothing. This module never speaks to
a broker, and never logs or shows what it has received.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
import time
import webbrowser
from typing import TYPE_CHECKING, Generic, TypeVar

from indexpass._authorization import REDIRECT_PATH
from indexpass.errors import IndexpassError, SessionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

WAIT_SECONDS = 300.0  # for the person to sign in and decide
MAX_HEAD_BYTES = 16 * 1024  # a request line and headers; browsers send some 1 KiB
HEAD_SECONDS = 10.0  # browsers open connections in advance and say nothing on them
MAX_VISITS = 64
_POLL_SECONDS = 0.1
_TEXT_BROWSERS = frozenset({"www-browser", "links", "links2", "elinks", "lynx", "w3m"})
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="color-scheme" content="light dark"><title>indexpass</title></head>
<body><h1>{heading}</h1><p>{text}</p></body>
</html>
"""
_HEADERS = """\
HTTP/1.1 {status}\r
Content-Type: text/html; charset=utf-8\r
Content-Length: {length}\r
Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r
X-Content-Type-Options: nosniff\r
Referrer-Policy: no-referrer\r
Cache-Control: no-store\r
Connection: close\r
\r
"""
_RECEIVED = ("200 OK", "Back to your terminal", "It says how the sign-in went. You can close this window.")
_FOREIGN = ("400 Bad Request", "Not the sign-in that waits", "Go back to your terminal, and open the page it names.")
_NOTHING_HERE = ("404 Not Found", "Nothing is here", "A sign-in waits on this port for its own page, and for no other.")


def find_opener(
    environ: Mapping[str, str], get: Callable[[], webbrowser.BaseBrowser] = webbrowser.get
) -> Callable[[str], bool] | None:
    """Return what opens a page in this person's browser, or None where they had better use another screen.

    That is so in CI, over SSH (the browser there is not the one in front of the person), and where there is no browser
    or only one for text.
    """
    if any(environ.get(name) for name in ("CI", "SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY")):
        return None
    try:
        found = get()
    except webbrowser.Error:
        return None
    name = os.path.basename(str(getattr(found, "name", ""))).removesuffix(".exe")  # noqa: PTH119  # it may be no path
    return None if name in _TEXT_BROWSERS else found.open


class Listener(Generic[T]):
    """Waits on a free port of 127.0.0.1 for the one redirect that ``accept`` recognises.

    ``accept`` is given the query of a redirect: it returns None if that is not the one, and what it returns or raises
    otherwise ends the wait.
    """

    def __init__(self, accept: Callable[[str], T | None], *, head_seconds: float = HEAD_SECONDS) -> None:
        """Take a port; nothing is answered before :meth:`wait`. Who connects has ``head_seconds`` to say something."""
        self._accept = accept
        self._head_seconds = head_seconds
        self._door = socket.create_server(("127.0.0.1", 0))

    @property
    def redirect_uri(self) -> str:
        """Where the browser has to be sent."""
        return f"http://127.0.0.1:{self._door.getsockname()[1]}{REDIRECT_PATH}"

    def __enter__(self) -> Listener[T]:
        """Be closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give the port back."""
        self._door.close()

    def wait(self, browse: Callable[[], bool], *, seconds: float = WAIT_SECONDS) -> T | None:
        """Have ``browse`` open the page, and return what the browser brings back; None if it opens nothing.

        Raises SessionError if nothing comes in time, and whatever ``accept`` raises.
        """
        has_failed = threading.Event()
        # Some browsers are run to their end by what opens them: that must not hold up the answer, nor our exit.
        threading.Thread(target=_open, args=(browse, has_failed), name="indexpass-browser", daemon=True).start()
        end = time.monotonic() + seconds
        with contextlib.closing(_Visits(self._door, self._head_seconds)) as visits:
            while time.monotonic() < end:
                for visitor, head in visits.arrived():
                    page, found = self._judge(head)
                    visits.dismiss(visitor, page)
                    if isinstance(found, IndexpassError):
                        raise found
                    if found is not None:
                        return found
                if has_failed.is_set():
                    return None
        raise SessionError(
            "nobody approved the sign-in in time", hint="run the command again, with --device for another screen"
        )

    def _judge(self, head: bytes) -> tuple[bytes, T | IndexpassError | None]:
        """Return the page for a request, and how the wait ends: None if it goes on."""
        method, _, target = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
        path, _, query = target.partition(" ")[0].partition("?")
        if method != "GET" or path != REDIRECT_PATH:
            return _page(*_NOTHING_HERE), None
        try:
            found = self._accept(query)
        except IndexpassError as error:
            return _page(*_RECEIVED), error
        return _page(*(_FOREIGN if found is None else _RECEIVED)), found


class _Visits:
    """Who is connected, and what they have said so far: a few, not for long, and nobody waits for another."""

    def __init__(self, door: socket.socket, head_seconds: float) -> None:
        self._selector = selectors.DefaultSelector()
        self._visitors: dict[socket.socket, tuple[bytearray, float]] = {}  # what each has said, and until when it may
        self._door = door
        self._head_seconds = head_seconds
        self._watch(door)

    def close(self) -> None:
        """Send everybody away."""
        for visitor in list(self._visitors):
            self.dismiss(visitor)
        self._selector.close()

    def arrived(self) -> list[tuple[socket.socket, bytes]]:
        """Wait a moment, and return who has said all by now; who takes too long or says too much is sent away."""
        now = time.monotonic()
        for silent in [visitor for visitor, (_, end) in self._visitors.items() if end < now]:
            self.dismiss(silent)
        said_all = []
        for key, _ in self._selector.select(_POLL_SECONDS):
            visitor = key.fileobj
            if visitor is self._door or not isinstance(visitor, socket.socket):
                self._admit()
            elif head := self._listen(visitor):
                said_all.append((visitor, head))
        return said_all

    def dismiss(self, visitor: socket.socket, page: bytes = b"") -> None:
        """Hang up, after the page if there is one: it is so small that it goes out at once."""
        if self._visitors.pop(visitor, None) is None:
            return
        self._selector.unregister(visitor)
        with visitor, contextlib.suppress(OSError):  # the browser need not stay for the page
            visitor.sendall(page)
            visitor.shutdown(socket.SHUT_WR)

    def _admit(self) -> None:
        try:
            visitor, _ = self._door.accept()
        except OSError:
            return  # gone already
        if len(self._visitors) >= MAX_VISITS:
            self.dismiss(next(iter(self._visitors)))  # who has been silent for longest: the browser may come last
        self._visitors[visitor] = (bytearray(), time.monotonic() + self._head_seconds)
        self._watch(visitor)

    def _listen(self, visitor: socket.socket) -> bytes | None:
        """Return the head of the request once it is whole."""
        try:
            data = visitor.recv(MAX_HEAD_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        head, _ = self._visitors[visitor]
        head += data
        if not data or len(head) > MAX_HEAD_BYTES:
            self.dismiss(visitor)
            return None
        return bytes(head) if b"\r\n\r\n" in head else None

    def _watch(self, connection: socket.socket) -> None:
        connection.settimeout(0.0)  # never wait for one of them
        self._selector.register(connection, selectors.EVENT_READ)


def _open(browse: Callable[[], bool], has_failed: threading.Event) -> None:
    try:
        is_open = browse()
    except (OSError, webbrowser.Error):
        is_open = False
    if not is_open:
        has_failed.set()


def _page(status: str, heading: str, text: str) -> bytes:
    body = _PAGE.format(heading=heading, text=text).encode()
    return _HEADERS.format(status=status, length=len(body)).encode("ascii") + body
