"""Credentials and failures on disk: what comes back, and what counts as absent."""

from __future__ import annotations

import json
import os
import stat
import threading
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from indexpass._cache import DOUBT_SECONDS, MAX_GIVEN, RUN_SECONDS, Cache
from indexpass._model import Credential, Index, Operation
from indexpass._secret import Secret
from indexpass._url import IndexUrl
from indexpass.errors import BrokerRefused, BrokerUnreachable, IndexpassError

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_700_000_000.25
BROKER = "https://tokens.acme.example"
ACME = Index(
    "acme",
    IndexUrl.parse("https://packages.acme.example/simple/"),
    options=MappingProxyType({"broker": BROKER}),
)
CREDENTIAL = Credential("__token__", Secret("s3cret"), NOW, NOW + 3600)
DOWN = BrokerUnreachable("the broker is down", hint="wait a little")
REFUSED = BrokerRefused("no", reason="access_denied")
OTHER = ACME._replace(url=IndexUrl.parse("https://packages.acme.example/other/"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "credentials"


@pytest.fixture
def cache(folder: Path) -> Cache:
    return Cache(folder)


@pytest.fixture
def unwritable(tmp_path: Path) -> Cache:
    """Stand where no folder can be made, whoever we are."""
    (tmp_path / "file").write_bytes(b"")
    return Cache(tmp_path / "file" / "credentials")


def only_file(folder: Path, kind: str) -> Path:
    (path,) = folder.glob(f"*.{kind}")
    return path


def test_nothing_is_held_at_first(cache: Cache) -> None:
    assert cache.load(ACME, "read") is None


def test_looking_up_touches_nothing(cache: Cache, folder: Path) -> None:
    cache.load(ACME, "read")
    cache.failure(ACME, "read", NOW)
    cache.forget(ACME, "read")
    cache.forget_failures()
    assert not folder.exists()


def test_what_is_stored_is_held_for_every_process(cache: Cache, folder: Path) -> None:
    cache.store(ACME, "read", CREDENTIAL)
    assert Cache(folder).load(ACME, "read") == CREDENTIAL


def test_a_credential_without_an_expiry_is_held(cache: Cache) -> None:
    endless = CREDENTIAL._replace(expires_at=None)
    cache.store(ACME, "read", endless)
    assert cache.load(ACME, "read") == endless


def test_what_is_not_to_be_kept_is_held_by_this_process_alone(cache: Cache, folder: Path) -> None:
    cache.store(ACME, "read", CREDENTIAL)
    cache.store(ACME, "read", CREDENTIAL._replace(secret=Secret("elsewhere"), is_kept=False))
    held = cache.load(ACME, "read")
    assert held is not None
    assert held.secret == Secret("elsewhere")
    assert Cache(folder).load(ACME, "read") is None


def test_whole_seconds_are_held(cache: Cache) -> None:
    cache.store(ACME, "read", Credential("u", Secret("s"), 100, 200))
    assert cache.load(ACME, "read") == Credential("u", Secret("s"), 100.0, 200.0)


def test_the_files_are_private(cache: Cache, folder: Path) -> None:
    cache.store(ACME, "read", CREDENTIAL)
    cache.remember_failure(ACME, "upload", DOWN, NOW + 30)
    cache.remember_failure(ACME, "upload", REFUSED, NOW + 30)
    cache.is_given_again("a run", CREDENTIAL, NOW)
    with cache.lock(ACME, "read"):
        modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_no_file_name_tells_the_index(cache: Cache, folder: Path) -> None:
    cache.store(ACME, "read", CREDENTIAL)
    assert "acme" not in only_file(folder, "credential").name


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(ACME._replace(url=IndexUrl.parse("https://packages.acme.example/other/")), id="url"),
        pytest.param(ACME._replace(provider="google"), id="provider"),
        pytest.param(ACME._replace(options=MappingProxyType({"broker": "https://tokens.evil.test"})), id="broker"),
        pytest.param(ACME._replace(options=MappingProxyType({})), id="no-broker"),
    ],
)
def test_a_changed_index_does_not_meet_an_old_credential(cache: Cache, other: Index) -> None:
    cache.store(ACME, "read", CREDENTIAL)
    assert cache.load(other, "read") is None


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(ACME._replace(name="other"), id="name"),
        pytest.param(
            ACME._replace(upload_url=IndexUrl.parse("https://packages.acme.example/legacy/")), id="upload-url"
        ),
    ],
)
def test_what_does_not_matter_to_a_credential_may_change(cache: Cache, other: Index) -> None:
    cache.store(ACME, "read", CREDENTIAL)
    assert cache.load(other, "read") == CREDENTIAL


def test_read_and_upload_are_kept_apart(cache: Cache) -> None:
    cache.store(ACME, "read", CREDENTIAL)
    assert cache.load(ACME, "upload") is None


def test_what_is_forgotten_is_not_held(cache: Cache) -> None:
    cache.store(ACME, "read", CREDENTIAL)
    cache.forget(ACME, "read")
    assert cache.load(ACME, "read") is None


def test_forgetting_one_operation_keeps_the_other(cache: Cache) -> None:
    cache.store(ACME, "upload", CREDENTIAL)
    cache.forget(ACME, "read")
    assert cache.load(ACME, "upload") == CREDENTIAL


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="half-written"),
        pytest.param(b"\xff\xfe", id="not-utf8"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="a-list"),
        pytest.param(b"[" * 60_000, id="deeply-nested"),
        pytest.param(b'{"version": 2, "username": "u", "secret": "s", "issued_at": 1.0}', id="a-later-version"),
        pytest.param(b'{"version": 1}', id="no-members"),
        pytest.param(b'{"version": 1, "username": 1, "secret": "s", "issued_at": 1.0}', id="username-is-a-number"),
        pytest.param(b'{"version": 1, "username": "u", "secret": null, "issued_at": 1.0}', id="no-secret"),
        pytest.param(b'{"version": 1, "username": "u", "secret": "s", "issued_at": "now"}', id="issued-at-is-a-text"),
        pytest.param(
            b'{"version": 1, "username": "u", "secret": "s", "issued_at": 1.0, "expires_at": "x"}',
            id="expires-at-is-a-text",
        ),
        pytest.param(b" " * 100_000, id="too-large"),
    ],
)
def test_a_damaged_file_counts_as_absent(cache: Cache, folder: Path, data: bytes) -> None:
    cache.store(ACME, "read", CREDENTIAL)
    only_file(folder, "credential").write_bytes(data)
    assert cache.load(ACME, "read") is None


def test_a_file_that_others_can_read_counts_as_absent(cache: Cache, folder: Path) -> None:
    cache.store(ACME, "read", CREDENTIAL)
    only_file(folder, "credential").chmod(0o644)
    assert cache.load(ACME, "read") is None


def test_a_folder_in_place_of_the_file_counts_as_absent(cache: Cache, folder: Path) -> None:
    cache.store(ACME, "read", CREDENTIAL)
    path = only_file(folder, "credential")
    path.unlink()
    path.mkdir(mode=0o700)
    assert cache.load(ACME, "read") is None


def test_a_symbolic_link_counts_as_absent(cache: Cache, folder: Path, tmp_path: Path) -> None:
    cache.store(ACME, "read", CREDENTIAL)
    path = only_file(folder, "credential")
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert cache.load(ACME, "read") is None


def test_a_damaged_file_is_replaced_by_the_next_credential(cache: Cache, folder: Path) -> None:
    cache.store(ACME, "read", CREDENTIAL)
    only_file(folder, "credential").write_bytes(b"{")
    cache.store(ACME, "read", CREDENTIAL)
    assert cache.load(ACME, "read") == CREDENTIAL


def test_a_failure_is_remembered_with_its_code_and_hint(cache: Cache, folder: Path) -> None:
    cache.remember_failure(ACME, "read", DOWN, NOW + 30)
    failure = Cache(folder).failure(ACME, "read", NOW)
    assert failure is not None
    assert (failure.message, failure.hint, failure.code) == (DOWN.message, DOWN.hint, DOWN.code)


def test_a_failure_is_over_at_its_time(cache: Cache) -> None:
    cache.remember_failure(ACME, "read", DOWN, NOW + 30)
    assert cache.failure(ACME, "read", NOW + 30) is None


def test_a_failure_far_in_the_future_is_a_clock_that_was_set_back_and_is_ignored(cache: Cache) -> None:
    cache.remember_failure(ACME, "read", DOWN, NOW + 30)
    assert cache.failure(ACME, "read", NOW - 86_400) is None


@pytest.mark.parametrize(
    ("index", "operation"),
    [pytest.param(ACME, "upload", id="operation"), pytest.param(OTHER, "read", id="index")],
)
def test_a_refusal_is_of_one_operation_on_one_index(cache: Cache, index: Index, operation: Operation) -> None:
    cache.remember_failure(ACME, "read", REFUSED, NOW + 30)
    assert cache.failure(ACME, "read", NOW) is not None
    assert cache.failure(index, operation, NOW) is None


@pytest.mark.parametrize(
    ("index", "operation"),
    [
        pytest.param(ACME, "read", id="the-same"),
        pytest.param(ACME, "upload", id="operation"),
        pytest.param(OTHER, "read", id="index"),
        pytest.param(OTHER._replace(options=MappingProxyType({"broker": f"{BROKER}/team"})), "read", id="path"),
    ],
)
def test_a_broker_that_cannot_be_reached_is_remembered_for_all_that_it_issues(
    cache: Cache, folder: Path, index: Index, operation: Operation
) -> None:
    cache.remember_failure(ACME, "read", DOWN, NOW + 30)
    failure = Cache(folder).failure(index, operation, NOW)
    assert failure is not None
    assert (failure.message, failure.hint, failure.code) == (DOWN.message, DOWN.hint, DOWN.code)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"broker": "https://tokens.acme.example:444"}, id="port"),
        pytest.param({"broker": "https://tokens.other.example"}, id="host"),
        pytest.param({}, id="none"),
    ],
)
def test_another_broker_may_be_reachable(cache: Cache, options: dict[str, str]) -> None:
    cache.remember_failure(ACME, "read", DOWN, NOW + 30)
    assert cache.failure(OTHER._replace(options=MappingProxyType(options)), "read", NOW) is None


def test_what_cannot_be_reached_without_a_broker_is_remembered_for_its_index(cache: Cache) -> None:
    alone = ACME._replace(options=MappingProxyType({}))
    cache.remember_failure(alone, "read", DOWN, NOW + 30)
    assert cache.failure(alone, "read", NOW) is not None


@pytest.mark.parametrize("failure", [DOWN, REFUSED], ids=["unreachable", "refused"])
def test_a_credential_ends_the_failure_before_it(cache: Cache, failure: IndexpassError) -> None:
    cache.remember_failure(ACME, "read", failure, NOW + 30)
    cache.store(ACME, "read", CREDENTIAL)
    assert cache.failure(ACME, "read", NOW) is None


def test_a_failure_keeps_the_credential_that_is_held(cache: Cache) -> None:
    cache.store(ACME, "read", CREDENTIAL)
    cache.remember_failure(ACME, "read", DOWN, NOW + 30)
    assert cache.load(ACME, "read") == CREDENTIAL


def test_after_a_sign_in_every_failure_is_forgotten_and_no_credential(cache: Cache) -> None:
    cache.store(ACME, "read", CREDENTIAL)
    cache.remember_failure(ACME, "read", DOWN, NOW + 30)
    cache.remember_failure(ACME, "upload", BrokerRefused("no", reason="access_denied"), NOW + 30)
    cache.forget_failures()
    assert [cache.failure(ACME, "read", NOW), cache.failure(ACME, "upload", NOW)] == [None, None]
    assert cache.load(ACME, "read") == CREDENTIAL


@pytest.mark.parametrize("data", [b"{}", b'{"version": 1, "until": "soon"}', b'{"version": 1, "until": true}', b"\x00"])
def test_a_damaged_failure_counts_as_absent(cache: Cache, folder: Path, data: bytes) -> None:
    cache.remember_failure(ACME, "read", DOWN, NOW + 30)
    only_file(folder, "failure").write_bytes(data)
    assert cache.failure(ACME, "read", NOW) is None


def test_a_credential_that_cannot_be_written_is_held_by_this_process(unwritable: Cache) -> None:
    unwritable.store(ACME, "read", CREDENTIAL)
    assert unwritable.load(ACME, "read") == CREDENTIAL


def test_a_failure_that_cannot_be_written_is_remembered_by_this_process(unwritable: Cache) -> None:
    unwritable.remember_failure(ACME, "read", DOWN, NOW + 30)
    assert unwritable.failure(ACME, "read", NOW) is not None


def test_what_cannot_be_written_can_be_forgotten(unwritable: Cache) -> None:
    unwritable.store(ACME, "read", CREDENTIAL)
    unwritable.forget(ACME, "read")
    assert unwritable.load(ACME, "read") is None


def test_a_folder_that_becomes_writable_is_used(tmp_path: Path, unwritable: Cache) -> None:
    unwritable.store(ACME, "read", CREDENTIAL)
    (tmp_path / "file").unlink()
    renewed = CREDENTIAL._replace(secret=Secret("renewed"))
    unwritable.store(ACME, "read", renewed)
    assert Cache(tmp_path / "file/credentials").load(ACME, "read") == unwritable.load(ACME, "read") == renewed


def test_a_folder_that_is_open_to_others_receives_nothing(cache: Cache, folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    cache.store(ACME, "read", CREDENTIAL)
    assert list(folder.iterdir()) == []


def test_a_complaint_of_the_disk_holds_no_secret(unwritable: Cache, caplog: pytest.LogCaptureFixture) -> None:
    unwritable.store(ACME, "read", CREDENTIAL)
    assert "cannot be made" in caplog.text
    assert "s3cret" not in caplog.text


def test_without_a_folder_the_work_goes_on_without_a_lock(unwritable: Cache) -> None:
    with unwritable.lock(ACME, "read"):
        reached = True
    assert reached


def test_the_lock_keeps_others_out_until_it_is_released(cache: Cache, folder: Path) -> None:
    order: list[str] = []

    def contend() -> None:
        with Cache(folder).lock(ACME, "read"):
            order.append("second")

    contender = threading.Thread(target=contend)
    with cache.lock(ACME, "read"):
        contender.start()
        contender.join(0.2)  # time to go wrong in
        order.append("first")
    contender.join()
    assert order == ["first", "second"]


def test_locks_of_two_operations_do_not_meet(cache: Cache) -> None:
    with cache.lock(ACME, "read"), cache.lock(ACME, "upload"):
        reached = True
    assert reached


def test_an_exception_under_the_lock_releases_it(cache: Cache) -> None:
    with pytest.raises(KeyError), cache.lock(ACME, "read"):
        raise KeyError
    with cache.lock(ACME, "read"):
        reached = True
    assert reached


def test_a_credential_file_holds_nothing_but_what_is_needed(cache: Cache, folder: Path) -> None:
    cache.store(ACME, "read", CREDENTIAL)
    entry = json.loads(only_file(folder, "credential").read_bytes())
    assert entry == {
        "version": 1,
        "username": "__token__",
        "secret": "s3cret",
        "issued_at": NOW,
        "expires_at": NOW + 3600,
    }


def given(cache: Cache, number: int, *, now: float = NOW, run: str = "4711-12345") -> bool:
    return cache.is_given_again(run, CREDENTIAL._replace(secret=Secret(f"s3cret-{number}")), now)


def test_a_credential_that_a_run_is_given_twice_is_noticed(cache: Cache) -> None:
    assert [given(cache, 1), given(cache, 1)] == [False, True]


def test_what_a_run_was_given_is_known_to_every_process(cache: Cache, folder: Path) -> None:
    given(cache, 1)
    assert given(Cache(folder), 1)


def test_another_run_is_given_the_credential_for_the_first_time(cache: Cache) -> None:
    given(cache, 1)
    assert not given(cache, 1, run="4711-67890")


def test_another_credential_is_given_for_the_first_time(cache: Cache) -> None:
    given(cache, 1)
    assert not given(cache, 2)


def test_a_credential_comes_into_doubt_once_in_30_seconds(cache: Cache) -> None:
    given(cache, 1)
    times = [NOW, NOW + 1, NOW + DOUBT_SECONDS - 1, NOW + DOUBT_SECONDS, NOW + DOUBT_SECONDS + 1]
    assert [given(cache, 1, now=now) for now in times] == [True, False, False, True, False]


def test_a_clock_that_is_set_back_does_not_still_a_doubt(cache: Cache) -> None:
    given(cache, 1)
    given(cache, 1)
    assert given(cache, 1, now=NOW - 86_400)


def test_a_run_does_not_fill_the_disk(cache: Cache, folder: Path) -> None:
    for number in range(MAX_GIVEN + 1):
        given(cache, number)
    assert len(json.loads(only_file(folder, "run").read_bytes())["given"]) == MAX_GIVEN
    assert [given(cache, 0), given(cache, MAX_GIVEN)] == [False, True]


@pytest.mark.parametrize(("seconds", "left"), [(-10, 2), (-RUN_SECONDS - 10, 1), (2 * RUN_SECONDS, 1)])
def test_a_new_run_clears_away_what_runs_of_another_day_left(
    cache: Cache, folder: Path, seconds: float, left: int
) -> None:
    given(cache, 1, run="before")
    os.utime(only_file(folder, "run"), (NOW + seconds, NOW + seconds))
    given(cache, 1, run="after")
    assert len(list(folder.glob("*.run"))) == left


def test_the_file_of_a_run_holds_no_secret_and_names_nothing(cache: Cache, folder: Path) -> None:
    given(cache, 1)
    given(cache, 1)
    path = only_file(folder, "run")
    assert "s3cret" not in path.read_text()
    assert json.loads(path.read_bytes()).keys() == {"version", "given"}
    assert "4711" not in path.name


@pytest.mark.parametrize("data", [b"", b"{", b'{"version": 1, "given": []}', b'{"version": 1, "given": {"x": "y"}}'])
def test_a_damaged_file_of_a_run_counts_as_absent(cache: Cache, folder: Path, data: bytes) -> None:
    given(cache, 1)
    only_file(folder, "run").write_bytes(data)
    assert [given(cache, 1), given(cache, 1)] == [False, True]


def test_where_nothing_can_be_written_a_process_knows_what_it_was_given(unwritable: Cache) -> None:
    assert [given(unwritable, 1), given(unwritable, 1)] == [False, True]
