"""Guessing a password on the pages: two brokers on one database, strangers, and a browser that is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.applications import Starlette

from indexpass.broker.pages import login
from indexpass.broker.state import users
from servers.pages import PASSWORD, Browser, Parts, parts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.types import ASGIApp


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Parts]:
    made = parts(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def replicas(broker: Parts) -> list[ASGIApp]:
    """Two brokers that share the database, and nothing of what each counts in memory."""
    return [Starlette(routes=login.routes(broker)) for _ in range(2)]


def guess(replicas: list[ASGIApp], count: int = 10, *, user: str = "alice") -> Browser:
    """Guess so often, from another address each time, at all brokers in turn; return the last guesser."""
    guesser = Browser(replicas[0])
    for number in range(count):
        guesser = Browser(replicas[number % len(replicas)], address=f"198.51.100.{number}")
        guesser.sign_in(user, "a guess")
    return guesser


def lock(broker: Parts) -> None:
    """Lock the account of alice as ten guesses do, without the time that they take."""
    with broker.store.writing() as connection:
        while users.take_try(connection, "alice", broker.now()):
            pass


def sign_in_by_form(browser: Browser, password: str = PASSWORD) -> int:
    browser.get("/device")
    return browser.fill_in("/signin", user="alice", password=password).status


def test_an_account_is_locked_at_all_brokers(replicas: list[ASGIApp]) -> None:
    guess(replicas)
    assert [Browser(app, address="192.0.2.50").sign_in().status for app in replicas] == [403, 403]


def test_the_lock_ends_by_itself(broker: Parts, replicas: list[ASGIApp]) -> None:
    guess(replicas)
    broker.clock[0] += 15 * 60
    assert Browser(replicas[0], address="192.0.2.50").sign_in().status == 200


def test_nobody_can_tell_a_locked_account_from_a_wrong_password_or_an_unknown_name(replicas: list[ASGIApp]) -> None:
    unknown = guess(replicas, 11, user="mallory").page
    wrong = guess(replicas, 1).page
    locked = guess(replicas, 10).page
    texts = [page.text.replace("mallory", "").replace("alice", "") for page in (unknown, wrong, locked)]
    tokens = [text.partition('name="form_token" value="')[2].partition('"')[0] for text in texts]
    assert len({text.replace(token, "") for text, token in zip(texts, tokens, strict=True)}) == 1
    assert {page.status for page in (unknown, wrong, locked)} == {403}


def test_the_audit_tells_them_apart(broker: Parts, replicas: list[ASGIApp]) -> None:
    guess(replicas, 11)
    assert [reason for _, who, _, reason in broker.entries() if who == "alice"] == [
        *["wrong password"] * 9,
        "wrong password, and the account is locked now",
        "the account is locked",
    ]


def test_a_browser_that_is_known_is_not_locked_out_by_others(broker: Parts, replicas: list[ASGIApp]) -> None:
    own = Browser(replicas[0])
    own.sign_in()
    own.fill_in("/signout")
    lock(broker)
    assert sign_in_by_form(own) == 200
    assert "Enter the code" in own.page.text


def test_a_browser_is_known_for_one_person_only(broker: Parts, replicas: list[ASGIApp]) -> None:
    own = Browser(replicas[0])
    own.sign_in("bob")
    own.fill_in("/signout")
    lock(broker)
    assert sign_in_by_form(own) == 403


def test_who_stole_the_cookie_of_a_known_browser_still_has_few_guesses(replicas: list[ASGIApp]) -> None:
    own = Browser(replicas[0])
    own.sign_in()
    own.fill_in("/signout")
    statuses = []
    for number in range(6):
        thief = Browser(replicas[0], address=f"198.51.100.{number}", cookies=dict(own.cookies))
        statuses.append(sign_in_by_form(thief, "a guess"))
    assert statuses == [403] * 5 + [429]


@pytest.mark.parametrize("value", ["", "x", "WyJhbGljZSIsImlkIiwxMDAwMDAwXQ.c2lnbmF0dXJl"])
def test_a_forged_cookie_makes_no_browser_known(broker: Parts, replicas: list[ASGIApp], value: str) -> None:
    lock(broker)
    assert sign_in_by_form(Browser(replicas[0], cookies={"indexpass-known": value})) == 403


def test_the_cookie_of_the_sign_in_does_not_do_for_that_of_a_known_browser(
    broker: Parts, replicas: list[ASGIApp]
) -> None:
    own = Browser(replicas[0])
    own.sign_in()
    lock(broker)
    swapped = Browser(replicas[0], cookies={"indexpass-known": own.cookies["indexpass"]})
    assert sign_in_by_form(swapped) == 403


def test_a_browser_is_forgotten_after_half_a_year(broker: Parts, replicas: list[ASGIApp]) -> None:
    own = Browser(replicas[0])
    own.sign_in()
    broker.clock[0] += 180 * 24 * 3600
    lock(broker)
    assert sign_in_by_form(own) == 403
