"""The way out to servers on the public internet, and to nothing else.

Whose address a name has is found out on the connection that was really made, before anything is sent: a name that
leads elsewhere a moment later gains nothing. Where a proxy is set (HTTPS_PROXY), the proxy connects, and only what is
written as an address can be checked here. This module never says which servers may be private.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from indexpass._http import HttpClient
from indexpass.errors import BrokerMisbehaved

if TYPE_CHECKING:
    import socket

    import requests

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last four bytes are the IPv4 address that is meant


def open_public_http(*, total_seconds: float) -> HttpClient:
    """Return a client that refuses private, loopback and link-local addresses, with BrokerMisbehaved."""
    return HttpClient(total_seconds=total_seconds, adapter=_PublicAdapter())


def is_public(address: str) -> bool:
    """Is this an address on the public internet? False for what is no address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour
        if parsed in _NAT64:
            inner = ipaddress.IPv4Address(parsed.packed[-4:])
        if inner:
            parsed = inner
    return parsed.is_global and not parsed.is_multicast


def is_address(host: str) -> bool:
    """Is the host written as an address, or as the name that every machine has for itself?"""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


def _refusal(host: str) -> BrokerMisbehaved:
    return BrokerMisbehaved(
        f"{host} is at an address that is not public",
        hint="set private-network = true for this trusted-issuer, if its keys belong there",
    )


class _PublicConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _checked(super()._new_conn(), self.host)


class _PublicTlsConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:  # TLS begins after it, so not even the name of the server is sent
        return _checked(super()._new_conn(), self.host)


def _checked(connection: socket.socket, host: str) -> socket.socket:
    if is_public(connection.getpeername()[0]):
        return connection
    connection.close()
    raise _refusal(host)


class _PublicPool(HTTPConnectionPool):
    ConnectionCls = _PublicConnection


class _PublicTlsPool(HTTPSConnectionPool):
    ConnectionCls = _PublicTlsConnection


class _PublicAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: object, **options: object) -> None:
        super().init_poolmanager(*args, **options)  # type: ignore[arg-type]  # passed on as they are
        self.poolmanager.pool_classes_by_scheme = {"http": _PublicPool, "https": _PublicTlsPool}

    def send(self, request: requests.PreparedRequest, *args: object, **options: object) -> requests.Response:
        host = urlsplit(request.url or "").hostname or ""
        if is_address(host) and not is_public(host):  # a proxy would connect there for us
            raise _refusal(host)
        return super().send(request, *args, **options)  # type: ignore[arg-type]  # likewise
