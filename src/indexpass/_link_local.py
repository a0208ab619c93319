"""Asks the machine's own metadata server, which clouds put beside it: over plain http, because it is that near.

Never through a proxy, which would learn the token, never at a public address, whatever a name leads to, and never for
long: on a machine that is in no cloud, nobody answers. This module follows no redirect.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import threading
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from indexpass._model import Answer
from indexpass._secret import Secret
from indexpass.errors import IdentityError

if TYPE_CHECKING:
    from collections.abc import Mapping

TOTAL_SECONDS = 5.0  # a server on the link answers within milliseconds; a new machine's may take a second or two
MAX_ANSWER_BYTES = 64 * 1024


def ask_link(
    url: str, headers: Mapping[str, str | Secret], *, source: str, hint: str, total_seconds: float = TOTAL_SECONDS
) -> Answer:
    """Return the answer to a GET; its body is parsed JSON, or else text. Raises IdentityError.

    ``source`` says in words who is asked, ``hint`` what to do where nobody answers.
    """
    plain = {name: value.reveal() if isinstance(value, Secret) else value for name, value in headers.items()}
    outcome: list[Answer | Exception] = []

    def run() -> None:
        try:
            outcome.append(_ask(url, plain, total_seconds))
        except Exception as error:  # noqa: BLE001  # carried to the caller's thread and judged there
            outcome.append(error)

    # On a thread that is given up on in time: neither a name look-up nor an answer byte by byte is bounded inside.
    worker = threading.Thread(target=run, name="indexpass-link", daemon=True)
    worker.start()
    worker.join(total_seconds)
    result = outcome[0] if outcome else TimeoutError()
    if isinstance(result, Answer):
        return result
    if isinstance(result, (OSError, HTTPException)):
        raise IdentityError(f"{source} did not answer on this machine", hint=hint) from None
    if isinstance(result, ValueError):
        raise IdentityError(f"{source} is said to be at a public address, or not at plain http", hint=hint) from None
    raise result


def _ask(url: str, headers: Mapping[str, str], seconds: float) -> Answer:
    """Raises ValueError if the URL is none that may be asked."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname or parts.username is not None:
        raise ValueError
    address = _resolve(parts.hostname, parts.port or 80)
    connection = HTTPConnection(address, parts.port or 80, timeout=seconds)
    try:
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection.request("GET", target, headers={"Host": parts.netloc, **headers})
        response = connection.getresponse()
        body = response.read(MAX_ANSWER_BYTES)
        found = {name.lower(): value for name, value in response.getheaders()}
        later = found.get("retry-after", "")
        return Answer(response.status, _parse(body), float(later) if later.isdecimal() else None, found)
    finally:
        connection.close()


def _resolve(host: str, port: int) -> str:
    """Return the address behind a host's name. Raises ValueError if it is a public one."""
    address = str(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0])
    if not ipaddress.ip_address(address.partition("%")[0]).is_private:  # of the link and of loopback are so, too
        raise ValueError
    return address


def _parse(body: bytes) -> object:
    try:
        parsed: object = json.loads(body)
    except (ValueError, RecursionError):
        return body.decode("utf-8", errors="replace")
    return parsed
