"""What holds for every provider, as classes of pytest that a test module fills in.

A subclass says by one fixture what is under test; the claims are here. They are about what a person and a platform
would notice: where secrets go, how much is asked, how long a credential lives, and what is said when it fails. What
only one platform knows is tested beside it.
"""

from __future__ import annotations

import logging
import threading
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import pytest

from indexpass._model import Answer, Context, Credential, Index, Operation, Provider
from indexpass._secret import Secret
from indexpass.errors import BrokerUnreachable, IdentityError, IndexpassError, SessionError
from indexpass.testing.recording import RecordingHttp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

RETRY_AFTER_SECONDS = 17.0
_CANARY = "canary-0123456789-abcdefghijklmnopqrstuvwxyz-0123456789"  # as long as a token, and no word of ours
_REFUSALS = {
    status: Answer(status, {"error": "access_denied", "error_description": _CANARY, "message": _CANARY})
    for status in (400, 401, 403, 404)
}
_NOT_READY = {
    status: Answer(status, {"message": _CANARY}, RETRY_AFTER_SECONDS, {"retry-after": f"{RETRY_AFTER_SECONDS:.0f}"})
    for status in (429, 500, 502)
}
_LIES = {
    "no-json": Answer(200, None),
    "a-list": Answer(200, [_CANARY]),
    "a-text": Answer(200, _CANARY),
    "an-empty-object": Answer(200, {}),
    "members-of-no-kind": Answer(
        200, {key: [_CANARY] for key in ("access_token", "token", "issuer", "token_endpoint", "auth", "data")}
    ),
}


@dataclass(frozen=True, slots=True)
class Subject:
    """A provider under test: what it is asked for, with which context, and whom it may ask (``https://…`` each)."""

    provider: Provider
    index: Index
    context: Context
    origins: frozenset[str] = frozenset()


class Trial:
    """Where credentials of the subject are asked for; ``http`` notes what that sends."""

    def __init__(self, subject: Subject, *, max_wait_seconds: float) -> None:
        """Ask for nothing yet."""
        self.subject = subject
        self.http = RecordingHttp(subject.context.http)
        self._max_wait_seconds = max_wait_seconds

    def issue(self, operation: Operation = "read", context: Context | None = None) -> Credential:
        """Return what the provider issues, or raise what it raises; fail if it does neither in time."""
        outcome: list[Credential | Exception] = []
        given = (context or self.subject.context)._replace(http=self.http)

        def run() -> None:
            try:
                outcome.append(self.subject.provider.issue(self.subject.index, operation, given))
            except Exception as error:  # noqa: BLE001  # carried to the thread of the test and raised there
                outcome.append(error)

        worker = threading.Thread(target=run, daemon=True)
        worker.start()
        worker.join(self._max_wait_seconds)
        assert outcome, f"no credential and no error within {self._max_wait_seconds} seconds"
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    def fails(self, operation: Operation = "read", context: Context | None = None) -> IndexpassError:
        """Return the error with which the provider fails, after looking that it shows no secret."""
        with pytest.raises(IndexpassError) as caught:
            self.issue(operation, context)
        assert caught.value.message
        require_hidden([*self.secrets, Secret(_CANARY)], told_by(caught.value))
        return caught.value

    @property
    def secrets(self) -> list[Secret]:
        """All that was sent as a Secret."""
        return [secret for sent in self.http.sent for secret in sent.secrets]


class ProviderContract:
    """What holds for every provider. A subclass overrides the fixture ``subject``, and what is otherwise for it.

    ``operations`` are those that it issues for; ``max_life_seconds`` bounds the life of what it issues;
    ``max_requests`` is how much one credential may cost the platform; ``write_mark`` is a word that is in a request
    for what may write and in no other ("" where the platform does not tell them apart).
    """

    operations: ClassVar[tuple[Operation, ...]] = ("read", "upload")
    max_life_seconds: ClassVar[float] = 24 * 3600.0
    max_wait_seconds: ClassVar[float] = 30.0
    max_requests: ClassVar[int] = 2
    write_mark: ClassVar[str] = ""

    @pytest.fixture
    def subject(self) -> Subject:
        """Return what is under test, in a state in which it issues for all ``operations``."""
        raise NotImplementedError

    @pytest.fixture
    def trial(self, subject: Subject) -> Trial:
        return Trial(subject, max_wait_seconds=self.max_wait_seconds)

    def test_a_credential_can_be_sent_as_user_name_and_password(self, trial: Trial) -> None:
        for operation in self.operations:
            credential = trial.issue(operation)
            assert credential.secret
            assert ":" not in credential.username  # RFC 7617 section 2
            assert (credential.username + credential.secret.reveal()).isprintable()

    def test_a_credential_is_good_from_now_on_and_has_an_end_or_is_not_kept(self, trial: Trial) -> None:
        for operation in self.operations:
            now = trial.subject.context.now()
            credential = trial.issue(operation)
            assert credential.issued_at == pytest.approx(now, abs=self.max_wait_seconds)
            assert credential.age(credential.issued_at) == "fresh"
            if credential.expires_at is None:
                assert not credential.is_kept
            else:
                assert credential.expires_at - credential.issued_at <= self.max_life_seconds

    def test_a_credential_is_nowhere_to_be_read(self, trial: Trial, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        for operation in self.operations:
            credential = trial.issue(operation)
            told = f"{credential!r} {credential} {trial.subject.provider!r} {caplog.text}"
            require_hidden([credential.secret, *trial.secrets], told)

    def test_only_the_platform_is_asked(self, trial: Trial) -> None:
        for operation in self.operations:
            trial.issue(operation)
        assert {sent.origin for sent in trial.http.sent} <= trial.subject.origins

    def test_no_secret_is_in_a_url(self, trial: Trial) -> None:
        for operation in self.operations:
            credential = trial.issue(operation)
            require_hidden([credential.secret, *trial.secrets], " ".join(sent.url for sent in trial.http.sent))

    def test_a_credential_costs_no_more_requests_than_is_said(self, trial: Trial) -> None:
        for operation in self.operations:
            before = len(trial.http.sent)
            trial.issue(operation)
            assert len(trial.http.sent) - before <= self.max_requests

    def test_the_provider_itself_remembers_nothing(self, trial: Trial) -> None:
        trial.issue(self.operations[0])
        once = len(trial.http.sent)
        trial.issue(self.operations[0])
        assert len(trial.http.sent) == 2 * once

    def test_reading_never_asks_for_what_may_write(self, trial: Trial) -> None:
        if "read" in self.operations:
            trial.issue("read")
            assert not (self.write_mark and _is_said(self.write_mark, trial))

    def test_an_upload_asks_for_what_may_write(self, trial: Trial) -> None:
        if "upload" in self.operations:
            trial.issue("upload")
            assert not self.write_mark or _is_said(self.write_mark, trial)


class PlatformContract(ProviderContract):
    """What also holds for a provider that asks its platform by ``Context.http``, for every credential.

    ``first_needed`` is the first request that has to succeed, counted from 0: what comes before it may fail unnoticed.
    """

    first_needed: ClassVar[int] = 0

    @pytest.fixture(params=["first-request", "last-request"])
    def broken(self, request: pytest.FixtureRequest, subject: Subject) -> Callable[[Answer | IndexpassError], Trial]:
        """Return what makes a trial at which the first that matters, or the last, of the requests fails."""
        operation = self.operations[0]

        def make(failure: Answer | IndexpassError) -> Trial:
            trial = Trial(subject, max_wait_seconds=self.max_wait_seconds)
            trial.issue(operation)
            count = len(trial.http.sent)
            assert count, "this provider asks nobody: ProviderContract is the one to keep"
            trial.http.sent.clear()
            trial.http.fail(failure, after=count - 1 if request.param == "last-request" else self.first_needed)
            return trial

        return make

    @pytest.mark.parametrize("status", _REFUSALS)
    def test_a_refusal_is_an_error_that_says_what_to_do(
        self, broken: Callable[[Answer | IndexpassError], Trial], status: int
    ) -> None:
        assert broken(_REFUSALS[status]).fails(self.operations[0]).hint

    @pytest.mark.parametrize("status", _NOT_READY)
    def test_a_platform_that_is_not_ready_is_told_apart_and_so_is_when_to_come_back(
        self, broken: Callable[[Answer | IndexpassError], Trial], status: int
    ) -> None:
        error = broken(_NOT_READY[status]).fails(self.operations[0])
        assert isinstance(error, BrokerUnreachable)
        assert error.retry_after == RETRY_AFTER_SECONDS

    @pytest.mark.parametrize("lie", _LIES)
    def test_an_answer_that_makes_no_sense_is_an_error_of_ours(
        self, broken: Callable[[Answer | IndexpassError], Trial], lie: str
    ) -> None:
        broken(_LIES[lie]).fails(self.operations[0])

    def test_a_platform_that_is_away_is_asked_twice_at_most(
        self, broken: Callable[[Answer | IndexpassError], Trial]
    ) -> None:
        away = BrokerUnreachable("it is away", hint="try again", is_cut_off=True)
        trial = broken(away)
        assert isinstance(trial.fails(self.operations[0]), BrokerUnreachable)
        assert len(trial.http.sent) <= self.max_requests + 1


class ExchangeContract(PlatformContract):
    """What also holds for a provider that trades an identity token for a credential."""

    def test_where_nothing_proves_who_runs_this_nobody_is_asked(self, trial: Trial) -> None:
        nobody = trial.subject.context._replace(identify=lambda _: None, unidentified=lambda _: None)
        for operation in self.operations:
            error = trial.fails(operation, nobody)
            assert isinstance(error, (IdentityError, SessionError))
            assert error.hint
        assert trial.http.sent == []

    def test_in_ci_the_error_is_the_one_that_says_why_there_is_no_identity_token(self, trial: Trial) -> None:
        reason = IdentityError("the job may not ask for one", hint="permissions: { id-token: write }")
        nobody = trial.subject.context._replace(identify=lambda _: None, unidentified=lambda _: reason)
        assert trial.fails(self.operations[0], nobody) is reason

    def test_one_identity_token_is_asked_for_each_credential(self, trial: Trial) -> None:
        audiences: list[str] = []
        identify = trial.subject.context.identify

        def note(audience: str) -> object:
            audiences.append(audience)
            return identify(audience)

        trial.issue(self.operations[0], trial.subject.context._replace(identify=note))  # type: ignore[arg-type]
        assert len(audiences) == 1


def told_by(error: IndexpassError) -> str:
    """Return all that an error tells: its words, its hint, its causes, and the lines of its traceback."""
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return f"{error!r} {error.hint} {error.__cause__!r} {error.__context__!r} {trace}"


def require_hidden(secrets: Iterable[Secret], told: str) -> None:
    """Fail, without showing it, if one of the secrets is in what was told."""
    for secret in secrets:
        value = secret.reveal().rpartition(" ")[2]  # without the scheme of a header
        is_told = bool(value) and value in told
        assert not is_told, "a secret is told"


def _is_said(mark: str, trial: Trial) -> bool:
    return any(mark in word for sent in trial.http.sent for word in sent.words)
