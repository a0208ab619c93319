"""Choosing a password by an invitation code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.applications import Starlette

from indexpass.broker.pages import login
from indexpass.broker.state import invitations, users
from servers.pages import Browser, Page, Parts, parts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NEW = "four plain words here"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Parts]:
    made = parts(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def browser(broker: Parts) -> Browser:
    return Browser(Starlette(routes=login.routes(broker)))


def invite(broker: Parts, name: str = "carol") -> str:
    with broker.store.writing() as connection:
        users.add(connection, name, None, broker.now())
        return invitations.begin(connection, name, seconds=3600, now=broker.now()).reveal()


def accept(browser: Browser, code: str, password: str = NEW, again: str = NEW) -> Page:
    browser.get("/invitation")
    return browser.fill_in("/invitation", code=code, password=password, again=again)


def test_who_is_invited_chooses_a_password_and_is_signed_in(broker: Parts, browser: Browser) -> None:
    page = accept(browser, invite(broker))
    assert (page.status, "Signed in as <strong>carol</strong>" in page.text) == (200, True)
    browser.fill_in("/signout")
    assert "Enter the code" in browser.sign_in("carol", NEW).text


def test_the_sign_in_page_leads_there(browser: Browser) -> None:
    assert 'href="/invitation"' in browser.get("/device").text


@pytest.mark.parametrize(
    ("password", "again", "says"),
    [
        ("short", "short", "12 to 1,024 characters"),
        (NEW, "something else", "not the same"),
        ("x" * 1025, "x" * 1025, "12 to 1,024 characters"),
    ],
    ids=["short", "different", "long"],
)
def test_a_password_that_cannot_be_is_refused_and_the_code_is_kept(
    broker: Parts, browser: Browser, password: str, again: str, says: str
) -> None:
    code = invite(broker)
    page = accept(browser, code, password, again)
    assert (page.status, says in page.text) == (400, True)
    assert accept(browser, code).status == 200


def test_neither_code_nor_password_is_sent_back(broker: Parts, browser: Browser) -> None:
    code = invite(broker)
    page = accept(browser, code, NEW, "something else entirely")
    assert [text for text in (code, NEW, "something else entirely") if text in page.text] == []


def test_a_code_works_once(broker: Parts, browser: Browser) -> None:
    code = invite(broker)
    accept(browser, code)
    page = accept(browser, code, "another four words", "another four words")
    assert (page.status, "used already" in page.text) == (403, True)


def test_wrong_codes_are_counted(broker: Parts, browser: Browser) -> None:
    statuses = [accept(browser, "B" * 20).status for _ in range(broker.settings.running.wrong_passwords.count + 1)]
    assert set(statuses[:-1]) == {403}
    assert (statuses[-1], "retry-after" in browser.page.headers) == (429, True)


def test_both_outcomes_are_audited_without_the_code(broker: Parts, browser: Browser) -> None:
    code = invite(broker)
    accept(browser, "B" * 20)
    accept(browser, code)
    assert broker.entries() == [
        ("invitation", "", "denied", "no such invitation"),
        ("invitation", "carol", "granted", ""),
    ]


def test_a_form_from_another_site_is_refused(broker: Parts, browser: Browser) -> None:
    code = invite(broker)
    browser.get("/invitation")
    headers = {"Origin": "https://evil.example"}
    assert browser.fill_in("/invitation", headers, code=code, password=NEW, again=NEW).status == 403


def test_a_code_in_the_url_is_ignored(broker: Parts, browser: Browser) -> None:
    code = invite(broker)
    assert code not in browser.get(f"/invitation?code={code}").text
