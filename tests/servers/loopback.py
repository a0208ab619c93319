"""Run an ASGI application on a free loopback port, in a thread, over plain http or TLS."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.types import ASGIApp

START_SECONDS = 30.0


def free_port() -> socket.socket:
    """Return a socket that is bound to a free port, so that nobody else takes it before the server runs."""
    return socket.create_server(("127.0.0.1", 0))


@contextmanager
def serving(
    app: ASGIApp, listener: socket.socket, *, tls: tuple[Path, Path] | None = None, has_own_dates: bool = False
) -> Iterator[None]:
    """Serve ``app`` on the socket meanwhile. ``tls`` is the certificate's and the key's PEM file.

    An application that ``has_own_dates`` says in each answer what time it is there.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        proxy_headers=False,
        log_level="warning",
        access_log=False,
        ws="none",
        date_header=not has_own_dates,
        ssl_certfile=tls[0] if tls else None,
        ssl_keyfile=tls[1] if tls else None,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            msg = "the server did not start"
            raise RuntimeError(msg)
        time.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(START_SECONDS)
        listener.close()
