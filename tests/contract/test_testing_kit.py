"""The public test kit: its doubles behave as what they stand for, and its contracts notice what is wrong."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import requests

from indexpass._metadata import RESOURCE_METADATA_PATH, ResourceMetadata
from indexpass._model import Answer, Credential, IdentityToken
from indexpass._secret import Secret
from indexpass._url import IndexUrl
from indexpass.errors import (
    BrokerError,
    BrokerMisbehaved,
    BrokerRefused,
    BrokerUnreachable,
    ConfigError,
    IdentityError,
    IndexpassError,
    SessionError,
)
from indexpass.providers.broker import BrokerProvider
from indexpass.testing import (
    NOW,
    ExchangeContract,
    FakeBroker,
    FakeIdentity,
    FakeIndex,
    FakePlatform,
    MemorySessions,
    RecordingHttp,
    Reply,
    Subject,
    Trial,
    make_context,
    make_index,
)
from indexpass.testing.contracts import require_hidden

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from indexpass._model import Context, Index, Operation, Session

# The broker


@pytest.fixture
def broker() -> Iterator[FakeBroker]:
    with FakeBroker() as running:
        yield running


@pytest.fixture
def index(broker: FakeBroker) -> Iterator[FakeIndex]:
    with FakeIndex(broker) as running:
        yield running


class Machine:
    """A machine with the double's index configured."""

    def __init__(self, index: FakeIndex) -> None:
        self.index = index.as_index()
        self.sessions = MemorySessions()
        self.identity = FakeIdentity(None)
        self.context = make_context(sessions=self.sessions, identify=self.identity, now=time.time)

    def issue(self, operation: Operation = "read") -> str:
        return BrokerProvider().issue(self.index, operation, self.context).secret.reveal()

    def sign_in(self) -> Session:
        session, _ = BrokerProvider().sign_in(self.index, self.context, show=lambda _: None, wait=lambda _: None)
        return session


@pytest.fixture
def machine(index: FakeIndex) -> Machine:
    return Machine(index)


def test_a_token_for_an_identity_token_opens_the_index_for_that_operation_alone(
    broker: FakeBroker, index: FakeIndex, machine: Machine
) -> None:
    machine.identity.token = "a.b.c"
    token = machine.issue("upload")
    assert broker.opens(index.index_url, token, "upload")
    assert not broker.opens(index.index_url, token)
    assert not broker.opens("https://elsewhere.example/simple/", token, "upload")


def test_a_token_is_no_good_when_its_life_is_over(index: FakeIndex) -> None:
    now = NOW
    with FakeBroker(life_seconds=60, now=lambda: now) as broker:
        index.accepts = broker
        machine = Machine(index)
        machine.identity.token = "a.b.c"
        token = machine.issue()
        assert broker.opens(index.index_url, token)
        now += 61
        assert not broker.opens(index.index_url, token)


def test_the_broker_counts_what_it_is_asked(broker: FakeBroker, machine: Machine) -> None:
    machine.identity.token = "a.b.c"
    machine.issue()
    machine.issue()
    assert broker.counts == {"metadata": 2, "exchange": 2}


def test_an_identity_token_that_the_test_does_not_believe_is_refused(broker: FakeBroker, machine: Machine) -> None:
    machine.identity.token, broker.believes = "a.b.c", lambda token: token == "d.e.f"
    with pytest.raises(BrokerRefused, match="believes"):
        machine.issue()


def test_a_session_goes_on_from_token_to_token(broker: FakeBroker, machine: Machine) -> None:
    first = broker.sign_in()
    machine.sessions.save(first)
    assert machine.issue() != machine.issue()
    assert machine.sessions.load(broker.url) != first


def test_a_refresh_token_that_is_shown_again_brings_the_same_successor_for_a_while_only(index: FakeIndex) -> None:
    now = NOW
    with FakeBroker(now=lambda: now) as broker:
        index.accepts = broker
        machine = Machine(index)
        first = broker.sign_in()
        machine.sessions.save(first)
        machine.issue()
        successor = machine.sessions.load(broker.url)
        machine.sessions.save(first)
        machine.issue()
        assert machine.sessions.load(broker.url) == successor
        machine.sessions.save(first)
        now += 31
        with pytest.raises(SessionError):
            machine.issue()


def test_a_session_that_the_broker_ended_is_over(broker: FakeBroker, machine: Machine) -> None:
    machine.sessions.save(broker.sign_in())
    broker.end_sessions()
    with pytest.raises(SessionError, match="has ended"):
        machine.issue()


def test_a_person_signs_in_by_a_code_and_out_again(broker: FakeBroker, machine: Machine) -> None:
    assert machine.sign_in().user == "alice"
    machine.issue()
    BrokerProvider().sign_out(machine.index, machine.context)
    assert (broker.counts["revoke"], machine.sessions.load(broker.url)) == (1, None)


def test_a_revoked_token_opens_nothing(broker: FakeBroker, index: FakeIndex, machine: Machine) -> None:
    machine.identity.token = "a.b.c"
    token = machine.issue()
    requests.post(f"{broker.url}/oauth/revoke", data={"token": token}, timeout=10)
    assert not broker.opens(index.index_url, token)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        pytest.param(Reply.refused(), BrokerRefused, id="refused"),
        pytest.param(Reply.throttled(7), BrokerUnreachable, id="throttled"),
        pytest.param(Reply.away(), BrokerUnreachable, id="away"),
        pytest.param(Reply(200, "<html>sign in</html>"), BrokerMisbehaved, id="a-page"),
        pytest.param(Reply(302, headers={"Location": "https://evil.example/"}), BrokerMisbehaved, id="a-redirect"),
    ],
)
def test_a_failure_that_is_ordered_comes_and_goes(
    broker: FakeBroker, machine: Machine, reply: Reply, error: type[BrokerError]
) -> None:
    machine.identity.token = "a.b.c"
    broker.fail(reply)
    with pytest.raises(error):
        machine.issue()
    broker.recover()
    assert machine.issue()


def test_a_failure_can_be_ordered_for_a_number_of_requests(broker: FakeBroker, machine: Machine) -> None:
    machine.identity.token = "a.b.c"
    broker.fail(Reply.throttled(7), times=1)
    with pytest.raises(BrokerUnreachable) as caught:
        machine.issue()
    assert caught.value.retry_after == 7
    assert machine.issue()


def test_a_broker_that_lies_is_not_believed(broker: FakeBroker, machine: Machine) -> None:
    machine.identity.token = "a.b.c"
    broker.lie(issuer="https://evil.example")
    with pytest.raises(BrokerMisbehaved, match="another broker"):
        machine.issue()


def test_a_double_that_is_slow_gives_up_its_answer_when_it_stops() -> None:
    before = set(threading.enumerate())
    with FakePlatform(lambda _: Reply(delay_seconds=600)) as platform, pytest.raises(requests.Timeout):
        requests.get(platform.url, timeout=0.2)
    assert len(platform.asked) == 1
    waiting = set(threading.enumerate()) - before
    for thread in waiting:
        thread.join(20)
    assert not any(thread.is_alive() for thread in waiting)


def test_a_double_says_in_each_answer_that_it_is_one(broker: FakeBroker) -> None:
    assert requests.get(f"{broker.url}/nothing", timeout=10).headers["Server"] == "indexpass.testing (a double)"


def test_a_double_takes_no_more_than_a_mebibyte(broker: FakeBroker) -> None:
    with requests.Session() as client:
        answer = client.post(f"{broker.url}/oauth/token", data=b"", headers={"Content-Length": "1048577"}, timeout=10)
    assert (answer.status_code, broker.asked) == (413, [])


# The index


def test_the_index_is_closed_without_a_credential_and_asks_for_one(index: FakeIndex) -> None:
    answer = requests.get(index.index_url, timeout=10)
    assert (answer.status_code, answer.headers["WWW-Authenticate"].split()[0]) == (401, "Basic")


@pytest.mark.parametrize(
    "accepts", [[("ci", "s3cret")], lambda name, secret: (name, secret) == ("ci", "s3cret")], ids=["list", "function"]
)
def test_the_index_serves_what_it_has_to_who_is_let_in(accepts: list[tuple[str, str]]) -> None:
    with FakeIndex(accepts) as index:
        file = index.add("Acme.Tools", "2.0", code="answer = 42\n")
        page = requests.get(f"{index.index_url}acme-tools/", auth=("ci", "s3cret"), timeout=10)
        assert f'href="/files/{file}#sha256=' in page.text
        wheel = requests.get(f"{index.url}/files/{file}", auth=("ci", "s3cret"), timeout=10)
        assert wheel.content.startswith(b"PK")
        assert requests.get(f"{index.url}/files/{file}", auth=("ci", "other"), timeout=10).status_code == 401
        assert (index.refused, len(index.asked)) == (1, 3)


def test_an_index_of_a_broker_says_which_one(broker: FakeBroker, index: FakeIndex) -> None:
    answer = requests.get(f"{index.url}{RESOURCE_METADATA_PATH}/simple", timeout=10)
    said = ResourceMetadata.parse(Answer(answer.status_code, answer.json()), resource=IndexUrl.parse(index.index_url))
    assert said.broker == broker.url


@pytest.mark.parametrize("double", [FakeBroker, lambda: FakeIndex([])], ids=["broker", "index"])
def test_a_double_that_has_not_begun_has_no_url(double: Callable[[], FakePlatform]) -> None:
    with pytest.raises(RuntimeError, match="with block"):
        _ = double().url


def test_what_a_double_was_asked_does_not_show_its_credential(index: FakeIndex) -> None:
    requests.get(index.index_url, auth=("ci", "canary-5e1f"), timeout=10)
    assert "canary" not in repr(index.asked)


# The contracts


class Good:
    """A provider as it should be; each of those below breaks one claim."""

    scopes = ("scope-of-reading", "scope-of-writing")

    def issue(self, index: Index, operation: Operation, context: Context) -> Credential:
        identity = self.identify(index, context)
        asked_at = context.now()
        scope = self.scopes[0 if operation == "read" else 1]
        answer = self.ask(index, context, {"proof": identity.secret, "scope": scope})
        if answer.status in {429, 500, 502}:
            raise BrokerUnreachable("it is not ready", hint="wait", retry_after=answer.retry_after)
        if answer.status != 200:
            raise BrokerRefused("it refuses", reason="no", hint="ask")
        token = answer.body.get("token") if isinstance(answer.body, dict) else None
        if not isinstance(token, str):
            raise BrokerMisbehaved("it gave no token")
        return Credential("ci", Secret(token), asked_at, asked_at + 3600)

    def identify(self, index: Index, context: Context) -> IdentityToken:
        identity = context.identify(str(index.url.origin))
        if identity is None:
            raise context.unidentified("") or IdentityError("nothing proves it", hint="run it in CI")
        return identity

    def ask(self, index: Index, context: Context, form: dict[str, object]) -> Answer:
        return context.http.send("POST", f"{index.url.origin}/token", json=form)


class AsksElsewhere(Good):
    def ask(self, index: Index, context: Context, form: dict[str, object]) -> Answer:
        context.http.get_json(f"{str(index.url.origin).replace('127.0.0.1', 'localhost')}/token")
        return super().ask(index, context, form)


class AsksTwice(Good):
    def ask(self, index: Index, context: Context, form: dict[str, object]) -> Answer:
        super().ask(index, context, form)
        return super().ask(index, context, form)


class PutsItIntoTheUrl(Good):
    def ask(self, index: Index, context: Context, form: dict[str, object]) -> Answer:
        proof = self.identify(index, context).secret
        return context.http.send("POST", f"{index.url.origin}/token?proof={proof.reveal()}", json=form)


class LogsIt(Good):
    def ask(self, index: Index, context: Context, form: dict[str, object]) -> Answer:
        answer = super().ask(index, context, form)
        logging.getLogger("depot").debug("got %s", answer.body)
        return answer


class AsksForAllOfIt(Good):
    scopes = ("scope-of-writing", "scope-of-writing")


class NeverAsksToWrite(Good):
    scopes = ("scope-of-reading", "scope-of-reading")


class Remembers(Good):
    held: Credential | None = None

    def issue(self, index: Index, operation: Operation, context: Context) -> Credential:
        self.held = self.held or super().issue(index, operation, context)
        return self.held


class LivesForEver(Good):
    def issue(self, index: Index, operation: Operation, context: Context) -> Credential:
        return super().issue(index, operation, context)._replace(expires_at=None)


class LivesTooLong(Good):
    def issue(self, index: Index, operation: Operation, context: Context) -> Credential:
        return super().issue(index, operation, context)._replace(expires_at=context.now() + 10**7)


class HasExpired(Good):
    def issue(self, index: Index, operation: Operation, context: Context) -> Credential:
        return super().issue(index, operation, context)._replace(expires_at=context.now())


class HasAColon(Good):
    def issue(self, index: Index, operation: Operation, context: Context) -> Credential:
        return super().issue(index, operation, context)._replace(username="ci:acme")


class RepeatsTheAnswer(Good):
    def ask(self, index: Index, context: Context, form: dict[str, object]) -> Answer:
        answer = super().ask(index, context, form)
        if answer.status != 200:
            raise ConfigError(f"it said {answer.body}", hint="ask")
        return answer


class HasNoHint(Good):
    def issue(self, index: Index, operation: Operation, context: Context) -> Credential:
        try:
            return super().issue(index, operation, context)
        except IndexpassError as error:
            error.hint = ""
            raise


class TrustsTheAnswer(Good):
    def ask(self, index: Index, context: Context, form: dict[str, object]) -> Answer:
        answer = super().ask(index, context, form)
        assert isinstance(answer.body, dict)
        _ = answer.body["token"]
        return answer


class NeverGivesUp(Good):
    def ask(self, index: Index, context: Context, form: dict[str, object]) -> Answer:
        for _ in range(5):
            with suppress(BrokerUnreachable):
                return super().ask(index, context, form)
        return super().ask(index, context, form)


class TakesAnybody(Good):
    def identify(self, index: Index, context: Context) -> IdentityToken:
        return context.identify(str(index.url.origin)) or IdentityToken(Secret("x.y.z"), "nobody")


class HidesTheReason(Good):
    def identify(self, index: Index, context: Context) -> IdentityToken:
        return super().identify(index, context._replace(unidentified=lambda _: None))


class AsksForTwoProofs(Good):
    def identify(self, index: Index, context: Context) -> IdentityToken:
        context.identify("https://elsewhere.example")
        return super().identify(index, context)


class Stands(Good):
    def issue(self, index: Index, operation: Operation, context: Context) -> Credential:
        time.sleep(60)
        return super().issue(index, operation, context)


class TestContract(ExchangeContract):
    max_requests = 1
    write_mark = "scope-of-writing"

    @pytest.fixture
    def subject(self, good: Subject) -> Subject:
        return good


@pytest.fixture
def good() -> Iterator[Subject]:
    with FakePlatform(lambda _: Reply(200, {"token": "canary-a-token"})) as platform:
        index = make_index(f"{platform.url}/simple/")
        yield Subject(Good(), index, make_context(identify=FakeIdentity()), frozenset({platform.url}))


FLAWS: dict[type[Good], str] = {
    AsksElsewhere: "only_the_platform_is_asked",
    AsksTwice: "a_credential_costs_no_more_requests_than_is_said",
    PutsItIntoTheUrl: "no_secret_is_in_a_url",
    AsksForAllOfIt: "reading_never_asks_for_what_may_write",
    NeverAsksToWrite: "an_upload_asks_for_what_may_write",
    Remembers: "the_provider_itself_remembers_nothing",
    LivesForEver: "a_credential_is_good_from_now_on_and_has_an_end_or_is_not_kept",
    LivesTooLong: "a_credential_is_good_from_now_on_and_has_an_end_or_is_not_kept",
    HasExpired: "a_credential_is_good_from_now_on_and_has_an_end_or_is_not_kept",
    HasAColon: "a_credential_can_be_sent_as_user_name_and_password",
    TakesAnybody: "where_nothing_proves_who_runs_this_nobody_is_asked",
    HidesTheReason: "in_ci_the_error_is_the_one_that_says_why_there_is_no_identity_token",
    AsksForTwoProofs: "one_identity_token_is_asked_for_each_credential",
}


@pytest.mark.parametrize(("flaw", "claim"), FLAWS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_contract_notices_a_provider_that(good: Subject, flaw: type[Good], claim: str) -> None:
    subject = Subject(flaw(), good.index, good.context, good.origins)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(TestContract(), f"test_{claim}")(Trial(subject, max_wait_seconds=10))


def test_a_contract_notices_a_provider_that_logs_a_token(good: Subject, caplog: pytest.LogCaptureFixture) -> None:
    trial = Trial(Subject(LogsIt(), good.index, good.context), max_wait_seconds=10)
    with pytest.raises(AssertionError, match="a secret is told"):
        TestContract().test_a_credential_is_nowhere_to_be_read(trial, caplog)


CARELESS: dict[type[Good], tuple[str, str | int | None]] = {
    RepeatsTheAnswer: ("a_refusal_is_an_error_that_says_what_to_do", 403),
    HasNoHint: ("a_refusal_is_an_error_that_says_what_to_do", 403),
    TrustsTheAnswer: ("an_answer_that_makes_no_sense_is_an_error_of_ours", "an-empty-object"),
    NeverGivesUp: ("a_platform_that_is_away_is_asked_twice_at_most", None),
}


@pytest.mark.parametrize("flaw", CARELESS, ids=lambda flaw: flaw.__name__)
def test_a_contract_notices_a_provider_that_fails_badly(good: Subject, flaw: type[Good]) -> None:
    trial = Trial(Subject(flaw(), good.index, good.context), max_wait_seconds=10)

    def broken(failure: Answer | IndexpassError) -> Trial:
        trial.http.fail(failure)
        return trial

    claim, case = CARELESS[flaw]
    with pytest.raises((AssertionError, KeyError)):
        getattr(TestContract(), f"test_{claim}")(broken, *([] if case is None else [case]))


def test_a_contract_notices_a_provider_that_never_ends(good: Subject) -> None:
    with pytest.raises(AssertionError, match=r"within 0\.1 seconds"):
        Trial(Subject(Stands(), good.index, good.context), max_wait_seconds=0.1).issue()


def test_a_secret_that_is_told_is_not_told_again_by_the_test() -> None:
    with pytest.raises(AssertionError) as caught:
        require_hidden([Secret("canary-77aa")], "it is canary-77aa")
    assert "canary" not in str(caught.value)


def test_what_is_noted_of_a_request_keeps_its_secrets_apart() -> None:
    with FakePlatform(lambda _: Reply(200, {})) as platform:
        http = RecordingHttp(make_context().http)
        http.send("POST", f"{platform.url}/a", headers={"X-Key": Secret("k")}, json={"scope": ["read", Secret("s")]})
        http.get_json(f"{platform.url}/b", authorization=Secret("Bearer t"))
    assert [secret.reveal() for sent in http.sent for secret in sent.secrets] == ["k", "s", "Bearer t"]
    assert http.sent[0].words == (f"{platform.url}/a", "X-Key", "scope", "read")
    assert {sent.origin for sent in http.sent} == {platform.url}
