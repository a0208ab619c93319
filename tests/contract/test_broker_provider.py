"""The client's broker provider against a real broker, and against brokers that lie."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import jwt
import pytest

from indexpass import _registry
from indexpass._http import HttpClient
from indexpass._model import Answer, Context, IdentityToken, Index, Invitation, Operation, Provider, Session, SignIn
from indexpass._platforms import PLATFORMS
from indexpass._secret import Secret
from indexpass._sessions import FileSessions
from indexpass._url import IndexUrl
from indexpass.errors import BrokerError, BrokerMisbehaved, BrokerRefused, BrokerUnreachable, SessionError
from indexpass.providers.broker import BrokerProvider
from indexpass.testing import (
    ExchangeContract,
    FakeBroker,
    FakeIdentity,
    FakeIndex,
    MemorySessions,
    PlatformContract,
    Subject,
    make_context,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from servers.brokers import RunningBroker, StartBroker
    from servers.issuers import Issuer

TOKENS = "https://tokens.acme.example"


class Client:
    """A machine with one index configured, and the person in front of it."""

    def __init__(self, broker: RunningBroker, folder: Path) -> None:
        self.broker = broker
        self.index = Index("acme", IndexUrl.parse(broker.index), options=MappingProxyType({"broker": broker.url}))
        self.sessions = FileSessions(folder / "sessions")
        self.identity: Secret | None = None
        self.context = Context(
            http=HttpClient(),
            sessions=self.sessions,
            identify=self._identify,
            now=broker.clock,
        )
        self.invitations: list[Invitation] = []

    def _identify(self, audience: str) -> IdentityToken | None:
        assert audience == self.broker.url
        return IdentityToken(self.identity, "THE_CI") if self.identity else None

    def issue(self, operation: Operation = "read") -> Secret:
        return BrokerProvider().issue(self.index, operation, self.context).secret

    def sign_in(self, *, approved: bool | None = True) -> tuple[Session, Secret]:
        """Sign in as alice, who approves, denies, or (None) does nothing."""

        def show(invitation: Invitation) -> None:
            self.invitations.append(invitation)
            if approved is not None:
                self.broker.decide(invitation.code, approved=approved)

        session, credential = BrokerProvider().sign_in(
            self.index, self.context, show=show, wait=self.broker.clock.advance
        )
        return session, credential.secret

    def opens(self, secret: Secret) -> bool:
        return self.broker.get("/simple/", secret.reveal()).status_code == 200


def scope_of(secret: Secret) -> str:
    return str(jwt.decode(secret.reveal(), options={"verify_signature": False})["scope"])


@pytest.fixture
def client(start_broker: StartBroker, tmp_path: Path) -> Client:
    return Client(start_broker(), tmp_path)


@pytest.fixture
def machine(start_broker: StartBroker, issuer: Issuer, tmp_path: Path) -> Client:
    """A machine that runs in CI, whose identity token the broker trusts."""
    client = Client(start_broker(issuer.reading_policy), tmp_path)
    client.identity = issuer.token(aud=client.broker.url)
    return client


@pytest.mark.parametrize("name", PLATFORMS)
def test_every_provider_in_the_table_can_be_loaded(name: str) -> None:
    provider: Provider = _registry.provider_for(Index("acme", IndexUrl.parse("https://a.example/"), provider=name))
    assert callable(provider.issue)


def test_people_sign_in_at_the_broker_provider() -> None:
    assert isinstance(BrokerProvider(), SignIn)


class TestContractOfMachines(ExchangeContract):
    write_mark = "pypi:write"

    @pytest.fixture
    def subject(self) -> Iterator[Subject]:
        with FakeBroker() as broker, FakeIndex(broker) as index:
            context = make_context(identify=FakeIdentity())
            yield Subject(BrokerProvider(), index.as_index(), context, frozenset({broker.url}))


class TestContractOfPeople(PlatformContract):
    write_mark = "pypi:write"

    @pytest.fixture
    def subject(self) -> Iterator[Subject]:
        with FakeBroker() as broker, FakeIndex(broker) as index:
            sessions = MemorySessions()
            sessions.save(broker.sign_in())
            context = make_context(sessions=sessions)
            yield Subject(BrokerProvider(), index.as_index(), context, frozenset({broker.url}))


# People


def test_an_approved_sign_in_yields_a_credential_that_opens_the_index(client: Client) -> None:
    _, secret = client.sign_in()
    assert client.opens(secret)


def test_an_approved_sign_in_keeps_the_session(client: Client) -> None:
    session, _ = client.sign_in()
    assert session.user == "alice"
    assert client.sessions.load(client.broker.url) == session


def test_the_invitation_is_a_page_of_the_broker_with_the_code_filled_in(client: Client) -> None:
    client.sign_in()
    (invitation,) = client.invitations
    assert invitation.url.startswith(f"{client.broker.url}/")
    assert invitation.direct_url.startswith(invitation.url)
    assert invitation.code in invitation.direct_url
    assert invitation.expires_in > 0


def test_a_denied_sign_in_is_refused_and_keeps_nothing(client: Client) -> None:
    with pytest.raises(BrokerRefused, match="was denied"):
        client.sign_in(approved=False)
    assert client.sessions.load(client.broker.url) is None


def test_a_sign_in_that_nobody_decides_ends(client: Client) -> None:
    with pytest.raises(SessionError, match="nobody approved"):
        client.sign_in(approved=None)


def test_a_session_yields_credentials_again_and_again(client: Client) -> None:
    client.sign_in()
    assert all(client.opens(client.issue()) for _ in range(3))


def test_the_successor_of_a_refresh_token_is_kept(client: Client) -> None:
    session, _ = client.sign_in()
    client.issue()
    kept = client.sessions.load(client.broker.url)
    assert kept is not None
    assert (kept.user, kept.refresh_token == session.refresh_token) == ("alice", False)


@pytest.mark.parametrize(("operation", "scope"), [("read", "pypi:read"), ("upload", "pypi:write")])
def test_a_credential_is_for_one_operation(client: Client, operation: Operation, scope: str) -> None:
    client.sign_in()
    assert scope_of(client.issue(operation)) == scope


def test_a_credential_knows_when_it_was_issued_and_when_it_expires(client: Client) -> None:
    client.sign_in()
    before = client.broker.clock()
    credential = BrokerProvider().issue(client.index, "read", client.context)
    assert credential.expires_at is not None
    assert before <= credential.issued_at <= client.broker.clock()
    assert credential.expires_at - credential.issued_at == pytest.approx(3600)


def test_a_credential_has_the_user_name_that_every_client_knows(client: Client) -> None:
    client.sign_in()
    assert BrokerProvider().issue(client.index, "read", client.context).username == "__token__"


def test_without_a_session_the_hint_is_the_command(client: Client) -> None:
    with pytest.raises(SessionError, match="nobody is signed in") as caught:
        client.issue()
    assert caught.value.hint == "indexpass login acme"


def test_a_session_that_has_ended_is_forgotten_and_the_hint_is_the_command(client: Client) -> None:
    session, _ = client.sign_in()
    client.broker.post("/oauth/revoke", client_id="indexpass", token=session.refresh_token.reveal())
    with pytest.raises(SessionError, match="has ended") as caught:
        client.issue()
    assert caught.value.hint == "indexpass login acme"
    assert client.sessions.load(client.broker.url) is None


def test_a_denial_by_policy_does_not_end_the_session(start_broker: StartBroker, tmp_path: Path) -> None:
    broker = start_broker('[[index]]\nname = "closed"\nurl = "https://closed.example/simple/"\n')
    client = Client(broker, tmp_path)
    client.sign_in()
    closed = client.index._replace(url=IndexUrl.parse("https://closed.example/simple/"))
    with pytest.raises(BrokerRefused) as caught:
        BrokerProvider().issue(closed, "read", client.context)
    assert "policy" in caught.value.hint
    assert client.opens(client.issue())


def test_signing_out_ends_the_session_there_and_here(client: Client) -> None:
    session, _ = client.sign_in()
    secret = client.issue()
    signed_out = BrokerProvider().sign_out(client.index, client.context)
    assert signed_out is not None
    assert client.sessions.load(client.broker.url) is None
    assert client.broker.refresh(session.refresh_token.reveal()).json()["error"] == "invalid_grant"
    assert not client.opens(secret)


def test_signing_out_where_nobody_is_signed_in_is_none(client: Client) -> None:
    assert BrokerProvider().sign_out(client.index, client.context) is None


def test_the_session_of_an_index_is_the_one_at_its_broker(client: Client) -> None:
    session, _ = client.sign_in()
    assert BrokerProvider().session(client.index, client.context) == session


# Machines


def test_a_machine_trades_its_identity_token_and_needs_no_session(machine: Client) -> None:
    assert machine.opens(machine.issue())
    assert machine.sessions.load(machine.broker.url) is None


def test_a_machine_is_not_a_person_although_one_is_signed_in(machine: Client) -> None:
    session, _ = machine.sign_in()
    machine.issue()
    assert machine.sessions.load(machine.broker.url) == session


def test_a_refused_machine_is_told_what_proved_it_and_whom_to_ask(machine: Client) -> None:
    with pytest.raises(BrokerRefused, match="THE_CI") as caught:
        machine.issue("upload")  # no policy of the machine allows that
    assert f"a policy that allows upload on {machine.broker.index}" in caught.value.hint


def test_a_machine_whose_identity_token_was_used_up_is_told_to_get_a_new_one(machine: Client) -> None:
    machine.issue()
    with pytest.raises(BrokerRefused, match="used before") as caught:
        machine.issue()
    assert f"a new identity token, made for the audience {machine.broker.url}" in caught.value.hint


def test_a_machine_whose_identity_token_is_for_somebody_else_is_told_so(machine: Client, issuer: Issuer) -> None:
    machine.identity = issuer.token(aud="https://elsewhere.example")
    with pytest.raises(BrokerRefused) as caught:
        machine.issue()
    assert caught.value.hint.endswith("(this one was made for another)")


def test_the_audience_of_identity_tokens_can_be_another_than_the_broker(client: Client) -> None:
    asked: list[str] = []
    options = {"broker": client.broker.url, "audience": "api://acme"}
    context = client.context._replace(identify=asked.append)
    with pytest.raises(SessionError):
        BrokerProvider().issue(client.index._replace(options=MappingProxyType(options)), "read", context)
    assert asked == ["api://acme"]


def test_a_refusal_does_not_repeat_the_identity_token(machine: Client, issuer: Issuer) -> None:
    machine.identity = issuer.token(aud="https://elsewhere.example")
    with pytest.raises(BrokerRefused) as caught:
        machine.issue()
    assert machine.identity.reveal() not in f"{caught.value!r} {caught.value.hint} {caught.value.__cause__!r}"


# Brokers that are elsewhere, or lie


def test_a_broker_under_another_name_than_its_own_is_not_believed(client: Client) -> None:
    elsewhere = client.broker.url.replace("127.0.0.1", "localhost")
    index = client.index._replace(options=MappingProxyType({"broker": elsewhere}))
    client.sessions.save(Session(elsewhere, "eve", Secret("r")))
    with pytest.raises(BrokerMisbehaved, match="another broker"):
        BrokerProvider().issue(index, "read", client.context._replace(identify=lambda _: None))


class LyingBroker:
    """Answers what it is told to, in order, after its metadata; remembers which form was sent where."""

    def __init__(self, *answers: Answer, **metadata: str) -> None:
        self.answers = list(answers)
        self.metadata = {
            "issuer": TOKENS,
            "token_endpoint": f"{TOKENS}/token",
            "device_authorization_endpoint": f"{TOKENS}/device",
            "revocation_endpoint": f"{TOKENS}/revoke",
            "jwks_uri": f"{TOKENS}/keys",
            **metadata,
        }
        self.asked: list[str] = []

    def get_json(self, url: str) -> Answer:
        assert url == f"{TOKENS}/.well-known/oauth-authorization-server"
        return Answer(200, self.metadata)

    def post_form(self, url: str, form: Mapping[str, str | Secret]) -> Answer:
        assert form["client_id"]
        self.asked.append(url)
        return self.answers.pop(0)


def device(**changes: object) -> Answer:
    uri = f"{TOKENS}/device"
    return Answer(200, {"device_code": "d", "user_code": "AB-CD", "verification_uri": uri, "interval": 5, **changes})


def refused(reason: str) -> Answer:
    return Answer(400, {"error": reason})


GRANTED = Answer(200, {"access_token": "t", "token_type": "Bearer", "expires_in": 60, "refresh_token": "r"})
LIED_TO = Index("acme", IndexUrl.parse("https://a.example/simple/"), options=MappingProxyType({"broker": TOKENS}))


def lied_to(broker: LyingBroker, folder: Path) -> Context:
    sessions = FileSessions(folder / "sessions")
    return Context(http=broker, sessions=sessions, identify=lambda _: None, now=lambda: 0.0)


def sign_in(broker: LyingBroker, folder: Path, wait: Callable[[float], None] = lambda _: None) -> Session:
    return BrokerProvider().sign_in(LIED_TO, lied_to(broker, folder), show=lambda _: None, wait=wait)[0]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"verification_uri": "https://evil.test/device"}, id="page"),
        pytest.param({"verification_uri_complete": "https://evil.test/device?code=AB-CD"}, id="page-with-the-code"),
        pytest.param({"verification_uri": f"{TOKENS}:8443/device"}, id="another-port"),
    ],
)
def test_nobody_is_sent_to_sign_in_on_another_site(tmp_path: Path, changes: dict[str, object]) -> None:
    broker = LyingBroker(device(**changes), GRANTED)
    with pytest.raises(BrokerMisbehaved, match="another site"):
        sign_in(broker, tmp_path)


@pytest.mark.parametrize(
    "endpoint", ["token_endpoint", "device_authorization_endpoint", "revocation_endpoint", "jwks_uri"]
)
def test_nothing_is_sent_to_an_endpoint_on_another_host(tmp_path: Path, endpoint: str) -> None:
    broker = LyingBroker(**{endpoint: "https://evil.test/"})
    context = lied_to(broker, tmp_path)
    context.sessions.save(Session(TOKENS, "eve", Secret("r")))
    with pytest.raises(BrokerMisbehaved, match="on another host"):
        BrokerProvider().issue(LIED_TO, "read", context)
    assert broker.asked == []


def test_a_broker_that_asks_to_slow_down_is_asked_more_slowly_from_then_on(tmp_path: Path) -> None:
    answers = (refused("authorization_pending"), refused("slow_down"), refused("authorization_pending"), GRANTED)
    waited: list[float] = []
    sign_in(LyingBroker(device(), *answers), tmp_path, waited.append)
    assert waited == [5, 5, 10, 10]


AWAY = Answer(502, None)


def test_a_broker_that_is_away_for_a_moment_ends_no_sign_in_and_is_asked_more_slowly(tmp_path: Path) -> None:
    broker = LyingBroker(device(), AWAY, AWAY, refused("authorization_pending"), AWAY, GRANTED)
    waited: list[float] = []
    assert sign_in(broker, tmp_path, waited.append).broker == TOKENS
    assert waited == [5, 10, 15, 15, 20]


def test_a_broker_that_stays_away_ends_the_sign_in(tmp_path: Path) -> None:
    broker = LyingBroker(device(), AWAY, AWAY, AWAY, AWAY, GRANTED)
    with pytest.raises(BrokerUnreachable):
        sign_in(broker, tmp_path)


def test_a_sign_in_that_yields_no_session_is_refused(tmp_path: Path) -> None:
    answer = Answer(200, {"access_token": "t", "token_type": "Bearer", "expires_in": 60})
    with pytest.raises(BrokerMisbehaved, match="did not start a session"):
        sign_in(LyingBroker(device(), answer), tmp_path)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(503, None, 7.0), id="busy"),
        pytest.param(Answer(200, None), id="no-json"),
        pytest.param(refused("invalid_client"), id="refused"),
    ],
)
def test_a_session_outlives_every_failure_but_its_own_end(tmp_path: Path, answer: Answer) -> None:
    context = lied_to(LyingBroker(answer), tmp_path)
    session = Session(TOKENS, "eve", Secret("r"))
    context.sessions.save(session)
    with pytest.raises(BrokerError):
        BrokerProvider().issue(LIED_TO, "read", context)
    assert context.sessions.load(TOKENS) == session


def test_how_long_a_busy_broker_wants_to_be_left_alone_is_kept(tmp_path: Path) -> None:
    context = lied_to(LyingBroker(Answer(503, None, 7.0)), tmp_path)
    context.sessions.save(Session(TOKENS, "eve", Secret("r")))
    with pytest.raises(BrokerUnreachable) as caught:
        BrokerProvider().issue(LIED_TO, "read", context)
    assert caught.value.retry_after == 7.0


def test_a_sign_out_that_is_not_confirmed_is_said_and_the_session_is_gone_from_here(tmp_path: Path) -> None:
    context = lied_to(LyingBroker(Answer(500, None)), tmp_path)
    context.sessions.save(Session(TOKENS, "eve", Secret("r")))
    with pytest.raises(BrokerUnreachable, match="did not confirm"):
        BrokerProvider().sign_out(LIED_TO, context)
    assert context.sessions.load(TOKENS) is None
