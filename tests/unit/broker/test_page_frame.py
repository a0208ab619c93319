"""What all pages share: the company's button, the groups that a sign-in keeps, and a database that does not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from sqlalchemy import select
from starlette.applications import Starlette

from indexpass.broker.pages import login
from indexpass.broker.pages.frame import MAX_GROUPS_LENGTH, Pages, Refused
from indexpass.broker.pages.times import ago, approximately, later
from indexpass.broker.settings import Company, People, Policy
from indexpass.broker.state import schema
from indexpass.broker.state.database import DatabaseAway
from servers.pages import Browser, Forms, Parts, parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Make = Callable[..., Parts]

COMPANY = Company("Acme & Sons", "https://login.acme.example", "id", None, (), (), "groups", frozenset(), None, False)  # noqa: FBT003  # a row of settings


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Make the parts of one broker, with settings of the test's own."""
    made: list[Parts] = []

    def make_one(**settings: object) -> Parts:
        made.append(parts(tmp_path, **settings))
        return made[-1]

    yield make_one
    for each in made:
        each.store.close()


def browser(broker: Parts) -> Browser:
    return Browser(Starlette(routes=login.routes(broker)))


def policies(*groups: str) -> tuple[Policy, ...]:
    return tuple(
        Policy(f"p{number}", "acme", frozenset({"read"}), People(frozenset(), frozenset({group})), None)
        for number, group in enumerate(groups)
    )


def forget_passwords(broker: Parts) -> None:
    with broker.store.writing() as connection:
        connection.execute(schema.users.update().values(password_hash=None))


# Where the company signs people in


def test_the_company_has_a_button_beside_the_password(make: Make) -> None:
    text = browser(make(company=COMPANY)).get("/device").text
    assert "Sign in with Acme &amp; Sons</button>" in text
    assert 'type="password"' in text


def test_the_button_carries_what_the_person_came_for(make: Make) -> None:
    page = browser(make(company=COMPANY)).get("/device?user_code=BCDF-GHJK")
    form = page.text.partition('action="/company/sign-in"')[2].partition("</form>")[0]
    assert 'name="user_code" value="BCDF-GHJK"' in form


def test_no_password_is_asked_for_where_nobody_has_one(make: Make) -> None:
    broker = make(company=COMPANY)
    forget_passwords(broker)
    assert 'type="password"' not in browser(broker).get("/device").text


def test_without_a_company_a_password_is_asked_for_even_if_nobody_has_one(make: Make) -> None:
    broker = make()
    forget_passwords(broker)
    text = browser(broker).get("/device").text
    assert 'type="password"' in text
    assert "Sign in with" not in text


# Groups


def test_a_sign_in_keeps_the_groups_that_a_policy_names(make: Make) -> None:
    pages = Pages(make(policies=policies("python-devs", "release")))
    assert pages.arriving("alice", frozenset({"python-devs", "canteen"})).groups == {"python-devs"}


def test_more_groups_than_a_cookie_holds_are_refused_and_not_cut(make: Make) -> None:
    names = [f"{number:096}" for number in range(MAX_GROUPS_LENGTH // 100 + 1)]  # 100 as JSON
    pages = Pages(make(policies=policies(*names)))
    with pytest.raises(Refused, match="too many groups"):
        pages.arriving("alice", frozenset(names))
    assert len(pages.arriving("alice", frozenset(names[1:])).groups) == len(names) - 1


@pytest.mark.parametrize(
    ("letters", "count"), [("0", MAX_GROUPS_LENGTH // 54), ("\u4e16", MAX_GROUPS_LENGTH // 304)], ids=["ascii", "cjk"]
)
def test_a_cookie_stays_below_what_browsers_keep(make: Make, letters: str, count: int) -> None:
    names = [f"{number:x}".rjust(50, letters) for number in range(count)]
    pages = Pages(make(policies=policies(*names)))
    answer = pages.redirect("/", pages.arriving("a" * 64, frozenset(names)))
    cookie = answer.headers["set-cookie"].partition(";")[0]
    assert len(cookie) < 4096


@pytest.mark.parametrize(
    "target",
    [
        "/device?user_code={code}",
        "/oauth/authorize?response_type=code&client_id=indexpass&redirect_uri=http%3A%2F%2F127.0.0.1%3A4000%2Fcallback"
        "&resource=https%3A%2F%2Findex.example%2Fsimple%2F&scope=pypi%3Aread&state=s&code_challenge_method=S256"
        "&code_challenge=" + "x" * 43,
    ],
    ids=["device", "browser"],
)
def test_an_approval_carries_the_groups_of_its_visitor(make: Make, target: str) -> None:
    broker = make(policies=policies("python-devs"))
    here, pages = browser(broker), Pages(broker)
    cookie = pages.redirect("/", pages.arriving("alice", frozenset({"python-devs"}))).headers["set-cookie"]
    here.cookies["indexpass"] = cookie.partition(";")[0].partition("=")[2]
    here.get(target.format(code=broker.ask()))
    assert "no policy of this broker" not in here.page.text
    path = target.partition("?")[0]
    form = next(fields for action, fields in Forms(here.page.text).forms if action == path)
    here.post(path, urlencode({**form, "decision": "approve"}).encode())
    table = schema.device_codes if path == "/device" else schema.authorization_codes
    with broker.store.reading() as connection:
        assert connection.scalar(select(table.c.groups)) == '["python-devs"]'


# A database that does not answer


class Away:
    """A store whose database is gone."""

    def __getattr__(self, name: str) -> object:
        raise DatabaseAway("no answer")


def test_a_database_that_does_not_answer_is_said_in_words(make: Make) -> None:
    broker = make()
    here = browser(broker)
    here.sign_in()
    broker.store, kept = Away(), broker.store  # type: ignore[assignment]  # a double
    page = here.get("/sessions")
    broker.store = kept
    assert (page.status, page.headers["retry-after"]) == (503, "30")
    assert "Its database does not answer" in page.text
    assert "set-cookie" not in page.headers


# Words for times


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, ""),
        (59, ""),
        (60, "1 minute"),
        (119 * 60, "119 minutes"),
        (120 * 60, "2 hours"),
        (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
    ],
)
def test_a_time_is_said_in_the_unit_to_remember_it_by(seconds: float, words: str) -> None:
    assert approximately(seconds) == words
    assert ago(seconds) == (f"{words} ago" if words else "just now")


def test_an_end_is_said_as_it_was_set() -> None:
    assert [later(seconds) for seconds in (15 * 60 - 1, 24 * 3600 - 1, 10, -61)] == [
        "in 15 minutes",
        "in 24 hours",
        "in 1 minute",
        "now",
    ]
