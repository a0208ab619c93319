"""Two brokers on one database: whatever they do at the same moment, they never contradict each other."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import pytest
from sqlalchemy import func, select

from indexpass._authorization import AuthorizationRequest, challenge_of, new_verifier
from indexpass.broker.oauth import OAuthError
from indexpass.broker.state import codes, devices, replay, schema, sessions
from indexpass.broker.state.database import DatabaseAway
from indexpass.broker.state.store import Store
from servers.postgres import on_both

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from indexpass._secret import Secret
    from indexpass.broker.keys import Keys

pytestmark = on_both
NOW = 1_800_000_000.0
THREADS = 6
ROUNDS = 12
_T = TypeVar("_T")


@pytest.fixture
def stores(new_database: Callable[[Path], str], tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """Two stores as of two processes, with one user, alice."""
    url = new_database(tmp_path)
    with ExitStack() as stack:
        pair = (stack.enter_context(closing(Store(url))), stack.enter_context(closing(Store(url))))
        pair[0].add_user("alice", "a hash", NOW)
        yield pair


def at_once(stores: tuple[Store, Store], work: Callable[[Store, int], _T]) -> list[_T]:
    """Do the work on many threads at the same moment, half of them at each store."""
    barrier = threading.Barrier(THREADS)

    def run(number: int) -> _T:
        barrier.wait(30)
        return work(stores[number % 2], number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def test_an_identity_token_is_taken_once(stores: tuple[Store, Store]) -> None:
    def claim(store: Store, key: str) -> bool:
        with store.writing() as connection:
            return replay.use(connection, key, NOW + 300)

    for number in range(ROUNDS):
        assert sum(at_once(stores, lambda store, _, key=f"key {number}": claim(store, key))) == 1


def test_two_replicas_that_take_the_same_tokens_together_never_wait_for_each_other(
    stores: tuple[Store, Store],
) -> None:
    def use_all(store: Store, number: int, round_number: int) -> bool:
        uses = [replay.Use(f"{round_number}-{key}", NOW + 300) for key in range(50)]
        try:
            with store.writing() as connection:
                if not replay.use_all(connection, uses if number % 2 else uses[::-1]):
                    raise ZeroDivisionError  # noqa: TRY301  # to roll back
        except ZeroDivisionError:
            return False
        return True

    for number in range(ROUNDS):
        assert sum(at_once(stores, partial(use_all, round_number=number))) == 1


def test_an_identity_token_is_free_again_if_nothing_came_of_the_first_use(stores: tuple[Store, Store]) -> None:
    first, second = stores
    with pytest.raises(ZeroDivisionError), first.writing() as connection:  # noqa: PT012  # it fails inside
        assert replay.use(connection, "key", NOW + 300)
        raise ZeroDivisionError
    with second.writing() as connection:
        assert replay.use(connection, "key", NOW + 300)


def test_only_one_decision_counts(stores: tuple[Store, Store]) -> None:
    def decide(store: Store, number: int, user_code: str) -> bool:
        return store.decide_device(user_code, "alice", approved=number < THREADS // 2, now=NOW)

    for _ in range(ROUNDS):
        _, user_code = begin_device(stores[0])
        assert sum(at_once(stores, lambda store, number, code=user_code: decide(store, number, code))) == 1


def test_an_approval_is_picked_up_once(stores: tuple[Store, Store]) -> None:
    def pick_up(store: Store, device_code: Secret) -> bool:
        with store.writing() as connection:
            outcome = devices.poll(connection, device_code, NOW)
        if isinstance(outcome, OAuthError):
            return False
        with store.writing() as connection:
            return devices.redeem(connection, device_code, NOW)

    for _ in range(ROUNDS):
        device_code, user_code = begin_device(stores[0])
        stores[0].decide_device(user_code, "alice", approved=True, now=NOW)
        assert sum(at_once(stores, lambda store, _, code=device_code: pick_up(store, code))) == 1


def test_a_code_from_the_browser_begins_one_session(stores: tuple[Store, Store]) -> None:
    verifier = new_verifier()
    asked = AuthorizationRequest(
        redirect_uri="http://127.0.0.1:1/callback",
        resource="https://x/",
        scope="pypi:read",
        state="s",
        code_challenge=challenge_of(verifier),
    )

    def pick_up(store: Store, code: Secret) -> bool:
        with store.writing() as connection:
            found = codes.find(
                connection, code, client_id="c", redirect_uri=asked.redirect_uri, verifier=verifier, now=NOW
            )
        if isinstance(found, OAuthError):
            return False
        with store.writing() as connection:
            session, _ = sessions.begin(connection, "alice", client_id="c", seconds=60, now=NOW)
            return codes.redeem(connection, code, session.session_id, keep_until=NOW + 60)

    for _ in range(ROUNDS):
        code = stores[0].add_code(asked, "alice", client_id="c", now=NOW)
        assert sum(at_once(stores, lambda store, _, code=code: pick_up(store, code))) == 1


def test_whoever_asks_with_one_refresh_token_gets_the_same_successor(stores: tuple[Store, Store], keys: Keys) -> None:
    token = begin_session(stores[0])
    for _ in range(ROUNDS):
        successors = at_once(stores, lambda store, _, token=token: refresh(store, keys, token))
        assert len({successor.reveal() for successor in successors if successor}) == 1
        assert None not in successors
        token = successors[0]
    with stores[1].reading() as connection:
        assert connection.scalar(select(func.count()).select_from(schema.refresh_tokens)) == ROUNDS + 1


@pytest.mark.parametrize("seed", range(3))
def test_no_lost_answer_ends_a_session(stores: tuple[Store, Store], keys: Keys, seed: int) -> None:
    """Each thread keeps one session alive, at either broker; a third of the answers is lost, some half way."""

    def keep_alive(_: Store, number: int) -> bool:
        chance = random.Random(f"{seed} {number}")  # noqa: S311  # a test's own dice
        token = begin_session(stores[number % 2])
        for _ in range(ROUNDS):
            store = chance.choice(stores)
            if chance.random() < 0.2:  # killed before the commit
                with pytest.raises(ZeroDivisionError), store.writing() as connection:  # noqa: PT012  # likewise
                    found = sessions.find(connection, token, NOW)
                    assert not isinstance(found, OAuthError)
                    sessions.rotate(connection, keys, token, found, NOW)
                    raise ZeroDivisionError
                continue
            successor = refresh(store, keys, token)
            if successor is None:
                return False
            if chance.random() < 0.8:  # else the answer was lost after the commit
                token = successor
        return True

    assert all(at_once(stores, keep_alive))


def test_a_purge_takes_nothing_from_those_who_are_at_work(stores: tuple[Store, Store], keys: Keys) -> None:
    def work(store: Store, number: int) -> bool:
        if number < 2:
            for _ in range(ROUNDS):
                store.purge(NOW)
            return True
        token = begin_session(store)
        for _ in range(ROUNDS):
            successor = refresh(store, keys, token)
            if successor is None:
                return False
            token = successor
        return True

    assert all(at_once(stores, work))


def test_closing_waits_for_who_is_at_work_and_lets_nobody_begin(stores: tuple[Store, Store]) -> None:
    store, other = stores
    has_begun, may_end = threading.Event(), threading.Event()

    def work() -> None:
        with store.writing() as connection:
            has_begun.set()
            may_end.wait(30)
            replay.use(connection, "key", NOW + 300)

    with ThreadPoolExecutor(2) as pool:
        working = pool.submit(work)
        assert has_begun.wait(30)
        closing_it = pool.submit(store.close)
        with pytest.raises(DatabaseAway, match="closed"):  # noqa: PT012  # it is closed a moment later
            while not closing_it.done():
                store.user("alice")
        may_end.set()
        working.result(30)
        closing_it.result(30)
    with other.writing() as connection:
        assert not replay.use(connection, "key", NOW + 300)


def begin_device(store: Store) -> tuple[Secret, str]:
    with store.writing() as connection:
        return devices.begin(connection, client_id="c", resource="https://x/", scope="s", address="::1", now=NOW)


def begin_session(store: Store) -> Secret:
    with store.writing() as connection:
        return sessions.begin(connection, "alice", client_id="c", seconds=3600, now=NOW)[1]


def refresh(store: Store, keys: Keys, token: Secret) -> Secret | None:
    """Do as an exchange does: look in one transaction, and spend in another."""
    with store.writing() as connection:
        found = sessions.find(connection, token, NOW)
    if isinstance(found, OAuthError):
        return None
    with store.writing() as connection:
        return sessions.rotate(connection, keys, token, found, NOW)
