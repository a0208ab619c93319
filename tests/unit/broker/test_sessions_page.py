"""My sessions: what a person sees of what is signed in as them, and the buttons that end it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.applications import Starlette

from indexpass.broker.pages import login, sessions
from indexpass.broker.settings import People, Policy
from indexpass.broker.state import sessions as state
from servers.pages import Browser, Forms, Page, Parts, parts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Parts]:
    made = parts(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def browser(broker: Parts) -> Browser:
    return Browser(Starlette(routes=login.routes(broker)))


def begin(broker: Parts, user: str = "alice", *, address: str = "198.51.100.7", client_id: str = "indexpass") -> str:
    with broker.store.writing() as connection:
        session, _ = state.begin(
            connection,
            user,
            client_id=client_id,
            seconds=24 * 3600,
            now=broker.now(),
            groups=frozenset({"python-devs"}),
            address=address,
        )
    return session.session_id


def open_ids(broker: Parts, user: str = "alice") -> set[str]:
    with broker.store.reading() as connection:
        return {found.session_id for found in state.list_open(connection, user, broker.now(), limit=1000)}


def go(browser: Browser, user: str = "alice") -> Page:
    browser.sign_in(user)
    return browser.get("/sessions")


def press(browser: Browser, **button: str) -> Page:
    return browser.fill_in("/sessions", **button)


def test_who_is_not_signed_in_signs_in_first_and_then_sees_them(broker: Parts, browser: Browser) -> None:
    begin(broker)
    assert "<h1>Sign in</h1>" in browser.get("/sessions").text
    page = browser.fill_in("/signin", user="alice", password="correct horse battery")
    assert "<h1>My sessions</h1>" in page.text


def test_a_session_is_shown_with_client_place_times_and_groups(broker: Parts, browser: Browser) -> None:
    begin(broker)
    broker.clock[0] += 2 * 3600
    page = go(browser)
    shown = ["indexpass", "used 2 hours ago", "198.51.100.7", "1970-01-12 13:46 UTC", "in 22 hours", "python-devs"]
    assert [text for text in shown if text not in page.text] == []


def test_the_sign_in_in_this_browser_is_shown_apart(broker: Parts, browser: Browser) -> None:
    browser.sign_in()
    broker.clock[0] += 5 * 60
    page = browser.get("/sessions")
    assert "Ends in 11 minutes" in page.text
    assert "None at the moment" in page.text


def test_nobody_sees_the_sessions_of_another(broker: Parts, browser: Browser) -> None:
    begin(broker, "bob", address="203.0.113.9")
    assert "203.0.113.9" not in go(browser).text


def test_what_a_program_says_of_itself_is_shown_as_text(broker: Parts, browser: Browser) -> None:
    begin(broker, client_id="<b>pip</b>", address="<i>")
    page = go(browser)
    assert "&lt;b&gt;pip&lt;/b&gt;" in page.text
    assert "<i>" not in page.text


def test_a_button_ends_one_session_and_leaves_the_others(broker: Parts, browser: Browser) -> None:
    first, second = begin(broker), begin(broker)
    go(browser)
    page = press(browser, session=first)
    assert (page.status, open_ids(broker)) == (200, {second})


def test_one_button_ends_them_all_and_signs_out_every_browser(broker: Parts, browser: Browser) -> None:
    for _ in range(3):
        begin(broker)
    other = Browser(browser.app)
    go(other)
    broker.clock[0] += 1
    go(browser)
    page = press(browser, all="yes")
    assert (page.status, "All sessions were revoked" in page.text, open_ids(broker)) == (200, True, set())
    assert ["<h1>Sign in</h1>" in each.get("/sessions").text for each in (browser, other)] == [True, True]


def test_a_copy_of_the_cookie_is_worth_nothing_once_all_are_signed_out(broker: Parts, browser: Browser) -> None:
    begin(broker)
    go(browser)
    copy = Browser(browser.app, cookies=dict(browser.cookies))
    broker.clock[0] += 1
    press(browser, all="yes")
    assert "<h1>Sign in</h1>" in copy.get("/sessions").text


def test_nobody_ends_the_session_of_another(broker: Parts, browser: Browser) -> None:
    begin(broker)
    theirs = begin(broker, "bob")
    go(browser)
    press(browser, session=theirs)
    assert open_ids(broker, "bob") == {theirs}


def test_a_session_that_has_ended_already_is_no_error(broker: Parts, browser: Browser) -> None:
    session = begin(broker)
    begin(broker)
    go(browser)
    shown = browser.page
    press(browser, session=session)
    browser.page = shown
    assert press(browser, session=session).status == 200


def test_what_was_ended_is_audited(broker: Parts, browser: Browser) -> None:
    session = begin(broker)
    begin(broker)
    go(browser)
    press(browser, session=session)
    press(browser, all="yes")
    assert broker.entries()[1:] == [
        ("session-revoked", "alice", "granted", "one session"),
        ("session-revoked", "alice", "granted", "all sessions"),
    ]


@pytest.mark.parametrize(
    ("headers", "fields"),
    [({"Origin": "https://evil.example"}, {}), ({}, {"form_token": "guessed"})],
    ids=["another-origin", "another-token"],
)
def test_another_site_cannot_end_a_session(
    broker: Parts, browser: Browser, headers: dict[str, str], fields: dict[str, str]
) -> None:
    session = begin(broker)
    go(browser)
    assert browser.fill_in("/sessions", headers, all="yes", **fields).status == 403
    assert open_ids(broker) == {session}


def test_who_is_not_signed_in_ends_nothing(broker: Parts, browser: Browser) -> None:
    session = begin(broker)
    token = Forms(browser.get("/sessions").text).forms[0][1]["form_token"]
    body = f"form_token={token}&session={session}".encode()
    assert browser.post("/sessions", body).status == 403
    assert open_ids(broker) == {session}


def test_a_page_shows_a_hundred_and_says_so(broker: Parts, browser: Browser) -> None:
    for _ in range(sessions.MAX_SHOWN + 1):
        begin(broker)
    page = go(browser)
    assert page.text.count('name="session"') == sessions.MAX_SHOWN
    assert "There may be more" in page.text


# What a sign-in passes on


def policy(groups: set[str], operation: str = "read", projects: frozenset[str] | None = None) -> Policy:
    return Policy("p", "acme", frozenset({operation}), People(frozenset({"alice"}), frozenset(groups)), None, projects)


def test_the_confirmation_says_what_no_policy_allows(tmp_path: Path) -> None:
    made = parts(tmp_path, policies=(policy(set()),))
    page = Browser(Starlette(routes=login.routes(made))).sign_in(code=made.ask(scope="pypi:read pypi:write"))
    made.store.close()
    assert page.text.count("no policy of this broker lets you") == 1


def test_the_confirmation_names_the_projects_that_it_is_about(tmp_path: Path) -> None:
    made = parts(tmp_path, policies=(policy(set(), "upload", frozenset({"acme-lib", "acme-app"})),))
    page = Browser(Starlette(routes=login.routes(made))).sign_in(code=made.ask(scope="pypi:write"))
    made.store.close()
    assert "only acme-app, acme-lib" in page.text
