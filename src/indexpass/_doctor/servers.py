"""How brokers and indexes are reached: their certificates, their clocks, what a broker publishes of itself.

All are asked at the same time, once each, within 25 seconds. No secret is sent, but for the one look whether an index
takes the credential that is held for it. This module judges nothing.
"""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from indexpass._diagnose import read_date
from indexpass._metadata import METADATA_PATH, Metadata, well_known_url
from indexpass._url import IndexUrl
from indexpass.errors import BrokerUnreachable, IndexpassError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from indexpass._credential import Credential, Index
    from indexpass._model import Answer, Context
    from indexpass._url import Origin

TLS_SECONDS = 5.0
ALL_SECONDS = 25.0  # longer than the 20 of one exchange by HTTP
# The variables that requests reads, and after them OpenSSL's own, as in ``_http``.
_AUTHORITIES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_T = TypeVar("_T")


class Certificate(NamedTuple):
    """What TLS says of a host: the end of its certificate in seconds since the epoch, or why it is not trusted.

    ``problem`` is OpenSSL's reason, such as "certificate has expired".
    """

    expires_at: float | None = None
    problem: str = ""


class Server(NamedTuple):
    """One host: its certificate, and of a broker also what it answered.

    ``certificate`` is None where nobody could look: http, a proxy on the way, no connection. ``skew`` is how many
    seconds our clock is ahead of the server's, None if it did not say. ``error`` is why it is of no use.
    """

    origin: Origin
    is_broker: bool
    certificate: Certificate | None = None
    skew: float | None = None
    error: IndexpassError | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """What the index said to the credential that is held for it: an answer, or why there is none."""

    index: Index
    credential: Credential
    answer: Answer | IndexpassError


def look_at_servers(indexes: Sequence[Index], context: Context) -> tuple[Server, ...]:
    """Return every broker of the indexes, and every host of theirs that is no broker."""
    brokers = list(dict.fromkeys(index.options["broker"] for index in indexes if "broker" in index.options))
    asked = {IndexUrl.parse(broker).origin for broker in brokers}
    hosts = [origin for origin in dict.fromkeys(index.url.origin for index in indexes) if origin not in asked]
    looks = [
        *(lambda broker=broker: _look_at_broker(broker, context) for broker in brokers),
        *(lambda origin=origin: _look_at_host(origin, context.environ) for origin in hosts),
    ]
    return tuple(_within(ALL_SECONDS, looks))


def try_credential(index: Index, credential: Credential, context: Context) -> Trial:
    """Ask the index itself, with one HEAD of at most 5 seconds, whether it takes the credential."""
    try:
        return Trial(index, credential, context.http.try_credential(str(index.url), credential))
    except IndexpassError as error:
        return Trial(index, credential, error)


def _look_at_broker(broker: str, context: Context) -> Server:
    origin = IndexUrl.parse(broker).origin
    seen = _look_at_host(origin, context.environ)._replace(is_broker=True, error=None)
    try:
        answer = context.http.get_json(well_known_url(METADATA_PATH, IndexUrl.parse(broker)))
        there = read_date(answer.headers.get("date", ""))
        seen = seen._replace(skew=None if there is None else context.now() - there)
        Metadata.parse(answer, issuer=broker)
    except IndexpassError as error:
        return seen._replace(error=error)
    return seen


def _look_at_host(origin: Origin, environ: Mapping[str, str]) -> Server:
    found = _within(TLS_SECONDS, [lambda: look_at_certificate(origin, environ)])
    if found:
        return Server(origin, is_broker=False, certificate=found[0])
    error = BrokerUnreachable(f"{origin} cannot be reached", hint="check your network or VPN, then try again")
    return Server(origin, is_broker=False, error=error)


def look_at_certificate(origin: Origin, environ: Mapping[str, str]) -> Certificate | None:
    """Return what TLS says, or None for http and behind a proxy. Raises OSError where no connection comes about."""
    from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies  # noqa: PLC0415  # loaded when a server is asked

    if origin.scheme != "https" or get_environ_proxies(f"{origin}/").get("https"):
        return None
    place = next((environ[name] for name in _AUTHORITIES if environ.get(name)), DEFAULT_CA_BUNDLE_PATH)
    is_folder = os.path.isdir(place)  # noqa: PTH112  # a path of the user's, as it is
    try:
        trust = ssl.create_default_context(cafile=None if is_folder else place, capath=place if is_folder else None)
    except OSError:
        return Certificate(problem=f"unable to get authorities from {place}")
    with socket.create_connection((origin.host, origin.port), timeout=TLS_SECONDS) as raw:
        try:
            with trust.wrap_socket(raw, server_hostname=origin.host) as channel:
                end = (channel.getpeercert() or {}).get("notAfter")
        except ssl.SSLCertVerificationError as error:
            return Certificate(problem=error.verify_message)
    return Certificate(float(ssl.cert_time_to_seconds(end)) if isinstance(end, str) else None)


def _within(seconds: float, looks: Sequence[Callable[[], _T]]) -> list[_T]:
    """Return what the looks return that are done in time, each on a thread of its own that is given up on else.

    The look-up of a host's name cannot be bounded in any other way.
    """
    results: dict[int, _T] = {}

    def run(number: int, look: Callable[[], _T]) -> None:
        try:
            results[number] = look()
        except (OSError, ValueError):
            return  # nobody is there, or speaks TLS: who asks for a document says so in better words

    threads = [
        threading.Thread(target=run, args=(number, look), name="indexpass-doctor", daemon=True)
        for number, look in enumerate(looks)
    ]
    for thread in threads:
        thread.start()
    ends = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(ends - time.monotonic(), 0))
    return [results[number] for number in sorted(results)]
