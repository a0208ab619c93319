"""Run the broker's application on a socket until it is told to stop.

This module knows the server, uvicorn, and what it prints; it never looks into a request beyond method and path.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import ssl
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click
import uvicorn

from indexpass.broker.app import create_app
from indexpass.broker.bounded_http import BoundedHttp
from indexpass.broker.deadlines import HeadDeadline
from indexpass.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from indexpass.broker.deadlines import Connection
    from indexpass.broker.service import Broker

STOP_SECONDS = 10  # how long requests that have begun may take once the broker is told to stop
KEEP_ALIVE_SECONDS = 18  # not the 5 of devices that ask again: a connection would close as they use it
LINGER_SECONDS = 0.5  # how long connections stay open for requests that were on their way by then
_TICKS = 10  # of uvicorn's in a second
_log = logging.getLogger("indexpass.access")


def tls_files(certificate: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    """Return the pair of PEM files, or None for plain http. Raises ConfigError if one is missing or unusable."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise ConfigError("a certificate and its key go together", hint="name both, or neither")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{certificate} and {key} are not a certificate and its key", hint="name two PEM files that you may read"
        ) from error
    return certificate, key


def run(
    broker: Broker,
    *,
    address: tuple[str, int],
    packages: Path | None,
    tls: tuple[Path, Path] | None,
    has_access_log: bool,
) -> None:
    """Serve the broker until SIGTERM or SIGINT, then finish what has begun. Raises ConfigError if it cannot listen."""
    running = broker.settings.running
    app: ASGIApp = create_app(broker, packages=packages)
    config = uvicorn.Config(
        _AccessLog(app) if has_access_log else app,
        ssl_certfile=tls[0] if tls else None,
        ssl_keyfile=tls[1] if tls else None,
        log_config=None,
        log_level="warning",
        access_log=False,  # uvicorn's own prints query strings
        server_header=False,
        http=BoundedHttp,
        ws="none",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        proxy_headers=False,  # the application reads them itself, where they matter
        limit_concurrency=running.connections,  # more are answered with 503
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    # uvicorn stops gracefully and then raises the signal once more: stopping as told is no failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    greeting = f"The broker {broker.settings.issuer} is ready on {address[0]}:{address[1]}"
    with ExitStack() as stack:
        listener = stack.enter_context(_listen(address))
        if running.metrics_listen:
            from indexpass.broker.exposition import exposing  # noqa: PLC0415  # costs nothing where nobody asks

            stack.enter_context(exposing(broker, running.metrics_listen))
        gc.collect()
        gc.freeze()  # what is loaded by now stays: looking it through again and again would only make requests wait
        _Server(config, greeting).run([listener])


def _listen(address: tuple[str, int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    try:
        return socket.create_server(address, family=family)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {address[0]}:{address[1]}: {error.strerror}",
            hint="stop what listens there, or name another address with --listen HOST:PORT",
        ) from error


class _Server(uvicorn.Server):
    """Says when it is ready, closes connections on which nothing comes, and lets nobody down when it stops."""

    def __init__(self, config: uvicorn.Config, greeting: str) -> None:
        super().__init__(config)
        self._greeting = greeting
        self._heads = HeadDeadline()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            click.echo(self._greeting, err=True)

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS == 0:
            connections: Iterable[Connection] = self.server_state.connections  # type: ignore[assignment]  # uvicorn names no common type
            self._heads.close_overdue(connections, asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        # Clients keep connections for their next request. One that is just coming is still answered, and told that it
        # was the last; uvicorn would close the connection under it.
        self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        await asyncio.sleep(LINGER_SECONDS)
        await super().shutdown(sockets)


class _AccessLog:
    """Prints method, path and status; the query, where codes can stand, is left out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                _log.info("%s %s %d", scope["method"], ascii(scope["path"]), message["status"])
            await send(message)

        await self._app(scope, receive, sending)
