"""A person leaves the broker's pages for the company and comes back: a real broker, a provider that may lie."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
import requests
from sqlalchemy import select

from indexpass.broker.state import schema, users
from indexpass.errors import BrokerUnreachable
from servers.visitors import VisitorBrowser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.brokers import RunningBroker, StartBroker
    from servers.companies import Company

POLICIES = """
[[index]]
name = "inner"
url = "{url}/inner/simple/"

[[policy]]
name = "developers"
index = "inner"
operations = ["read"]
groups = ["python-devs"]
"""
_REFRESH = re.compile(r'<meta http-equiv="refresh" content="0; url=([^"]+)">')


@pytest.fixture
def broker(start_broker: StartBroker, company: Company) -> RunningBroker:
    return start_broker(POLICIES + company.settings)


@pytest.fixture
def browser(broker: RunningBroker) -> Iterator[VisitorBrowser]:
    visitor = VisitorBrowser(broker, user="local")
    yield visitor
    visitor.close()


def target(page: requests.Response) -> str:
    """Return where a page goes on to by itself."""
    found = _REFRESH.search(page.text)
    assert found, page.text
    return unescape(found[1])


def leave(browser: VisitorBrowser, place: str = "/sessions") -> str:
    """Press the button of the sign-in page; return the URL of the provider."""
    browser.open(place)
    return target(browser.submit_to("/company/sign-in"))


def enter(browser: VisitorBrowser, company: Company, place: str = "/sessions") -> requests.Response:
    """Sign in at the company, and go where that leads."""
    came_back = browser.open(company.come_back(leave(browser, place)))
    return browser.open(target(came_back)) if came_back.status_code == 200 else came_back


def entries(broker: RunningBroker) -> list[tuple[str, str, str]]:
    table = schema.audit
    query = select(table.c.who, table.c.result, table.c.reason).where(table.c.event == "company-sign-in")
    with broker.broker.store.reading() as connection:
        return [tuple(row) for row in connection.execute(query.order_by(table.c.id))]


def test_a_person_comes_back_to_the_code_that_they_came_for_and_is_granted_what_their_group_is(
    broker: RunningBroker, browser: VisitorBrowser, company: Company
) -> None:
    device = broker.begin_device(resource=f"{broker.url}/inner/simple/")
    page = enter(browser, company, f"/device?user_code={device['user_code']}")
    assert "Is this you?" in page.text
    assert browser.decide().status_code == 200
    answer = broker.poll(device["device_code"]).json()
    assert answer["user"] == "alice"
    assert entries(broker) == [("alice", "granted", "")]
    # The groups go with the session, not only with the first token.
    inner = {"resource": f"{broker.url}/inner/simple/"}
    assert broker.refresh(answer["refresh_token"], **inner).status_code == 200


def test_who_is_not_in_the_group_is_denied_and_costs_the_program_nothing(
    broker: RunningBroker, browser: VisitorBrowser, company: Company
) -> None:
    company.claims.update(groups=["everybody"])
    device = broker.begin_device(resource=f"{broker.url}/inner/simple/")
    enter(browser, company, f"/device?user_code={device['user_code']}")
    browser.decide()
    refused = broker.poll(device["device_code"])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_target")


def test_only_our_own_form_sends_anybody_to_the_company(broker: RunningBroker, browser: VisitorBrowser) -> None:
    assert browser.open("/company/sign-in").status_code == 405
    browser.open("/sessions")
    assert browser.send("/company/sign-in", form_token="guessed").status_code == 403
    foreign = requests.post(f"{broker.url}/company/sign-in", headers={"Origin": "https://evil.example"}, timeout=30)
    assert foreign.status_code == 403


def test_the_way_there_and_back_has_a_cookie_of_its_own_that_no_script_and_no_other_host_sees(
    start_broker: StartBroker, company: Company
) -> None:
    broker = start_broker(company.settings, tls=True)
    browser = VisitorBrowser(broker, user="local")
    leave(browser)
    left = browser.page.headers["Set-Cookie"]
    cookie = left[left.index("__Host-indexpass-away=") :]
    assert re.sub("=[^;]+", "", cookie, count=1).lower() == (
        "__host-indexpass-away; httponly; max-age=600; path=/; samesite=lax; secure"
    )
    browser.close()


@pytest.mark.parametrize(
    "tried",
    ["no-cookie", "another-state", "no-state", "twice", "later", "a-parameter-twice", "a-huge-query"],
)
def test_an_answer_that_this_browser_does_not_wait_for_signs_nobody_in(
    broker: RunningBroker, browser: VisitorBrowser, company: Company, tried: str
) -> None:
    came_back = company.come_back(leave(browser))
    if tried == "no-cookie":
        browser.forget_cookies()
    if tried == "another-state":
        came_back = re.sub("state=[^&]+", "state=guessed", came_back)
    if tried == "no-state":
        came_back = re.sub("state=[^&]+&", "", came_back)
    if tried == "twice":
        assert browser.open(came_back).status_code == 200
        browser.sign_out()
    if tried == "later":
        broker.clock.advance(601)
    if tried == "a-parameter-twice":
        came_back += "&code=another"
    if tried == "a-huge-query":
        came_back += f"&more={'a' * 9000}"
    page = browser.open(came_back)
    assert (page.status_code, "This sign-in is over" in page.text) == (400, True)
    assert "Set-Cookie" not in page.headers
    assert "Sign in first" in browser.open("/device").text


def test_an_answer_that_an_attacker_began_does_not_sign_a_victim_in_as_the_attacker(
    broker: RunningBroker, browser: VisitorBrowser, company: Company
) -> None:
    attacker = VisitorBrowser(broker, user="attacker")
    sent_to_the_victim = company.come_back(leave(attacker))
    leave(browser)  # even while the victim's own sign-in waits
    assert browser.open(sent_to_the_victim).status_code == 400
    attacker.close()


@pytest.mark.parametrize(
    "fields",
    [
        {"request": "https://evil.example/"},
        {"request": urlencode({"client_id": "indexpass", "redirect_uri": "https://evil.example/"})},
        {"page": "https://evil.example/"},
        {"user_code": "//evil.example"},
    ],
    ids=["a-url", "a-request-that-leads-away", "a-page", "a-code"],
)
def test_the_way_back_never_leads_off_the_broker(
    browser: VisitorBrowser, company: Company, fields: dict[str, str]
) -> None:
    browser.open("/device")
    page = browser.send("/company/sign-in", **fields)
    if page.status_code == 200:
        assert target(browser.open(company.come_back(target(page)))) == "/device"
    else:
        assert page.status_code == 400


def test_a_local_user_of_the_same_name_is_not_taken_over_and_the_page_says_what_to_do(
    broker: RunningBroker, browser: VisitorBrowser, company: Company
) -> None:
    company.claims.update(preferred_username="local")
    page = enter(browser, company)
    assert page.status_code == 409
    assert "indexpass broker user remove local" in page.text
    assert entries(broker) == [("local", "denied", "another user has the name")]


def test_another_person_whom_the_company_now_calls_the_same_is_not_taken_for_the_first(
    browser: VisitorBrowser, company: Company
) -> None:
    assert enter(browser, company).status_code == 200
    browser.sign_out()
    company.claims.update(sub="u-2002")
    assert enter(browser, company).status_code == 409


def test_a_person_keeps_their_name_when_the_company_renames_them(
    broker: RunningBroker, browser: VisitorBrowser, company: Company
) -> None:
    enter(browser, company)
    browser.sign_out()
    company.claims.update(preferred_username="alice.miller")
    enter(browser, company)
    assert [who for who, _, _ in entries(broker)] == ["alice", "alice"]


def test_a_person_of_the_company_has_no_password_that_could_be_guessed(
    broker: RunningBroker, browser: VisitorBrowser, company: Company
) -> None:
    enter(browser, company)
    with broker.broker.store.reading() as connection:
        user = users.find(connection, "alice")
    assert user is not None
    assert (user.password_hash, user.issuer, user.subject) == (None, company.url, "u-1001")
    browser.sign_out()
    browser.open("/device")
    assert browser.submit("password", user="alice", password="").status_code == 403


def test_a_provider_that_says_no_is_told_on_a_page_and_audited(
    broker: RunningBroker, browser: VisitorBrowser, company: Company
) -> None:
    came_back = company.come_back(leave(browser), error="access_denied", error_description="<b>no</b>", code="")
    page = browser.open(came_back)
    assert (page.status_code, "ACME did not let you in" in page.text) == (403, True)
    assert "<b>no</b>" not in page.text
    assert entries(broker) == [("", "denied", "the provider says access_denied")]


def test_a_provider_that_is_away_is_told_on_a_page_and_audited(
    broker: RunningBroker, browser: VisitorBrowser, company: Company
) -> None:
    came_back = company.come_back(leave(browser))
    company.failure = BrokerUnreachable("it is away")
    company.documents.clear()
    broker.clock.advance(301)  # the metadata is asked for anew
    page = browser.open(came_back)
    assert (page.status_code, "ACME cannot be asked" in page.text) == (503, True)
    [(who, result, reason)] = entries(broker)
    assert (who, result) == ("", "denied")
    assert company.url in reason


def test_more_groups_than_a_cookie_can_carry_are_refused_and_audited(
    start_broker: StartBroker, company: Company
) -> None:
    groups = [f"{number:04}-{'a' * 60}" for number in range(60)]
    broker = start_broker(POLICIES.replace('"python-devs"', str(groups)[1:-1].replace("'", '"')) + company.settings)
    browser = VisitorBrowser(broker, user="local")
    company.claims.update(groups=groups)
    page = enter(browser, company)
    assert (page.status_code, "You are in too many groups" in page.text) == (403, True)
    assert entries(broker) == [("", "denied", "you are in too many groups")]
    browser.close()


def test_the_password_is_asked_for_only_where_somebody_has_one(start_broker: StartBroker, company: Company) -> None:
    broker = start_broker(company.settings)
    page = broker.get("/device").text
    assert "Sign in with ACME" in page
    assert "Password" not in page
    browser = VisitorBrowser(broker, user="local")  # adds the user
    assert "Password" in browser.open("/device").text
    browser.close()


def test_a_broker_without_a_company_has_neither_button_nor_way(start_broker: StartBroker) -> None:
    broker = start_broker()
    assert "Sign in with" not in broker.get("/device").text
    assert broker.get("/company/callback?code=a&state=b").status_code == 404
