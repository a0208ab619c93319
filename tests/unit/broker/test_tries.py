from __future__ import annotations

from indexpass.broker.tries import Tries


def test_as_many_tries_are_allowed_as_the_limit_says() -> None:
    tries = Tries(2, 60)
    assert [tries.take("alice", 0.0) for _ in range(3)] == [0, 0, 60]


def test_the_wait_is_until_the_oldest_try_leaves_the_window() -> None:
    tries = Tries(2, 60)
    tries.take("alice", 0.0)
    tries.take("alice", 50.0)
    assert tries.take("alice", 50.5) == 10
    assert tries.take("alice", 60.0) == 0


def test_a_refused_try_does_not_prolong_the_wait() -> None:
    tries = Tries(1, 60)
    tries.take("alice", 0.0)
    tries.take("alice", 59.0)
    assert tries.take("alice", 60.0) == 0


def test_a_right_try_does_not_hide_wrong_ones() -> None:
    tries = Tries(2, 60)
    tries.take("alice", 0.0)
    for _ in range(5):
        assert tries.take("alice", 1.0) == 0
        tries.give_back("alice")
    assert tries.take("alice", 2.0) == 0
    assert tries.take("alice", 3.0) > 0


def test_giving_back_what_was_never_taken_changes_nothing() -> None:
    tries = Tries(1, 60)
    tries.give_back("alice")
    assert tries.take("alice", 0.0) == 0


def test_keys_do_not_share_tries() -> None:
    tries = Tries(1, 60)
    tries.take("alice", 0.0)
    assert tries.take("bob", 0.0) == 0


def test_memory_is_bounded_by_forgetting_the_key_tried_longest_ago() -> None:
    tries = Tries(1, 60, max_keys=2)
    for key in ("alice", "bob", "carol"):
        tries.take(key, 0.0)
    assert tries.take("carol", 1.0) > 0
    assert tries.take("alice", 1.0) == 0
