"""The client's side of trusted publishing, against our own broker in both dialects, and against indexes that lie."""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import TYPE_CHECKING

import jwt
import pytest

from indexpass._cache import Cache
from indexpass._http import HttpClient
from indexpass._model import Answer, Context, Credential, IdentityToken, Index, Operation
from indexpass._resolve import Resolver
from indexpass._secret import Secret
from indexpass._sessions import FileSessions
from indexpass._url import IndexUrl
from indexpass.errors import (
    BrokerMisbehaved,
    BrokerRefused,
    BrokerUnreachable,
    ConfigError,
    IdentityError,
    IndexpassError,
)
from indexpass.providers.trusted_publishing import TrustedPublishingProvider
from indexpass.testing import (
    ExchangeContract,
    FakeIdentity,
    FakePlatform,
    Reply,
    Request,
    Subject,
    make_context,
    make_index,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from indexpass.testing import Trial
    from servers.brokers import RunningBroker, StartBroker
    from servers.issuers import Issuer

ORIGIN = "https://packages.acme.example"
NOW = 1_790_000_000.0
DATE = "Mon, 21 Sep 2026 14:13:20 GMT"  # NOW
IDENTITY = Secret("canary-31fe.b.c")


class OnlyPypis(HttpClient):
    """A way out that knows nothing of discovery, as if the index were PyPI."""

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str | Secret] = MappingProxyType({}),
        json: Mapping[str, object] | None = None,
    ) -> Answer:
        return Answer(404, None) if "/.well-known/" in url else super().send(method, url, headers=headers, json=json)


class Job:
    """A job in CI that our broker lets upload."""

    def __init__(self, broker: RunningBroker, issuer: Issuer, folder: Path, http: HttpClient) -> None:
        self.broker = broker
        self.index = Index(
            "acme",
            IndexUrl.parse(broker.index),
            upload_url=IndexUrl.parse(f"{broker.url}/legacy/"),
            provider="trusted-publishing",
        )
        self.audiences: list[str] = []
        self.identity: Callable[[str], Secret] = lambda audience: issuer.token(aud=audience)
        self.context = Context(http, FileSessions(folder), self._identify, broker.clock)

    def _identify(self, audience: str) -> IdentityToken:
        self.audiences.append(audience)
        return IdentityToken(self.identity(audience), "THE_CI")

    def issue(self, operation: Operation = "upload") -> Credential:
        return TrustedPublishingProvider().issue(self.index, operation, self.context)


@pytest.fixture(params=[HttpClient, OnlyPypis], ids=["pep-807", "pypi"])
def job(request: pytest.FixtureRequest, start_broker: StartBroker, issuer: Issuer, tmp_path: Path) -> Job:
    broker = start_broker(issuer.policy("upload", audience="{url}"))
    return Job(broker, issuer, tmp_path / "sessions", request.param())


class TestContract(ExchangeContract):
    operations = ("upload",)
    max_requests = 3
    first_needed = 1  # where nothing is described, it goes on at PyPI's paths

    @pytest.fixture
    def subject(self) -> Iterator[Subject]:
        with FakePlatform(answer_as_pypi) as index:
            asked_for = make_index(f"{index.url}/simple/", upload_url=f"{index.url}/legacy/")
            context = make_context(identify=FakeIdentity(), now=time.time)
            yield Subject(TrustedPublishingProvider(), asked_for, context, frozenset({index.url}))

    def test_where_nothing_proves_who_runs_this_nobody_is_asked(self, trial: Trial) -> None:
        """Ask only what the identity token would have to be made for."""
        nobody = trial.subject.context._replace(identify=lambda _: None)
        assert isinstance(trial.fails("upload", nobody), IdentityError)
        assert [sent.method for sent in trial.http.sent] == ["GET", "GET"]


def answer_as_pypi(request: Request) -> Reply:
    """Know no discovery, name an audience, and mint for whoever asks."""
    if request.path.endswith("/audience"):
        return Reply(200, {"audience": "pypi"})
    if request.path.endswith("/mint-token"):
        return Reply(200, {"success": True, "token": "pypi-minted", "expires": int(time.time()) + 900})
    return Reply(404)


# Against our own broker, in both dialects


def test_a_job_gets_a_token_for_uploading_to_the_index(job: Job) -> None:
    credential = job.issue()
    claims = jwt.decode(credential.secret.reveal(), options={"verify_signature": False})
    assert (claims["aud"], claims["scope"]) == (job.broker.index, "pypi:write")
    assert credential.username == "__token__"


def test_the_identity_token_is_made_for_the_audience_that_the_index_names(job: Job) -> None:
    job.issue()
    assert job.audiences == [job.broker.url]


def test_the_token_s_end_is_known(job: Job) -> None:
    credential = job.issue()
    assert credential.expires_at is not None
    assert credential.expires_at - credential.issued_at == pytest.approx(900, abs=5)
    assert credential.is_kept


def test_a_job_that_nobody_trusts_is_told_what_proved_it_and_what_to_add(job: Job, issuer: Issuer) -> None:
    job.identity = lambda audience: issuer.token(aud=audience, project_id="99")
    with pytest.raises(BrokerRefused, match="THE_CI") as caught:
        job.issue()
    assert caught.value.reason == "invalid-publisher"
    assert "trusted publisher" in caught.value.hint


def test_an_identity_token_that_was_used_is_told_and_not_repeated(job: Job, issuer: Issuer) -> None:
    used = issuer.token(aud=job.broker.url)
    job.identity = lambda _: used
    job.issue()
    with pytest.raises(BrokerRefused, match="used before") as caught:
        job.issue()
    assert "run the job again" in caught.value.hint
    assert used.reveal() not in f"{caught.value!r} {caught.value.hint} {caught.value.__context__!r}"


# What it is not for


def test_reading_is_refused_without_asking_anybody(job: Job) -> None:
    with pytest.raises(ConfigError, match="for uploads"):
        job.issue("read")
    assert job.audiences == []


def test_a_client_that_reads_is_answered_as_if_we_were_absent(job: Job, tmp_path: Path) -> None:
    resolver = Resolver(
        lambda: (job.index,),
        Cache(tmp_path / "credentials"),
        lambda _: TrustedPublishingProvider(),
        lambda: job.context,
        time.time,
    )
    assert resolver.credential(job.broker.index) is None
    assert resolver.credential(f"{job.broker.url}/legacy/") is not None


def test_without_an_upload_url_the_line_to_add_is_told(job: Job) -> None:
    job.index = job.index._replace(upload_url=None)
    with pytest.raises(ConfigError, match="no upload-url") as caught:
        job.issue()
    assert "upload-url = " in caught.value.hint


# Against indexes that lie, or differ


class Scripted:
    """A way out to an index that answers what a test says, by path; remembers what it was asked."""

    def __init__(self, **answers: Answer) -> None:
        self.answers = {"pytp": Answer(404, None), "audience": Answer(200, {"audience": "acme"}), **answers}
        self.asked: list[tuple[str, Mapping[str, object] | None]] = []

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str | Secret] = MappingProxyType({}),
        json: Mapping[str, object] | None = None,
    ) -> Answer:
        assert method == ("POST" if json else "GET")
        assert headers["Accept"]
        self.asked.append((url, json))
        name = url.partition("?")[0].rpartition("/")[2].removesuffix("-token")
        if name == "pytp" and self.answers[name].status == 302:
            raise BrokerMisbehaved("it redirects")
        return self.answers[name]


def ask(http: Scripted, folder: Path, *, identity: bool = True, **options: str) -> Credential:
    index = Index(
        "acme",
        IndexUrl.parse(f"{ORIGIN}/simple/"),
        upload_url=IndexUrl.parse(f"{ORIGIN}/a%20b/legacy/"),
        options=MappingProxyType(options),
    )
    context = Context(
        http=http,  # type: ignore[arg-type]
        sessions=FileSessions(folder),
        identify=lambda _: IdentityToken(IDENTITY, "THE_CI") if identity else None,
        now=lambda: NOW,
    )
    return TrustedPublishingProvider().issue(index, "upload", context)


def minted(expires: object = int(NOW) + 900, **more: object) -> Answer:
    return Answer(200, {"token": "pypi-t", "expires": expires, **more}, headers={"date": DATE})


def described(**changes: object) -> Answer:
    endpoints = {"audience-endpoint": f"{ORIGIN}/x/audience", "token-mint-endpoint": f"{ORIGIN}/x/mint-token"}
    return Answer(200, {**endpoints, **changes})


def test_discovery_names_the_path_of_the_upload_url(tmp_path: Path) -> None:
    http = Scripted(mint=minted())
    ask(http, tmp_path)
    assert http.asked[0][0] == f"{ORIGIN}/.well-known/pytp?discover=%2Fa%2520b%2Flegacy%2F"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(404, None), id="404"),
        pytest.param(Answer(406, None), id="406"),
        pytest.param(Answer(302, None), id="a-redirect"),
        pytest.param(Answer(200, None), id="a-page"),
        pytest.param(Answer(200, {"hello": "world"}), id="something-else"),
    ],
)
def test_an_index_without_discovery_is_asked_at_pypi_s_paths(tmp_path: Path, answer: Answer) -> None:
    http = Scripted(pytp=answer, mint=minted())
    assert ask(http, tmp_path).secret == Secret("pypi-t")
    assert [url for url, _ in http.asked[1:]] == [f"{ORIGIN}/_/oidc/audience", f"{ORIGIN}/_/oidc/mint-token"]


@pytest.mark.parametrize("key", ["audience-endpoint", "token-mint-endpoint"])
@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/mint-token",
        "https://packages.acme.example.evil.example/mint-token",
        "https://packages.acme.example:8443/mint-token",
        "http://packages.acme.example/mint-token",
    ],
)
def test_an_endpoint_elsewhere_is_not_asked(tmp_path: Path, key: str, url: str) -> None:
    http = Scripted(pytp=described(**{key: url}), mint=minted())
    with pytest.raises(BrokerMisbehaved):
        ask(http, tmp_path)
    assert len(http.asked) == 1


def test_a_configured_audience_is_not_left_to_the_index(tmp_path: Path) -> None:
    http = Scripted(mint=minted())
    ask(http, tmp_path, audience="acme-release")
    assert [url.rpartition("/")[2] for url, _ in http.asked[1:]] == ["mint-token"]


@pytest.mark.parametrize(
    ("features", "defaults", "asked_for", "is_kept"),
    [
        pytest.param(None, None, None, True, id="says-nothing"),
        pytest.param(
            ["single-use-token", "multi-use-token"], ["single-use-token"], ["multi-use-token"], True, id="both"
        ),
        pytest.param(["multi-use-token"], ["multi-use-token"], None, True, id="multi-use"),
        pytest.param(["single-use-token"], ["single-use-token"], None, False, id="single-use"),
    ],
)
def test_a_token_for_several_files_is_asked_for_and_one_for_a_single_file_is_not_kept(
    tmp_path: Path,
    features: list[str] | None,
    defaults: list[str] | None,
    asked_for: list[str] | None,
    *,
    is_kept: bool,
) -> None:
    said = {"features": features, "default-features": defaults}
    changes = {key: value for key, value in said.items() if value is not None}
    http = Scripted(pytp=described(**changes), mint=minted())
    assert ask(http, tmp_path).is_kept is is_kept
    body = http.asked[-1][1]
    assert body is not None
    assert body.get("features") == asked_for


@pytest.mark.parametrize(("expires", "life"), [(None, 900), (int(NOW) + 3600, 3600)], ids=["not-named", "named"])
def test_how_long_a_token_lives(tmp_path: Path, expires: int | None, life: float) -> None:
    credential = ask(Scripted(mint=minted(expires)), tmp_path)
    assert credential.expires_at == NOW + life


def test_a_clock_that_is_wrong_does_not_shorten_a_token(tmp_path: Path) -> None:
    an_hour_behind = Answer(200, {"token": "t", "expires": int(NOW) - 3600 + 900})._replace(
        headers={"date": "Mon, 21 Sep 2026 13:13:20 GMT"}
    )
    assert ask(Scripted(mint=an_hour_behind), tmp_path).expires_at == NOW + 900


PROBLEM = {"title": "no", "status": 403, "detail": "not a publisher", "code": "invalid-publisher"}


@pytest.mark.parametrize(
    ("answer", "kind", "message", "hint"),
    [
        pytest.param(
            Answer(
                422, {"message": "Token request failed", "errors": [{"code": "invalid-token", "description": "bad"}]}
            ),
            BrokerRefused,
            "bad",
            "clock",
            id="pypi",
        ),
        pytest.param(Answer(403, PROBLEM), BrokerRefused, "not a publisher", "workflow", id="pep-807"),
        pytest.param(Answer(403, {"errors": "x"}), BrokerRefused, "refused", "trusted publishers", id="without-words"),
        pytest.param(Answer(429, None, 7.0), BrokerUnreachable, "not ready", "again", id="throttled"),
        pytest.param(Answer(503, None), BrokerUnreachable, "not ready", "again", id="away"),
        pytest.param(Answer(200, None), BrokerMisbehaved, "no JSON", "upload-url", id="a-page"),
        pytest.param(Answer(200, {"token": 7}), BrokerMisbehaved, "token", "", id="a-number"),
        pytest.param(minted("soon"), BrokerMisbehaved, "expires", "", id="an-end-that-is-a-text"),
        pytest.param(minted(int(NOW) - 1), BrokerMisbehaved, "over already", "clock", id="over"),
    ],
)
def test_every_other_answer_is_an_error_of_ours_without_the_identity_token(
    tmp_path: Path, answer: Answer, kind: type[IndexpassError], message: str, hint: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        ask(Scripted(mint=answer), tmp_path)
    assert hint in caught.value.hint
    assert IDENTITY.reveal() not in f"{caught.value!r} {caught.value.hint}"


def test_an_index_that_offers_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(BrokerRefused, match="offers no trusted publishing"):
        ask(Scripted(audience=Answer(404, None)), tmp_path)


def test_without_an_identity_token_nothing_is_minted_and_the_permission_is_told(tmp_path: Path) -> None:
    http = Scripted(mint=minted())
    with pytest.raises(IdentityError) as caught:
        ask(http, tmp_path, identity=False)
    assert "id-token: write" in caught.value.hint
    assert not any(url.endswith("mint-token") for url, _ in http.asked)
