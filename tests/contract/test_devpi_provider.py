"""The provider for devpi, against the real server, and against servers that answer as it would not."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from indexpass._http import HttpClient
from indexpass._model import Context, Credential, Index, Session, SignIn, SignInByTyping
from indexpass._secret import Secret
from indexpass._sessions import FileSessions
from indexpass._url import IndexUrl
from indexpass.errors import (
    BrokerError,
    BrokerMisbehaved,
    BrokerRefused,
    BrokerUnreachable,
    ConfigError,
    SessionError,
)
from indexpass.providers.devpi import DevpiProvider
from indexpass.testing import FakePlatform, ProviderContract, Reply, Subject
from servers.devpi import PASSWORD

if TYPE_CHECKING:
    from pathlib import Path

    from servers.devpi import Devpi
    from servers.raw import RawServer

NOW = 1_790_000_000.0


class Desk:
    """Alice at her machine."""

    def __init__(self, url: str, folder: Path) -> None:
        self.folder = folder
        self.index = Index("acme", IndexUrl.parse(url), provider="devpi", options=MappingProxyType({}))
        self.now = NOW
        self.asked: list[str] = []
        self.context = Context(
            http=HttpClient(),
            sessions=FileSessions(folder / "sessions"),
            identify=lambda _: None,
            now=lambda: self.now,
        )

    def _type(self, words: str, line: str) -> str:
        self.asked.append(words)
        return line

    def sign_in(self, password: str = PASSWORD) -> tuple[Session, Credential]:
        return DevpiProvider().sign_in_by_typing(
            self.index,
            self.context,
            ask=lambda words: self._type(words, "alice"),
            ask_secret=lambda words: Secret(self._type(words, password)),
        )

    def issue(self) -> Credential:
        return DevpiProvider().issue(self.index, "read", self.context)


@pytest.fixture
def desk(devpi: Devpi, tmp_path: Path) -> Desk:
    return Desk(devpi.index, tmp_path)


@pytest.fixture
def lied_to(raw_server: RawServer, tmp_path: Path) -> Desk:
    return Desk(f"{raw_server.url}/alice/dev/+simple/", tmp_path)


class TestContract(ProviderContract):
    max_requests = 0

    @pytest.fixture
    def subject(self, tmp_path: Path) -> Subject:
        said = {"result": {"password": "a-token-of-devpi", "expiration": 36_000}}
        with FakePlatform(lambda _: Reply(200, said)) as platform:
            alice = Desk(f"{platform.url}/alice/dev/+simple/", tmp_path)
            alice.sign_in()
        return Subject(DevpiProvider(), alice.index, alice.context)


def test_people_type_a_password_and_do_not_sign_in_by_browser() -> None:
    assert isinstance(DevpiProvider(), SignInByTyping)
    assert not isinstance(DevpiProvider(), SignIn)


def test_the_token_of_a_login_uploads_at_the_real_server(desk: Desk, devpi: Devpi) -> None:
    _, credential = desk.sign_in()
    assert devpi.upload("", "") in {401, 403}
    assert devpi.upload(credential.username, credential.secret.reveal()) == 200


def test_the_token_is_good_for_ten_hours(desk: Desk) -> None:
    _, credential = desk.sign_in()
    assert (credential.issued_at, credential.expires_at) == (NOW, NOW + 36_000)


def test_a_login_issues_the_same_token_until_it_ends(desk: Desk) -> None:
    _, credential = desk.sign_in()
    desk.now += 35_000
    again = desk.issue()
    assert (again.username, again.secret, again.expires_at) == ("alice", credential.secret, NOW + 36_000)


def test_a_login_that_has_ended_is_not_handed_out_and_the_hint_is_the_command(desk: Desk) -> None:
    desk.sign_in()
    desk.now += 35_990
    with pytest.raises(SessionError, match="has ended") as caught:
        desk.issue()
    assert caught.value.hint == "indexpass login acme"
    assert DevpiProvider().session(desk.index, desk.context) is None


def test_where_nobody_is_logged_in_the_hint_is_the_command(desk: Desk) -> None:
    with pytest.raises(SessionError, match="nobody is logged in") as caught:
        desk.issue()
    assert caught.value.hint == "indexpass login acme"


def test_the_password_is_kept_nowhere(desk: Desk) -> None:
    desk.sign_in()
    kept = [path.read_bytes() for path in desk.folder.rglob("*") if path.is_file()]
    assert kept
    assert not any(PASSWORD.encode() in data for data in kept)


def test_one_login_serves_all_indexes_of_a_server(desk: Desk, devpi: Devpi) -> None:
    session, _ = desk.sign_in()
    other = desk.index._replace(url=IndexUrl.parse(f"{devpi.url}root/other/+simple/"))
    assert DevpiProvider().session(other, desk.context) == session


def test_a_user_name_in_the_settings_is_not_asked_for(desk: Desk) -> None:
    desk.index = desk.index._replace(options=MappingProxyType({"username": "alice"}))
    desk.sign_in()
    assert [words.split()[0] for words in desk.asked] == ["Password"]


def test_a_wrong_password_is_refused_and_keeps_nothing(desk: Desk) -> None:
    with pytest.raises(BrokerRefused, match="could not be authenticated") as caught:
        desk.sign_in("wrong-pass-83b1")
    assert "wrong-pass-83b1" not in f"{caught.value!r} {caught.value.hint}"
    assert DevpiProvider().session(desk.index, desk.context) is None


def test_signing_out_forgets_the_token(desk: Desk) -> None:
    session, _ = desk.sign_in()
    assert DevpiProvider().sign_out(desk.index, desk.context) == session
    assert DevpiProvider().sign_out(desk.index, desk.context) is None


@pytest.mark.parametrize("path", ["", "alice/dev/", "+simple/", "dev/+simple/", "alice/dev/simple/"])
def test_what_is_no_page_of_a_devpi_index_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(ConfigError, match="not the page of a devpi index"):
        Desk(f"https://devpi.acme.example/{path}", tmp_path).sign_in()


def test_a_server_below_a_path_is_found_there(desk: Desk, devpi: Devpi) -> None:
    desk.index = desk.index._replace(url=IndexUrl.parse(f"{devpi.url}proxied/alice/dev/+simple/"))
    with pytest.raises(BrokerMisbehaved, match=f"{devpi.url}proxied/ does not answer as a devpi server"):
        desk.sign_in()


@pytest.mark.parametrize(
    ("head", "body", "kind"),
    [
        pytest.param("503 Busy\r\nRetry-After: 9", "{}", BrokerUnreachable, id="busy"),
        pytest.param("302 Found\r\nLocation: https://evil.example/", "", BrokerMisbehaved, id="a-redirect"),
        pytest.param("200 OK", "<html>", BrokerMisbehaved, id="a-page"),
        pytest.param("200 OK", '{"result": []}', BrokerMisbehaved, id="a-list"),
        pytest.param("200 OK", '{"result": {"password": 7}}', BrokerMisbehaved, id="a-number"),
        pytest.param("200 OK", '{"result": {"password": "t", "expiration": -1}}', BrokerMisbehaved, id="over"),
        pytest.param("401 No", "[]", BrokerRefused, id="a-refusal-without-words"),
    ],
)
def test_whatever_else_is_answered_keeps_nothing(
    lied_to: Desk, raw_server: RawServer, head: str, body: str, kind: type[BrokerError]
) -> None:
    raw_server.pieces = [f"HTTP/1.1 {head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()]
    with pytest.raises(kind):
        lied_to.sign_in()
    assert DevpiProvider().session(lied_to.index, lied_to.context) is None


def test_a_session_that_is_damaged_counts_as_ended(desk: Desk, devpi: Devpi) -> None:
    desk.context.sessions.save(Session(devpi.url, "alice", Secret("no-number")))
    with pytest.raises(SessionError, match="has ended"):
        desk.issue()
