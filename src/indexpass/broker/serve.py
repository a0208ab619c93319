"""Run the broker's application on a socket until it is told to stop, in this process or in several workers.

This module knows the server, uvicorn, and what it prints; it never looks into a request beyond method and path.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import ssl
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
import uvicorn

from indexpass.broker import workers
from indexpass.broker.app import create_app
from indexpass.broker.bounded_http import BoundedHttp
from indexpass.broker.deadlines import HeadDeadline
from indexpass.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from multiprocessing.connection import Connection as Pipe
    from pathlib import Path
    from types import FrameType

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from indexpass.broker.deadlines import Connection
    from indexpass.broker.service import Broker
    from indexpass.broker.settings import Settings

Address = tuple[str, int]
STOP_SECONDS = 10  # how long requests that have begun may take once the broker is told to stop
KEEP_ALIVE_SECONDS = 18  # not the 5 of devices that ask again: a connection would close as they use it
LINGER_SECONDS = 0.5  # how long connections stay open for requests that were on their way by then
MAX_PORT = 65535
_TICKS = 10  # of uvicorn's in a second
_log = logging.getLogger("indexpass.access")


@dataclass(frozen=True, slots=True)
class Serving:
    """How a broker is served. ``tls`` is the certificate's and the key's PEM file."""

    address: Address
    packages: Path | None
    tls: tuple[Path, Path] | None
    has_access_log: bool


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


def run(broker: Broker, serving: Serving) -> None:
    """Serve the broker until SIGTERM or SIGINT, then finish what has begun. Raises ConfigError if it cannot listen."""
    with _listen(serving.address) as listener:
        metrics = broker.settings.running.metrics_listen
        _serve(broker, serving, listener, metrics=metrics, greet=lambda: _greet(broker.settings, serving))


def run_workers(count: int, settings: Settings, serving: Serving, open_broker: Callable[[Settings], Broker]) -> None:
    """Do the same in ``count`` processes, each of which opens the broker for itself. Raises what that raises."""
    workers.check_platform()
    metrics = _metrics_addresses(settings.running.metrics_listen, count)

    def work(number: int, listener: socket.socket, parent: Pipe) -> None:
        def tell() -> None:
            with suppress(OSError):  # no parent any more: the server notices
                parent.send(None)

        with closing(open_broker(settings)) as broker:
            _serve(broker, serving, listener, metrics=metrics[number], greet=tell, parent=parent)

    # Sockets that share an address let everybody of this user in who shares, too: this one finds out who is there.
    _listen(serving.address).close()
    workers.supervise(
        count,
        listen=lambda: _listen(serving.address, is_shared=True),
        work=work,
        greet=lambda: _greet(settings, serving),
    )


def _greet(settings: Settings, serving: Serving) -> None:
    host, port = serving.address
    click.echo(f"The broker {settings.issuer} is ready on {host}:{port}", err=True)


def _metrics_addresses(first: Address | None, count: int) -> list[Address | None]:
    """Return where each worker answers Prometheus: each counts for itself, on a port of its own."""
    if first is None:
        return [None] * count
    host, port = first
    if port + count - 1 > MAX_PORT:
        raise ConfigError(
            f"{count} workers need {count} ports for metrics, and there are none above {MAX_PORT}",
            hint="set metrics-listen in broker.toml to a lower port",
        )
    return [(host, port + number) for number in range(count)]


def _serve(  # noqa: PLR0913  # by keyword, what differs between one process and several
    broker: Broker,
    serving: Serving,
    listener: socket.socket,
    *,
    metrics: Address | None,
    greet: Callable[[], None],
    parent: Pipe | None = None,
) -> None:
    app: ASGIApp = create_app(broker, packages=serving.packages)
    config = uvicorn.Config(
        _AccessLog(app) if serving.has_access_log else app,
        ssl_certfile=serving.tls[0] if serving.tls else None,
        ssl_keyfile=serving.tls[1] if serving.tls else None,
        log_config=None,
        log_level="warning",
        access_log=False,  # uvicorn's own prints query strings
        server_header=False,
        http=BoundedHttp,
        ws="none",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        proxy_headers=False,  # the application reads them itself, where they matter
        limit_concurrency=broker.settings.running.connections,  # more are answered with 503
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    # uvicorn stops gracefully and then raises the signal once more: stopping as told is no failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    with ExitStack() as stack:
        if metrics:
            from indexpass.broker.exposition import exposing  # noqa: PLC0415  # costs nothing where nobody asks

            stack.enter_context(exposing(broker, metrics))
        gc.collect()
        gc.freeze()  # what is loaded by now stays: looking it through again and again would only make requests wait
        _Server(config, greet, parent).run([listener])


def _listen(address: Address, *, is_shared: bool = False) -> socket.socket:
    """Return a socket that listens; one that is shared leaves room for others of its kind on the same address."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    try:
        return socket.create_server(address, family=family, reuse_port=is_shared)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {address[0]}:{address[1]}: {error.strerror}",
            hint="stop what listens there, or name another address with --listen HOST:PORT",
        ) from error


class _Server(uvicorn.Server):
    """Says when it is ready, closes connections on which nothing comes, and lets nobody down when it stops."""

    def __init__(self, config: uvicorn.Config, greet: Callable[[], None], parent: Pipe | None) -> None:
        super().__init__(config)
        self._greet = greet
        self._parent = parent
        self._heads = HeadDeadline()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._greet()
            if self._parent:  # whose end of the pipe ends with it, or when we have to stop
                asyncio.get_running_loop().add_reader(self._parent.fileno(), self._stop)

    def _stop(self) -> None:
        if self._parent:
            asyncio.get_running_loop().remove_reader(self._parent.fileno())
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # A terminal sends Ctrl-C to all of us, and a second one ends at once: among workers, the parent sees to that.
        super().handle_exit(signal.SIGTERM if self._parent else sig, frame)

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
