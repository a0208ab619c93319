"""The only way out of the client: bounded in time and size, never following a redirect.

Proxies and private certificate authorities are honoured as requests does (HTTPS_PROXY, REQUESTS_CA_BUNDLE), and after
these SSL_CERT_FILE, as uv and OpenSSL do. Nothing here logs a header, a body or a query, and .netrc is never read.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from importlib.metadata import version
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import requests
from urllib3.exceptions import LocationParseError

from indexpass._model import Answer
from indexpass._secret import Secret
from indexpass._url import IndexUrl
from indexpass.errors import BrokerMisbehaved, BrokerUnreachable

if TYPE_CHECKING:
    from indexpass._model import Credential

TOTAL_SECONDS = 20.0  # for a whole exchange with one server: name look-up, connection, answer
TRY_SECONDS = 5.0  # for a look whether an index takes a credential, on which nothing depends
CONNECT_SECONDS = 6.0
READ_SECONDS = 10.0
MAX_ANSWER_BYTES = 1024 * 1024
_MAX_RETRY_AFTER_SECONDS = 3600.0
# The broker's URL has been parsed before, so a URL that requests does not understand is the proxy's.
_OF_THE_PROXY = (
    requests.exceptions.ProxyError,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
    LocationParseError,
)


class HttpClient:
    """Asks servers, as :class:`indexpass._model.Http` describes."""

    def __init__(
        self, *, total_seconds: float = TOTAL_SECONDS, adapter: requests.adapters.HTTPAdapter | None = None
    ) -> None:
        """Open no connection yet; ``total_seconds`` bounds each exchange as a whole.

        ``adapter`` makes the connections, in place of requests' own.
        """
        self._total_seconds = total_seconds
        self._session = requests.Session()
        if adapter:
            self._session.mount("https://", adapter)
            self._session.mount("http://", adapter)
        self._session.headers["User-Agent"] = f"indexpass/{version('indexpass')}"
        self._session.headers["Accept"] = "application/json"
        # requests itself puts REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE before this, and certifi's authorities after it.
        self._session.verify = os.environ.get("SSL_CERT_FILE") or True

    def get_json(self, url: str, *, authorization: Secret | None = None) -> Answer:
        """Return the answer to a GET. Raises BrokerUnreachable or BrokerMisbehaved."""
        return self._within(url, lambda: self._ask("GET", url, authorization))

    def post_form(self, url: str, form: Mapping[str, str | Secret], *, authorization: Secret | None = None) -> Answer:
        """Return the answer to a form-encoded POST; this is where secrets leave the program.

        Raises BrokerUnreachable or BrokerMisbehaved.
        """
        revealed = {key: value.reveal() if isinstance(value, Secret) else value for key, value in form.items()}
        return self._within(url, lambda: self._ask("POST", url, authorization, form=revealed))

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str | Secret] = MappingProxyType({}),
        json: Mapping[str, object] | None = None,
    ) -> Answer:
        """Return the answer to a request to a platform's API; this is another place where secrets leave the program.

        Raises BrokerUnreachable or BrokerMisbehaved.
        """
        plain = {name: value.reveal() if isinstance(value, Secret) else value for name, value in headers.items()}
        return self._within(url, lambda: self._ask(method, url, None, headers=plain, json=_revealed(json)))

    def try_credential(self, url: str, credential: Credential) -> Answer:
        """Return the answer to a HEAD that carries the credential as Basic, without following where it points to.

        Raises BrokerUnreachable; after 5 seconds at the latest.
        """
        # As bytes, because requests would encode text as Latin-1, and Basic is UTF-8 (RFC 7617 section 2.1).
        auth = requests.auth.HTTPBasicAuth(credential.username.encode(), credential.secret.reveal().encode())
        timeout = (CONNECT_SECONDS, READ_SECONDS)

        def look() -> Answer:
            with self._session.head(url, auth=auth, timeout=timeout, allow_redirects=False, stream=True) as response:
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status_code, None, headers=headers)

        return self._within(url, look, seconds=TRY_SECONDS)

    def _within(self, url: str, work: _Work, *, seconds: float = TOTAL_SECONDS) -> Answer:
        """Run ``work`` on a thread that is given up on in time: neither DNS nor slow headers can be bounded inside."""
        place = str(IndexUrl.parse(url).origin)
        outcome: list[Answer | Exception] = []

        def run() -> None:
            try:
                outcome.append(work())
            except Exception as error:  # noqa: BLE001  # carried to the caller's thread and raised there
                outcome.append(error)

        worker = threading.Thread(target=run, name="indexpass-http", daemon=True)
        worker.start()
        worker.join(min(seconds, self._total_seconds))
        result = outcome[0] if outcome else requests.Timeout()
        if isinstance(result, Answer):
            return result
        if isinstance(result, (OSError, LocationParseError)):  # requests' own errors are OSErrors too
            raise _unreachable(place, result) from None  # the cause's text can hold the URL and more
        raise result

    def _ask(  # noqa: PLR0913  # what a request can carry
        self,
        method: str,
        url: str,
        authorization: Secret | None,
        *,
        form: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        json: object = None,
    ) -> Answer:
        deadline = time.monotonic() + self._total_seconds
        with self._session.request(
            method,
            url,
            data=form,
            headers=headers,
            json=json,
            auth=_Authorize(authorization),
            timeout=(CONNECT_SECONDS, READ_SECONDS),
            allow_redirects=False,
            stream=True,
        ) as response:
            if response.is_redirect:
                raise BrokerMisbehaved(
                    f"{IndexUrl.parse(url).origin} redirects",
                    hint="configure the URL that it redirects to, if you trust it",
                )
            body = bytearray()
            for chunk in response.iter_content(16 * 1024):
                body += chunk
                if len(body) > MAX_ANSWER_BYTES or time.monotonic() > deadline:
                    raise BrokerMisbehaved(f"{IndexUrl.parse(url).origin} answers with more than 1 MiB, or too slowly")
            found = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status_code, _json(bytes(body)), _retry_after(found.get("retry-after")), found)


class _Work(Protocol):
    def __call__(self) -> Answer: ...


class _Authorize(requests.auth.AuthBase):
    """Stands where requests would otherwise look up .netrc, which may hold another service's password."""

    def __init__(self, authorization: Secret | None) -> None:
        self._authorization = authorization

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._authorization:
            request.headers["Authorization"] = self._authorization.reveal()
        return request


def _revealed(value: object) -> object:
    """Return what JSON has in place of ``value``: the same, with each Secret in it revealed."""
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Mapping):
        return {key: _revealed(member) for key, member in value.items()}
    return [_revealed(member) for member in value] if isinstance(value, (list, tuple)) else value


def _json(body: bytes) -> object:
    try:
        parsed: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return parsed


def _retry_after(header: str | None) -> float | None:
    """Read Retry-After in its form in seconds (RFC 9110 section 10.2.3); the date form counts as absent."""
    if header is None or not header.isascii() or not header.isdigit():
        return None
    return min(float(header), _MAX_RETRY_AFTER_SECONDS)


def _unreachable(place: str, error: Exception) -> BrokerUnreachable:
    if isinstance(error, requests.exceptions.SSLError):
        return BrokerUnreachable(
            f"the certificate of {place} is not trusted",
            hint="point REQUESTS_CA_BUNDLE or SSL_CERT_FILE to the file of your company's certificate authority",
        )
    if isinstance(error, _OF_THE_PROXY):
        return BrokerUnreachable(f"the proxy does not let us reach {place}", hint="check HTTPS_PROXY and NO_PROXY")
    if isinstance(error, requests.Timeout):
        return BrokerUnreachable(f"{place} did not answer in time", hint="check your network or VPN, then try again")
    if not isinstance(error, requests.RequestException):  # all that requests lets through is a missing file
        return BrokerUnreachable(
            f"{place} cannot be reached: there is no file of certificate authorities",
            hint="correct or unset REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE and SSL_CERT_FILE",
        )
    return BrokerUnreachable(
        f"{place} cannot be reached", hint="check your network or VPN, then try again", is_cut_off=True
    )
