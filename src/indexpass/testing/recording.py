"""The way out of a provider under test: it notes what goes where, and can answer in a platform's place.

What is noted of a request holds its secrets apart from its words, so that a test can look for the one in the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from indexpass._secret import Secret

if TYPE_CHECKING:
    from indexpass._model import Answer, ApiHttp, Credential
    from indexpass.errors import IndexpassError


class Sent(NamedTuple):
    """A request: its ``words`` are the URL and all texts of its headers and body that are not Secrets."""

    method: str
    url: str
    words: tuple[str, ...]
    secrets: tuple[Secret, ...]

    @property
    def origin(self) -> str:
        """Scheme, host and port, as they were asked for."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"


class RecordingHttp:
    """Notes what is ``sent`` through another way out; implements ApiHttp."""

    def __init__(self, http: ApiHttp) -> None:
        """Send nothing yet."""
        self.sent: list[Sent] = []
        self._http = http
        self._failure: Answer | IndexpassError | None = None
        self._good = 0

    def fail(self, failure: Answer | IndexpassError, *, after: int = 0) -> None:
        """From now on, answer every request but the first ``after`` ones by ``failure``, without sending it."""
        self._failure, self._good = failure, after

    def get_json(self, url: str, *, authorization: Secret | None = None) -> Answer:
        """Ask, as :class:`indexpass._model.Http` describes."""
        self._note("GET", url, authorization)
        return self._failed() or self._http.get_json(url, authorization=authorization)

    def post_form(self, url: str, form: Mapping[str, str | Secret], *, authorization: Secret | None = None) -> Answer:
        """Ask, as :class:`indexpass._model.Http` describes."""
        self._note("POST", url, authorization, form)
        return self._failed() or self._http.post_form(url, form, authorization=authorization)

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str | Secret] = MappingProxyType({}),
        json: Mapping[str, object] | None = None,
    ) -> Answer:
        """Ask, as :class:`indexpass._model.ApiHttp` describes."""
        self._note(method, url, headers, json)
        return self._failed() or self._http.send(method, url, headers=headers, json=json)

    def try_credential(self, url: str, credential: Credential) -> Answer:
        """Ask, as :class:`indexpass._model.Http` describes."""
        self._note("HEAD", url, credential.secret)
        return self._failed() or self._http.try_credential(url, credential)

    def _note(self, method: str, url: str, *parts: object) -> None:
        words, secrets = [url], list[Secret]()
        for part in parts:
            _sort(part, words, secrets)
        self.sent.append(Sent(method, url, tuple(words), tuple(secrets)))

    def _failed(self) -> Answer | None:
        if self._failure is None:
            return None
        if self._good:
            self._good -= 1
            return None
        if isinstance(self._failure, Exception):
            raise self._failure
        return self._failure


def _sort(part: object, words: list[str], secrets: list[Secret]) -> None:
    """Put the texts of ``part`` to the words, and its Secrets to the secrets."""
    if isinstance(part, Secret):
        secrets.append(part)
    elif isinstance(part, Mapping):
        for key, value in part.items():
            words.append(str(key))
            _sort(value, words, secrets)
    elif isinstance(part, (list, tuple)):
        for value in part:
            _sort(value, words, secrets)
    elif part is not None:
        words.append(str(part))
