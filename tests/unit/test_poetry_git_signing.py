"""Signing what git sends, against a stand-in for dulwich; the real one is exercised end to end."""

from __future__ import annotations

import base64
import re
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from indexpass._credential import Credential
from indexpass._secret import Secret
from indexpass.poetry_plugin.git_signing import send_signed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from requests import Response

URL = "https://forge.acme.example/git/demo.git/info/refs?service=git-upload-pack"


class HTTPUnauthorized(Exception):  # dulwich's name
    def __init__(self, www_authenticate: str | None, url: str) -> None:
        super().__init__("No valid credentials provided")
        self.www_authenticate = www_authenticate
        self.url = url


class GitProtocolError(Exception):
    """dulwich's, for every other answer."""


class Client:
    """Stands in for dulwich's client: refuses all secrets but one, and fails with ``failure`` if there is any."""

    def __init__(self, accepted: str = "first", failure: str = "") -> None:
        self.accepted = accepted
        self.failure = failure
        self.pool_manager = self
        self.headers: dict[str, str] = {"User-agent": "git/dulwich"}
        self.sent: list[tuple[str | None, object]] = []

    def __iter__(self) -> Iterator[str]:
        return iter(self.headers)

    def send(self, url: str, headers: Mapping[str, str] | None = None, data: object = None) -> str:
        authorization = {**self.headers, **(headers or {})}.get("Authorization")
        secret = None
        if authorization:
            secret = base64.b64decode(authorization.partition(" ")[2]).decode().partition(":")[2]
        self.sent.append((secret, data))
        if self.failure:
            raise GitProtocolError(self.failure)
        if secret != self.accepted:
            raise HTTPUnauthorized('Basic realm="git"', url)
        return "answer"


class Broker:
    """Stands in for ``answer``: one secret after the other, for this host alone."""

    def __init__(self, *secrets: str) -> None:
        self.secrets = list(secrets)
        self.refused: list[Secret] = []

    def __call__(self, url: str, *, refused: Secret | None = None) -> Credential | None:
        if not url.startswith("https://forge.acme.example/git/"):
            return None
        if refused:
            self.refused.append(refused)
            self.secrets = self.secrets[1:]
        return Credential("__token__", Secret(self.secrets[0]), 0.0, None) if self.secrets else None


class Words:
    """Stands in for ``Refusals``: remembers the URL and the secret that it was told of, and the statuses."""

    def __init__(self) -> None:
        self.is_hopeless = False
        self.statuses: list[int] = []
        self.told: list[tuple[str, str, bool]] = []

    def is_final(self, response: Response, credential: Credential) -> bool:  # noqa: ARG002  # the real one's shape
        return self.is_hopeless

    def tell(self, response: Response, credential: Credential, *, has_another: bool = False) -> None:
        self.statuses.append(response.status_code)
        assert response.headers.get("www-authenticate") == (
            'Basic realm="git"' if response.status_code == 401 else None
        )
        self.told.append((str(response.request.url), credential.secret.reveal(), has_another))


@pytest.fixture(autouse=True)
def dulwich(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("dulwich.client")
    module.HTTPUnauthorized = HTTPUnauthorized  # type: ignore[attr-defined]
    module.GitProtocolError = GitProtocolError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "dulwich", ModuleType("dulwich"))
    monkeypatch.setitem(sys.modules, "dulwich.client", module)


@pytest.fixture
def words() -> Words:
    return Words()


def send(client: Client, broker: Broker, words: Words, url: str = URL, data: object = None) -> object:
    return send_signed(Client.send, client, url, {"Accept": "*/*"}, data, answer=broker, refusals=words)


def test_a_request_to_a_repository_of_ours_carries_its_credential(words: Words) -> None:
    client = Client()
    assert (send(client, Broker("first"), words), client.sent) == ("answer", [("first", None)])


def test_a_request_to_any_other_host_carries_nothing(words: Words) -> None:
    client = Client()
    with pytest.raises(HTTPUnauthorized):
        send(client, Broker("first"), words, url="https://elsewhere.example/git/demo.git")
    assert (client.sent, words.told) == ([(None, None)], [])


@pytest.mark.parametrize("has", ["name", "header"])
def test_credentials_of_the_users_own_win(words: Words, has: str) -> None:
    client, broker = Client(), Broker("first")
    if has == "name":
        client._username = "me"  # type: ignore[attr-defined]
    else:
        client.headers["authorization"] = "Basic bWU6b3du"
    with pytest.raises(HTTPUnauthorized):
        send(client, broker, words)
    assert (client.sent[0][0] != "first", broker.refused, words.told) == (True, [], [])


@pytest.mark.parametrize("data", [None, b"want"], ids=["nothing", "bytes"])
def test_a_refused_credential_is_replaced_once(words: Words, data: bytes | None) -> None:
    client = Client(accepted="second")
    send(client, Broker("first", "second"), words, data=data)
    assert (client.sent, words.told) == ([("first", data), ("second", data)], [])


def test_the_second_refusal_is_final_and_told(words: Words) -> None:
    client = Client(accepted="third")
    with pytest.raises(HTTPUnauthorized):
        send(client, Broker("first", "second", "third"), words)
    assert (len(client.sent), words.told) == (2, [(URL, "second", False)])


def test_a_stream_is_never_sent_twice(words: Words) -> None:
    client = Client(accepted="second")
    with pytest.raises(HTTPUnauthorized):
        send(client, Broker("first", "second"), words, data=iter([b"want"]))
    assert (len(client.sent), words.told) == (1, [(URL, "first", True)])


def test_where_no_other_credential_can_be_had_that_has_been_told_already(words: Words) -> None:
    client = Client(accepted="second")
    with pytest.raises(HTTPUnauthorized):
        send(client, Broker("first"), words)
    assert (len(client.sent), words.told) == (1, [])


def test_a_refusal_that_no_other_credential_would_mend_is_told_and_costs_none(words: Words) -> None:
    words.is_hopeless = True
    client, broker = Client(accepted="second"), Broker("first", "second")
    with pytest.raises(HTTPUnauthorized):
        send(client, broker, words)
    assert (words.told, broker.refused) == ([(URL, "first", False)], [])


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        pytest.param(f"unexpected http resp 403 for {URL}", 403, id="forbidden"),
        pytest.param(f"unexpected http resp 502 for {URL}", 502, id="broken"),
        pytest.param("connection reset, not unexpected http resp 403 for", 0, id="no-answer"),
    ],
)
def test_any_other_failure_is_raised_on_told_by_its_status_and_not_tried_again(
    words: Words, failure: str, status: int
) -> None:
    client, broker = Client(failure=failure), Broker("first", "second")
    with pytest.raises(GitProtocolError, match=re.escape(failure)):
        send(client, broker, words)
    assert (len(client.sent), broker.refused, words.statuses) == (1, [], [status])


def test_what_newer_releases_of_dulwich_add_is_passed_on(words: Words) -> None:
    seen: dict[str, object] = {}

    def newer(_: object, url: str, headers: object, data: object, **more: object) -> str:  # noqa: ARG001  # dulwich's
        seen.update(more)
        return "answer"

    send_signed(newer, Client(), URL, answer=Broker("first"), refusals=words, raise_for_status=False)
    assert seen == {"raise_for_status": False}
