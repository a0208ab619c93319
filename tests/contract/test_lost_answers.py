"""A broker goes away between a question and its answer: the client asks once more, and nothing is lost or had twice."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import jwt
import pytest

from indexpass._http import HttpClient
from indexpass._model import Answer, Context, IdentityToken, Index, Session
from indexpass._secret import Secret
from indexpass._sessions import FileSessions
from indexpass._url import IndexUrl
from indexpass.errors import BrokerRefused, BrokerUnreachable
from indexpass.providers.broker import BrokerProvider

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from servers.brokers import RunningBroker, StartBroker
    from servers.issuers import Issuer
    from servers.raw import RawServer


class Network:
    """Loses the first ``lost`` answers of the token endpoint: the broker has sent them, the client never sees them.

    With ``before``, the questions are lost already. Both raise ``failure``.
    """

    def __init__(self, lost: int = 1, *, before: bool = False, failure: Callable[[], Answer] | None = None) -> None:
        self._http = HttpClient()
        self._lost = lost
        self._before = before
        self._fail = failure or cut_off
        self.asked = 0

    def get_json(self, url: str, *, authorization: Secret | None = None) -> Answer:
        return self._http.get_json(url, authorization=authorization)

    def post_form(self, url: str, form: Mapping[str, str | Secret], *, authorization: Secret | None = None) -> Answer:
        self.asked += 1
        is_lost = self.asked <= self._lost
        if is_lost and self._before:
            return self._fail()
        answer = self._http.post_form(url, form, authorization=authorization)
        return self._fail() if is_lost else answer

    def try_credential(self, url: str, credential: object) -> Answer:
        raise AssertionError((url, credential))


def cut_off() -> Answer:
    raise BrokerUnreachable("the broker cannot be reached", is_cut_off=True)


def time_out() -> Answer:
    raise BrokerUnreachable("the broker did not answer in time")


class Client:
    """A machine with one index."""

    def __init__(self, broker: RunningBroker, folder: Path, proofs: list[Secret]) -> None:
        self.broker = broker
        self.sessions = FileSessions(folder / "sessions")
        self._index = Index("acme", IndexUrl.parse(broker.index), options=MappingProxyType({"broker": broker.url}))
        self._proofs = proofs

    def sign_in(self) -> None:
        """Sign alice in, and keep her session."""
        token = Secret(self.broker.sign_in()["refresh_token"])
        self.sessions.save(Session(self.broker.url, "alice", token))

    def issue(self, network: Network) -> Secret:
        context = Context(network, self.sessions, self._identify, self.broker.clock)
        return BrokerProvider().issue(self._index, "read", context).secret

    def _identify(self, _audience: str) -> IdentityToken | None:
        """Return the next proof, and the last one again and again."""
        proofs = self._proofs
        return IdentityToken(proofs.pop(0) if len(proofs) > 1 else proofs[0], "THE_CI") if proofs else None


@pytest.fixture
def person(start_broker: StartBroker, tmp_path: Path) -> Client:
    client = Client(start_broker(), tmp_path, [])
    client.sign_in()
    return client


@pytest.fixture
def once(start_broker: StartBroker, issuer: Issuer) -> RunningBroker:
    """A broker that takes each identity token once."""
    return start_broker(issuer.reading_policy)


@pytest.mark.parametrize("before", [True, False], ids=["question", "answer"])
@pytest.mark.parametrize("failure", [cut_off, lambda: Answer(502, None)], ids=["connection", "proxy"])
def test_a_lost_exchange_of_a_session_is_made_again(
    person: Client, failure: Callable[[], Answer], *, before: bool
) -> None:
    network = Network(before=before, failure=failure)
    secret = person.issue(network)
    assert person.broker.get("/simple/", secret.reveal()).status_code == 200
    assert network.asked == 2
    person.broker.clock.advance(3600)
    assert person.issue(Network(0)) != secret  # the session goes on


def test_a_lost_exchange_of_an_identity_token_is_made_again_where_tokens_are_good_until_they_expire(
    start_broker: StartBroker, issuer: Issuer, tmp_path: Path
) -> None:
    broker = start_broker(issuer.policy("read", audience="{url}", replay="until-exp"))
    client = Client(broker, tmp_path, [issuer.token(aud=broker.url)])
    assert broker.get("/simple/", client.issue(Network()).reveal()).status_code == 200


def test_a_lost_exchange_is_made_again_with_another_identity_token_where_there_is_one(
    once: RunningBroker, issuer: Issuer, tmp_path: Path
) -> None:
    first, second = (issuer.token(aud=once.url, jti=name) for name in ("first", "second"))
    client = Client(once, tmp_path, [first, second])
    assert once.get("/simple/", client.issue(Network()).reveal()).status_code == 200
    assert once.exchange(second).status_code == 400  # it was used up


def test_an_identity_token_that_was_used_up_for_a_lost_answer_is_refused_with_words(
    once: RunningBroker, issuer: Issuer, tmp_path: Path
) -> None:
    client = Client(once, tmp_path, [issuer.token(aud=once.url)])
    with pytest.raises(BrokerRefused, match="was used before"):
        client.issue(Network())


def test_an_identity_token_whose_question_was_lost_is_as_good_as_new(
    once: RunningBroker, issuer: Issuer, tmp_path: Path
) -> None:
    client = Client(once, tmp_path, [issuer.token(aud=once.url)])
    secret = client.issue(Network(before=True))
    assert jwt.decode(secret.reveal(), options={"verify_signature": False})["aud"] == once.index


def test_a_broker_that_stays_away_is_asked_twice(person: Client) -> None:
    network = Network(5)
    with pytest.raises(BrokerUnreachable):
        person.issue(network)
    assert network.asked == 2


@pytest.mark.parametrize(
    "failure",
    [time_out, lambda: Answer(503, None, 30.0), lambda: Answer(504, None), lambda: Answer(429, None, 30.0)],
    ids=["silence", "503", "504", "429"],
)
def test_a_broker_that_is_slow_or_says_later_is_asked_once(person: Client, failure: Callable[[], Answer]) -> None:
    network = Network(5, failure=failure)
    with pytest.raises(BrokerUnreachable):
        person.issue(network)
    assert network.asked == 1


@pytest.mark.parametrize(
    ("pieces", "is_cut_off"),
    [([], True), ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"], True), (None, False)],
    ids=["hangs-up", "hangs-up-half-way", "silence"],
)
def test_a_connection_that_breaks_is_told_from_silence(
    raw_server: RawServer, pieces: list[bytes] | None, *, is_cut_off: bool
) -> None:
    raw_server.pieces = raw_server.trickle() if pieces is None else pieces
    with pytest.raises(BrokerUnreachable) as caught:
        HttpClient(total_seconds=1.0).post_form(f"{raw_server.url}/oauth/token", {"a": "b"})
    assert caught.value.is_cut_off is is_cut_off
