"""The client flow: when a provider is asked, and what is handed out when it cannot be."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

import indexpass
from indexpass import _challenge
from indexpass._cache import Cache
from indexpass._diagnose import NOT_RENEWABLE
from indexpass._model import Answer, Context, Credential, Index, Operation
from indexpass._resolve import FAILURE_SECONDS, MAX_FAILURE_SECONDS, SIGN_IN_SECONDS, Resolver
from indexpass._secret import Secret
from indexpass._url import IndexUrl
from indexpass.errors import (
    BrokerMisbehaved,
    BrokerRefused,
    BrokerUnreachable,
    ConfigError,
    IdentityError,
    IndexpassError,
    SessionError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HOUR = 3600.0
START = 1_700_000_000.0  # a whole second: no jitter
ACME = Index(
    "acme",
    IndexUrl.parse("https://packages.acme.example/simple/"),
    upload_url=IndexUrl.parse("https://packages.acme.example/legacy/"),
    options=MappingProxyType({"broker": "https://tokens.acme.example"}),
)
URL = "https://packages.acme.example/simple/"
UPLOAD_URL = "https://packages.acme.example/legacy/"
DOWN = BrokerUnreachable("the broker is down", hint="wait")


class Clock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> float:
        return self.time


class FakeProvider:
    """Counts what it issues, or raises what it is told to."""

    def __init__(self, clock: Clock, context: Context) -> None:
        self.clock = clock
        self.context = context
        self.life: float | None = HOUR
        self.failure: Exception | None = None
        self.asked: list[Operation] = []
        self.entered = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()

    def issue(self, index: Index, operation: Operation, context: Context) -> Credential:
        assert context is self.context
        assert index.provider
        self.asked.append(operation)
        number = len(self.asked)
        self.entered.set()
        assert self.may_answer.wait(30)
        if self.failure:
            raise self.failure
        now = self.clock()
        return Credential(
            "__token__", Secret(f"{operation}-{number}"), now, None if self.life is None else now + self.life
        )


class NoHttp:
    """The flow itself never speaks to anyone."""

    def get_json(self, url: str) -> Answer:
        raise AssertionError(url)

    def post_form(self, url: str, form: Mapping[str, str | Secret]) -> Answer:
        raise AssertionError(url, sorted(form))

    def try_credential(self, url: str, credential: Credential) -> Answer:
        raise AssertionError(url, credential)


class IndexHttp(NoHttp):
    """The flow asks nobody but the index whether it refuses a credential: one that is named here, or none."""

    def __init__(self) -> None:
        self.status = 200
        self.challenge = "Basic"
        self.refuses: set[str] = set()
        self.failure: Exception | None = None
        self.asked: list[tuple[str, str]] = []

    def try_credential(self, url: str, credential: Credential) -> Answer:
        secret = credential.secret.reveal()
        self.asked.append((url, secret))
        if self.failure:
            raise self.failure
        status = 401 if secret in self.refuses else self.status
        return Answer(status, None, headers={"www-authenticate": self.challenge})


class NoSessions:
    def __getattr__(self, name: str) -> object:
        raise AssertionError(name)


CONTEXT = Context(http=NoHttp(), sessions=NoSessions(), identify=lambda _: None, now=lambda: START)  # type: ignore[arg-type]  # never used


class World:
    """A resolver and all that it depends on. ``process`` is another one on the same machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.http = IndexHttp()
        self.context = CONTEXT._replace(http=self.http)
        self.provider = FakeProvider(self.clock, self.context)
        self.run: str | None = None
        self.indexes: tuple[Index, ...] = (ACME,)
        self.contexts = 0
        self.resolver = self.process()

    def process(self) -> Resolver:
        return Resolver(
            indexes=lambda: self.indexes,
            cache=Cache(self.folder),
            provider_for=lambda _: self.provider,
            context=self._context,
            now=self.clock,
            run=lambda: self.run,
        )

    def _context(self) -> Context:
        self.contexts += 1
        return self.context

    def ask(self, service: str = URL, *, refused: Secret | None = None) -> str:
        """Return the secret that a client would send."""
        credential = self.resolver.credential(service, refused=refused)
        assert credential is not None
        return credential.secret.reveal()

    def fail(self, service: str = URL, *, refused: Secret | None = None) -> IndexpassError:
        with pytest.raises(IndexpassError) as caught:
            self.resolver.credential(service, refused=refused)
        return caught.value


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "credentials")


@pytest.mark.parametrize(
    "service",
    [
        "https://public.example/simple/",
        "public.example",
        "poetry-repository-acme",
        "",
        "https://packages.acme.example:1/",
    ],
)
def test_what_is_not_ours_is_answered_none_and_nobody_is_asked(world: World, service: str) -> None:
    assert world.resolver.credential(service) is None
    assert world.provider.asked == []


def test_what_is_not_ours_touches_no_disk_and_makes_no_context(world: World) -> None:
    world.resolver.credential("https://public.example/simple/")
    assert (world.folder.exists(), world.contexts) == (False, 0)


def test_the_first_question_asks_the_provider_once(world: World) -> None:
    assert world.ask() == "read-1"
    assert world.provider.asked == ["read"]


def test_a_fresh_credential_is_handed_out_without_asking(world: World) -> None:
    world.ask()
    world.clock.time += HOUR - 20 * 60 - 1
    assert [world.ask() for _ in range(100)] == ["read-1"] * 100
    assert world.contexts == 1


def test_a_fresh_credential_serves_every_process_and_every_url_of_the_index(world: World) -> None:
    world.ask()
    world.resolver = world.process()
    assert [world.ask("packages.acme.example"), world.ask(f"{URL}p/"), world.ask(URL)] == ["read-1"] * 3
    assert world.provider.asked == ["read"]


def test_a_credential_that_is_no_longer_fresh_is_replaced(world: World) -> None:
    world.ask()
    world.clock.time += HOUR - 20 * 60
    assert world.ask() == "read-2"


def test_a_credential_without_an_expiry_is_never_replaced(world: World) -> None:
    world.provider.life = None
    world.ask()
    world.clock.time += 10**9
    assert world.ask() == "read-1"


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(DOWN, id="unreachable"),
        pytest.param(BrokerRefused("no", reason="access_denied"), id="refused"),
        pytest.param(BrokerMisbehaved("nonsense"), id="misbehaved"),
        pytest.param(SessionError("sign in"), id="signed-out"),
        pytest.param(IdentityError("no token"), id="no-identity"),
    ],
)
def test_a_usable_credential_is_handed_out_while_there_is_no_better_one(world: World, failure: IndexpassError) -> None:
    world.ask()
    world.clock.time += HOUR - 10 * 60
    world.provider.failure = failure
    assert world.ask() == "read-1"


def test_with_a_usable_credential_a_broker_that_is_down_is_asked_once_in_its_time(world: World) -> None:
    world.ask()
    world.clock.time += HOUR - 10 * 60
    world.provider.failure = DOWN
    assert {world.ask() for _ in range(100)} == {"read-1"}
    assert world.provider.asked == ["read"] * 2
    world.clock.time += FAILURE_SECONDS
    world.provider.failure = None
    assert world.ask() == "read-3"


def test_an_expired_credential_is_not_handed_out(world: World) -> None:
    world.ask()
    world.clock.time += HOUR - 30
    world.provider.failure = DOWN
    assert world.fail() is DOWN


def test_a_failure_is_remembered_and_nobody_is_asked_again_before_its_time(world: World) -> None:
    world.provider.failure = DOWN
    world.fail()
    world.clock.time += FAILURE_SECONDS - 1
    again = [world.fail() for _ in range(100)]
    assert {(error.message, error.hint, error.code) for error in again} == {(DOWN.message, DOWN.hint, DOWN.code)}
    assert world.provider.asked == ["read"]


def test_a_failure_is_remembered_for_every_process(world: World) -> None:
    world.provider.failure = DOWN
    world.fail()
    world.resolver = world.process()
    world.fail()
    assert world.provider.asked == ["read"]


def test_after_its_time_a_failure_is_forgotten(world: World) -> None:
    world.provider.failure = DOWN
    world.fail()
    world.clock.time += FAILURE_SECONDS
    world.provider.failure = None
    assert world.ask() == "read-2"


@pytest.mark.parametrize(
    ("failure", "seconds"),
    [
        pytest.param(DOWN, FAILURE_SECONDS, id="unreachable"),
        pytest.param(BrokerRefused("no", reason="x"), FAILURE_SECONDS, id="refused"),
        pytest.param(SessionError("sign in"), SIGN_IN_SECONDS, id="signed-out"),
        pytest.param(BrokerUnreachable("busy", retry_after=7.0), 7, id="as-long-as-the-broker-asks-for"),
        pytest.param(BrokerUnreachable("busy", retry_after=0.0), 1, id="at-least-a-second"),
        pytest.param(BrokerUnreachable("busy", retry_after=3600.0), MAX_FAILURE_SECONDS, id="at-most-five-minutes"),
    ],
)
def test_how_long_a_failure_is_remembered(world: World, failure: IndexpassError, seconds: float) -> None:
    world.provider.failure = failure
    world.fail()
    world.clock.time = START + seconds - 0.5
    world.fail()
    world.clock.time = START + seconds
    world.fail()
    assert len(world.provider.asked) == 2


def test_an_unexpected_exception_is_not_swallowed_and_releases_the_lock(world: World) -> None:
    world.provider.failure = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        world.resolver.credential(URL)
    world.provider.failure = None
    assert world.ask() == "read-2"


def test_a_provider_that_nobody_knows_is_a_configuration_error(world: World) -> None:
    def unknown(index: Index) -> FakeProvider:
        raise ConfigError(f"unknown provider {index.provider}")

    resolver = Resolver(lambda: (ACME,), Cache(world.folder), unknown, lambda: CONTEXT, world.clock)
    with pytest.raises(ConfigError):
        resolver.credential(URL)


def test_read_and_upload_are_issued_and_kept_apart(world: World) -> None:
    assert [world.ask(URL), world.ask(UPLOAD_URL), world.ask(URL), world.ask(UPLOAD_URL)] == [
        "read-1",
        "upload-2",
        "read-1",
        "upload-2",
    ]


def test_the_operation_that_is_asked_for_beats_the_one_of_the_url(world: World) -> None:
    credential = world.resolver.credential(URL, "upload")
    assert credential is not None
    assert credential.secret == Secret("upload-1")


def test_a_failed_upload_does_not_hinder_reading(world: World) -> None:
    world.provider.failure = BrokerRefused("no uploads", reason="access_denied")
    world.fail(UPLOAD_URL)
    world.provider.failure = None
    assert world.ask(URL) == "read-2"


def test_a_changed_broker_meets_no_old_credential(world: World) -> None:
    world.ask()
    world.indexes = (ACME._replace(options=MappingProxyType({"broker": "https://tokens.other.example"})),)
    assert world.ask() == "read-2"


def test_a_changed_broker_meets_no_old_failure(world: World) -> None:
    world.provider.failure = DOWN
    world.fail()
    world.provider.failure = None
    world.indexes = (ACME._replace(options=MappingProxyType({"broker": "https://tokens.other.example"})),)
    assert world.ask() == "read-2"


def test_a_refused_credential_is_replaced(world: World) -> None:
    world.ask()
    world.clock.time += 30
    assert world.ask(refused=Secret("read-1")) == "read-2"


def test_a_refused_credential_is_never_handed_out_again(world: World) -> None:
    world.ask()
    world.clock.time += 30
    world.ask(refused=Secret("read-1"))
    assert world.process().credential(URL) == Credential("__token__", Secret("read-2"), START + 30, START + 30 + HOUR)


def test_a_refused_credential_is_forgotten_although_there_is_no_other(world: World) -> None:
    world.ask()
    world.clock.time += 30
    world.provider.failure = DOWN
    world.fail(refused=Secret("read-1"))
    assert world.fail().code == DOWN.code


def test_a_credential_that_is_refused_within_30_seconds_of_its_issue_is_not_the_problem(world: World) -> None:
    world.ask()
    world.clock.time += 29
    error = world.fail(refused=Secret("read-1"))
    assert (error.code, len(world.provider.asked)) == ("broker-refused", 1)
    assert "clock" in error.hint


def test_a_credential_that_is_refused_when_it_is_no_longer_fresh_is_replaced_however_new_it_is(world: World) -> None:
    world.provider.life = 5
    world.ask()
    world.clock.time += 2
    assert world.fail(refused=Secret("read-1")).code == "broker-refused"
    world.clock.time += 0.5
    assert world.ask(refused=Secret("read-1")) == "read-2"


def test_an_index_that_refuses_everything_costs_one_mint_in_30_seconds(world: World) -> None:
    secret = world.ask()
    for _ in range(90):
        world.clock.time += 1
        with suppress(IndexpassError):
            secret = world.ask(refused=Secret(secret))
    assert len(world.provider.asked) == 1 + 90 // 30


def test_a_credential_that_another_process_has_replaced_already_is_not_replaced_again(world: World) -> None:
    world.ask()
    world.clock.time += 60
    world.process().credential(URL, refused=Secret("read-1"))
    assert world.ask(refused=Secret("read-1")) == "read-2"
    assert len(world.provider.asked) == 2


def test_a_refused_secret_that_is_not_ours_changes_nothing(world: World) -> None:
    world.ask()
    assert world.ask(refused=Secret("somebody else's")) == "read-1"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        pytest.param(-60, "read-1", id="a-minute-back"),
        pytest.param(-61, "read-2", id="more-than-a-minute-back"),
        pytest.param(-(10**9), "read-2", id="before-the-turn-of-the-century"),
        pytest.param(10**9, "read-2", id="decades-ahead"),
    ],
)
def test_a_clock_that_jumps_costs_at_most_a_new_credential(world: World, seconds: int, expected: str) -> None:
    world.ask()
    world.clock.time += seconds
    assert [world.ask(), world.ask()] == [expected] * 2


def test_a_clock_that_is_set_back_does_not_prolong_a_failure(world: World) -> None:
    world.clock.time += 10 * HOUR
    world.provider.failure = DOWN
    world.fail()
    world.clock.time = START
    world.provider.failure = None
    assert world.ask() == "read-2"


def test_an_unwritable_cache_still_answers_and_this_process_asks_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    world = World(tmp_path / "file/credentials")
    assert [world.ask(), world.ask()] == ["read-1"] * 2
    assert world.provider.asked == ["read"]


def test_an_unwritable_cache_still_remembers_a_failure_in_this_process(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    world = World(tmp_path / "file/credentials")
    world.provider.failure = DOWN
    world.fail()
    world.fail()
    assert world.provider.asked == ["read"]


def test_a_damaged_cache_costs_one_new_credential(world: World) -> None:
    world.ask()
    for path in world.folder.glob("*.credential"):
        path.write_bytes(b"\x00")
    assert [world.ask(), world.ask()] == ["read-2"] * 2


def test_a_cache_that_others_can_write_to_is_not_believed(world: World) -> None:
    world.ask()
    for path in world.folder.glob("*.credential"):
        path.chmod(0o666)
    assert world.ask() == "read-2"


def test_whoever_waits_for_the_lock_takes_the_credential_of_the_one_before(world: World) -> None:
    world.provider.may_answer.clear()
    answers: list[str] = []
    first = threading.Thread(target=lambda: answers.append(world.ask()))
    first.start()
    assert world.provider.entered.wait(30)
    others = [threading.Thread(target=lambda: answers.append(world.ask())) for _ in range(4)]
    for thread in others:
        thread.start()
    world.provider.may_answer.set()
    for thread in [first, *others]:
        thread.join()
    assert answers == ["read-1"] * 5


def test_where_nothing_can_be_written_many_threads_cost_one_mint(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    world = World(tmp_path / "file/credentials")
    world.provider.may_answer.clear()
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(world.ask) for _ in range(8)]
        assert world.provider.entered.wait(30)
        wait(answers, 0.2)  # time to go wrong in
        world.provider.may_answer.set()
    assert {answer.result() for answer in answers} == {"read-1"}
    assert world.provider.asked == ["read"]


@pytest.mark.parametrize(
    ("life", "left", "sent"),
    [
        pytest.param(900, 451, "upload-1", id="15-minutes-with-more-than-half-left"),
        pytest.param(900, 450, "upload-2", id="15-minutes-with-half-left"),
        pytest.param(900, 31, "upload-2", id="15-minutes-with-31-seconds-left"),
        pytest.param(HOUR, 1201, "upload-1", id="an-hour-with-more-than-20-minutes-left"),
        pytest.param(HOUR, 1200, "upload-2", id="an-hour-with-20-minutes-left"),
        pytest.param(5, 3, "upload-1", id="5-seconds-with-more-than-half-left"),
        pytest.param(5, 2.5, "upload-2", id="5-seconds-with-half-left"),
        pytest.param(None, 0, "upload-1", id="no-expiry"),
    ],
)
def test_an_upload_is_sent_with_a_fresh_credential(world: World, life: float | None, left: float, sent: str) -> None:
    world.provider.life = life
    world.ask(UPLOAD_URL)
    world.clock.time += 10**6 if life is None else life - left
    assert world.ask(UPLOAD_URL) == sent


def test_an_upload_is_not_sent_with_what_is_only_usable_while_the_broker_is_down(world: World) -> None:
    for url in (URL, UPLOAD_URL):
        world.ask(url)
    world.clock.time += HOUR - 10 * 60
    world.provider.failure = DOWN
    assert world.fail(UPLOAD_URL).code == DOWN.code
    assert world.ask(URL) == "read-1"
    assert world.fail(UPLOAD_URL).code == DOWN.code  # by memory too


def test_machines_that_start_together_do_not_all_renew_together(world: World) -> None:
    world.clock.time = START + 0.875
    world.ask()
    world.clock.time += HOUR - 20 * 60 - HOUR / 20 * 0.875
    assert world.ask() == "read-2"


def test_get_credential_answers_none_for_a_url_of_somebody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INDEXPASS_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path))
    assert indexpass.get_credential("https://public.example/simple/") is None


def test_get_credential_raises_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.toml").write_text("[[index]", encoding="utf-8")
    monkeypatch.setenv("INDEXPASS_HOME", str(tmp_path))
    with pytest.raises(ConfigError):
        indexpass.get_credential("https://public.example/simple/")


@pytest.fixture
def run(world: World) -> World:
    """Return the world in which pip runs: what it asks twice comes into doubt."""
    world.run = "4711-12345"
    return world


def test_what_a_run_asks_again_and_the_index_takes_is_handed_out_again(run: World) -> None:
    assert [run.ask() for _ in range(10)] == ["read-1"] * 10
    assert run.http.asked == [(URL, "read-1")]


def test_what_a_run_asks_again_and_the_index_refuses_is_replaced(run: World) -> None:
    run.ask()
    run.clock.time += 60
    run.http.refuses = {"read-1"}
    assert [run.ask(), run.process().credential(URL)] == [
        "read-2",
        Credential("__token__", Secret("read-2"), START + 60, START + 60 + HOUR),
    ]


def test_every_process_of_a_run_knows_what_the_run_was_given(run: World) -> None:
    run.ask()
    run.clock.time += 60
    run.http.refuses = {"read-1"}
    run.resolver = run.process()
    assert run.ask() == "read-2"


def test_another_url_of_the_index_is_the_same_question(run: World) -> None:
    run.ask()
    run.clock.time += 60
    run.http.refuses = {"read-1"}
    assert run.ask("packages.acme.example") == "read-2"
    assert run.http.asked == [(URL, "read-1")]


def test_what_another_run_was_given_is_not_in_doubt(run: World) -> None:
    run.ask()
    run.run = "4711-67890"
    assert run.ask() == "read-1"
    assert run.http.asked == []


def test_who_is_not_a_run_of_pip_may_ask_as_often_as_it_likes(run: World) -> None:
    run.run = None
    assert [run.ask() for _ in range(10)] == ["read-1"] * 10
    assert run.http.asked == []


def test_an_upload_is_never_in_doubt(run: World) -> None:
    assert [run.ask(UPLOAD_URL), run.ask(UPLOAD_URL)] == ["upload-1"] * 2
    assert run.http.asked == []


def test_two_indexes_on_one_host_that_are_asked_in_turn_cost_one_credential_each(run: World) -> None:
    other = ACME._replace(name="other", url=IndexUrl.parse("https://packages.acme.example/other/simple/"))
    run.indexes = (ACME, other)
    answers = [run.ask(url) for _ in range(20) for url in (URL, str(other.url))]
    assert (set(answers), len(run.provider.asked), len(run.http.asked)) == ({"read-1", "read-2"}, 2, 2)


@pytest.mark.parametrize("status", [200, 204, 302, 403, 404, 405, 500])
def test_only_a_401_is_a_refusal(run: World, status: int) -> None:
    run.ask()
    run.clock.time += 60
    run.http.status = status
    assert run.ask() == "read-1"


@pytest.mark.parametrize("failure", [DOWN, BrokerMisbehaved("not even HTTP")], ids=["unreachable", "misbehaved"])
def test_an_index_that_cannot_be_asked_has_refused_nothing(run: World, failure: IndexpassError) -> None:
    run.ask()
    run.http.failure = failure
    assert run.ask() == "read-1"


def test_an_index_is_asked_once_in_30_seconds(run: World) -> None:
    for _ in range(91):
        run.ask()
        run.clock.time += 1
    assert len(run.http.asked) == 3


def test_an_index_that_refuses_what_was_issued_just_now_is_named_and_costs_no_mint(run: World) -> None:
    run.ask()
    run.http.refuses = {"read-1"}
    error = run.fail()
    assert (error.code, len(run.provider.asked)) == ("index-refused", 1)
    assert str(ACME.url) in error.message


@pytest.mark.parametrize("sentence", [_challenge.TOKEN_ELSEWHERE, _challenge.URL_UNGUARDED])
def test_what_a_new_credential_would_not_mend_is_named_and_costs_no_mint(run: World, sentence: str) -> None:
    run.ask()
    run.clock.time += 60
    run.http.refuses = {"read-1"}
    run.http.challenge = f'Basic, Bearer error="invalid_token", error_description="{sentence}"'
    error = run.fail()
    assert (error.code in NOT_RENEWABLE, len(run.provider.asked)) == (True, 1)


def test_an_index_that_refuses_even_the_new_one_is_named_and_costs_one_mint(run: World) -> None:
    run.ask()
    run.clock.time += 60
    run.http.refuses = {"read-1", "read-2"}
    assert run.ask() == "read-2"
    assert run.fail().code == "index-refused"
    assert len(run.provider.asked) == 2


def test_a_refused_credential_is_not_handed_out_although_there_is_no_other(run: World) -> None:
    run.ask()
    run.clock.time += 60
    run.http.refuses = {"read-1"}
    run.provider.failure = SessionError("your session has ended", hint="indexpass login acme")
    assert [run.fail().hint, run.fail().hint] == ["indexpass login acme"] * 2


def test_a_broker_that_cannot_be_reached_is_asked_once_for_all_of_its_indexes(world: World) -> None:
    other = Index("other", IndexUrl.parse("https://packages.other.example/simple/"), options=ACME.options)
    world.indexes = (ACME, other)
    world.provider.failure = DOWN
    for url in (URL, str(other.url), UPLOAD_URL):
        world.resolver = world.process()
        assert world.fail(url).code == DOWN.code
    assert world.provider.asked == ["read"]


def test_a_broker_that_refuses_one_index_is_asked_for_the_next(world: World) -> None:
    other = ACME._replace(name="other", url=IndexUrl.parse("https://packages.other.example/simple/"))
    world.indexes = (ACME, other)
    world.provider.failure = BrokerRefused("no", reason="access_denied")
    world.fail(URL)
    world.fail(str(other.url))
    assert world.provider.asked == ["read"] * 2
