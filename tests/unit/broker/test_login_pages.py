from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from starlette.applications import Starlette

from indexpass.broker.pages import login
from indexpass.broker.state import schema
from servers.pages import INDEX, PASSWORD, Browser, Forms, Parts, parts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.types import ASGIApp

ELSEWHERE = "BCDF-GHJK"  # well formed, and nobody's


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Parts]:
    made = parts(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def app(broker: Parts) -> ASGIApp:
    return Starlette(routes=login.routes(broker))


@pytest.fixture
def browser(app: ASGIApp) -> Browser:
    return Browser(app)


# --- the way through


def test_signing_in_leads_to_the_request_that_the_link_named(broker: Parts, browser: Browser) -> None:
    code = broker.ask()

    page = browser.sign_in(code=code)
    assert (page.status, "Is this you?" in page.text, code in page.text) == (200, True, True)


def test_the_page_shows_who_asks_for_what_and_from_where(broker: Parts, browser: Browser) -> None:
    page = browser.sign_in(code=broker.ask(scope="pypi:read pypi:write"))

    shown = ["indexpass", "198.51.100.7", "192.0.2.1", "acme", str(INDEX), "Download packages", "Upload packages"]
    assert [text for text in shown if text not in page.text] == []


def test_the_page_says_how_long_the_sign_in_lasts(broker: Parts, browser: Browser) -> None:
    assert "Up to 24 hours" in browser.sign_in(code=broker.ask()).text


def test_a_code_may_be_typed_after_signing_in(broker: Parts, browser: Browser) -> None:
    code = broker.ask()
    browser.sign_in()
    assert "Enter the code" in browser.page.text

    page = browser.get(f"/device?user_code={code.replace('-', '').lower()}")
    assert "Is this you?" in page.text


@pytest.mark.parametrize(("button", "decision"), [("approve", "approved"), ("deny", "denied")])
def test_a_decision_is_stored_in_the_name_of_who_made_it(
    broker: Parts, browser: Browser, button: str, decision: str
) -> None:
    code = broker.ask()
    browser.sign_in(code=code)
    browser.decide(button)
    assert broker.decision(code) == (decision, "alice")


@pytest.mark.parametrize(
    ("button", "entry"),
    [("approve", ("device-approved", "alice", "granted", "")), ("deny", ("device-denied", "alice", "denied", ""))],
)
def test_a_decision_is_audited(broker: Parts, browser: Browser, button: str, entry: tuple[str, ...]) -> None:
    browser.sign_in(code=broker.ask())
    browser.decide(button)
    assert broker.entries() == [("sign-in", "alice", "granted", ""), entry]


@pytest.mark.parametrize(("button", "heading"), [("approve", "Approved"), ("deny", "Denied")])
def test_a_decision_is_confirmed(broker: Parts, browser: Browser, button: str, heading: str) -> None:
    browser.sign_in(code=broker.ask())
    page = browser.decide(button)
    assert (page.status, heading in page.text, "You can close this window." in page.text) == (200, True, True)


def test_a_request_is_decided_once(broker: Parts, browser: Browser) -> None:
    code = broker.ask()
    browser.sign_in(code=code)
    confirm = browser.page
    browser.decide("deny")

    browser.page = confirm
    assert browser.decide("approve").status == 409
    assert broker.decision(code) == ("denied", "alice")


def test_a_request_that_has_expired_cannot_be_approved(broker: Parts, browser: Browser) -> None:
    code = broker.ask()
    browser.sign_in(code=code)
    broker.clock[0] += 601

    assert browser.decide("approve").status == 409
    assert broker.decision(code) == (None, None)


def test_signing_out_ends_the_session_in_the_browser(broker: Parts, browser: Browser) -> None:
    browser.sign_in()
    assert "Signed out" in browser.fill_in("/signout").text
    assert "<h1>Sign in</h1>" in browser.get(f"/device?user_code={broker.ask()}").text


# --- who may look, and how often


def test_a_stranger_cannot_tell_a_code_that_exists_from_one_that_does_not(broker: Parts, app: ASGIApp) -> None:
    code = broker.ask()
    pages = [Browser(app).get(f"/device?user_code={each}") for each in (code, ELSEWHERE)]

    secrets = [next(v["form_token"] for t, v in Forms(page.text).forms if t == "/signin") for page in pages]
    real, made_up = (
        page.text.replace(secret, "").replace(each, "")
        for page, secret, each in zip(pages, secrets, (code, ELSEWHERE), strict=True)
    )
    assert (real, pages[0].status) == (made_up, pages[1].status)


def test_a_wrong_password_and_an_unknown_user_look_the_same(browser: Browser) -> None:
    replies = []
    for user, password in (("alice", "wrong password"), ("mallory", PASSWORD)):
        page = browser.sign_in(user, password)
        replies.append((page.status, page.text.replace(user, "")))
    assert replies[0] == replies[1]
    assert "The user name or the password is wrong." in replies[0][1]


def test_a_name_that_nobody_has_is_not_recorded(broker: Parts, browser: Browser) -> None:
    browser.sign_in("a password in the wrong field", "x")
    assert broker.entries() == [("sign-in", "", "denied", "unknown user")]


def test_the_sixth_wrong_password_is_not_even_looked_at(broker: Parts, browser: Browser) -> None:
    for _ in range(5):
        assert browser.sign_in(password="wrong").status == 403

    page = browser.sign_in(password=PASSWORD)
    assert (page.status, page.headers["retry-after"]) == (429, "300")
    assert broker.entries()[-1] == ("sign-in", "", "denied", "too many wrong passwords")


def test_wrong_passwords_are_forgiven_after_five_minutes(broker: Parts, browser: Browser) -> None:
    for _ in range(5):
        browser.sign_in(password="wrong")
    broker.clock[0] += 300

    assert browser.sign_in().status == 200


@pytest.mark.parametrize(("user", "address"), [("bob", "192.0.2.1"), ("alice", "192.0.2.2")], ids=["user", "address"])
def test_wrong_passwords_do_not_lock_out_another(app: ASGIApp, user: str, address: str) -> None:
    guesser = Browser(app)
    for _ in range(5):
        guesser.sign_in(password="wrong")

    assert Browser(app, address).sign_in(user).status == 200


def test_after_five_wrong_codes_even_a_right_one_has_to_wait(broker: Parts, browser: Browser) -> None:
    browser.sign_in()
    for _ in range(5):
        assert browser.get(f"/device?user_code={ELSEWHERE}").status == 404

    page = browser.get(f"/device?user_code={broker.ask()}")
    assert (page.status, page.headers["retry-after"]) == (429, "600")


def test_signing_in_again_gives_no_more_tries(app: ASGIApp) -> None:
    for _ in range(5):
        browser = Browser(app)
        browser.sign_in()
        browser.get(f"/device?user_code={ELSEWHERE}")

    assert Browser(app, "192.0.2.99").sign_in(code=ELSEWHERE).status == 429


def test_guesses_by_form_count_like_guesses_by_link(broker: Parts, browser: Browser) -> None:
    browser.sign_in(code=broker.ask())
    confirm = browser.page
    for _ in range(5):
        browser.page = confirm
        assert browser.decide("approve", user_code=ELSEWHERE).status == 409

    browser.page = confirm
    assert browser.decide("approve").status == 429


# --- forms and cookies


def test_a_form_without_the_sessions_token_is_refused(broker: Parts, browser: Browser) -> None:
    code = broker.ask()
    browser.sign_in(code=code)

    assert browser.decide("approve", form_token="guessed").status == 403
    assert broker.decision(code) == (None, None)


def test_the_token_of_another_session_is_refused(broker: Parts, app: ASGIApp) -> None:
    code = broker.ask()
    mallory, alice = Browser(app), Browser(app)
    mallory.sign_in("bob", code=code)
    token = next(values["form_token"] for _, values in Forms(mallory.page.text).forms)
    alice.sign_in(code=code)

    assert alice.decide("approve", form_token=token).status == 403
    assert broker.decision(code) == (None, None)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:8444", ""])
def test_a_form_from_another_origin_is_refused(broker: Parts, browser: Browser, origin: str) -> None:
    code = broker.ask()
    browser.sign_in(code=code)

    assert browser.decide("approve", {"Origin": origin}).status == 403
    assert broker.decision(code) == (None, None)


def test_a_form_from_our_own_origin_is_accepted(broker: Parts, browser: Browser) -> None:
    browser.sign_in(code=broker.ask())
    assert browser.decide("approve", {"Origin": "http://127.0.0.1:8443"}).status == 200


def test_a_refusal_does_not_replace_the_session(browser: Browser) -> None:
    browser.sign_in()
    assert "set-cookie" not in browser.fill_in("/signout", {"Origin": "https://evil.example"}).headers


def test_signing_in_begins_a_session_that_nobody_knew_before(browser: Browser) -> None:
    before = browser.get("/device") and dict(browser.cookies)
    browser.fill_in("/signin", user="alice", password=PASSWORD)
    after = dict(browser.cookies)

    browser.cookies = before
    assert "<h1>Sign in</h1>" in browser.get("/device").text
    assert before != after


def test_a_sign_in_lasts_fifteen_minutes(broker: Parts, browser: Browser) -> None:
    browser.sign_in()
    broker.clock[0] += 15 * 60 - 1
    assert "Enter the code" in browser.get("/device").text
    broker.clock[0] += 1
    assert "<h1>Sign in</h1>" in browser.get("/device").text


@pytest.mark.parametrize("value", ["", "x", "WyJhbGljZSIsICJ0b2tlbiIsIDEwMDAwMDBd.c2lnbmF0dXJl"])
def test_a_forged_cookie_is_no_cookie(browser: Browser, value: str) -> None:
    browser.cookies["indexpass"] = value
    assert "<h1>Sign in</h1>" in browser.get("/device").text


def test_a_user_who_was_removed_is_signed_out(broker: Parts, browser: Browser) -> None:
    browser.sign_in()
    with broker.store.writing() as connection:
        connection.execute(schema.users.delete().where(schema.users.c.name == "alice"))

    assert "<h1>Sign in</h1>" in browser.get("/device").text


@pytest.mark.parametrize(
    ("issuer", "cookie", "marks"),
    [
        ("http://127.0.0.1:8443", "indexpass=", ["httponly", "max-age=900", "path=/", "samesite=strict"]),
        (
            "https://broker.example",
            "__Host-indexpass=",
            ["httponly", "max-age=900", "path=/", "samesite=strict", "secure"],
        ),
    ],
    ids=["loopback", "https"],
)
def test_the_cookie_is_for_this_host_and_no_script(tmp_path: Path, issuer: str, cookie: str, marks: list[str]) -> None:
    made = parts(tmp_path, issuer)
    header = Browser(Starlette(routes=login.routes(made))).get("/device").headers["set-cookie"]
    made.store.close()

    assert header.startswith(cookie)
    assert sorted(mark.strip().lower() for mark in header.split(";")[1:]) == marks


def test_links_and_forms_keep_the_path_of_the_issuer(tmp_path: Path) -> None:
    made = parts(tmp_path, "https://broker.example/tokens")
    page = Browser(Starlette(routes=login.routes(made))).get("/device")
    made.store.close()

    assert 'href="/tokens/static/indexpass.css"' in page.text
    assert 'action="/tokens/signin"' in page.text


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        pytest.param(b"x=" + b"y" * 8 * 1024, "application/x-www-form-urlencoded", 413, id="too-large"),
        pytest.param(b"{}", "application/json", 415, id="json"),
        pytest.param(b"user=\xff", "application/x-www-form-urlencoded", 400, id="not-utf-8"),
        pytest.param(b"user=%ff", "application/x-www-form-urlencoded", 400, id="not-utf-8-escaped"),
        pytest.param(b"user=a%00b", "application/x-www-form-urlencoded", 400, id="nul"),
        pytest.param(b"&".join([b"a=b"] * 9), "application/x-www-form-urlencoded", 400, id="too-many-fields"),
        pytest.param(b"", "application/x-www-form-urlencoded", 403, id="empty"),
    ],
)
@pytest.mark.parametrize("target", ["/device", "/signin", "/signout"])
def test_a_form_that_is_not_ours_is_refused(browser: Browser, target: str, body: bytes, kind: str, status: int) -> None:
    browser.get("/device")
    assert browser.post(target, body, {"Content-Type": kind}).status == status


@pytest.mark.parametrize(("user", "status"), [("", 403), ("alice", 400)], ids=["stranger", "signed-in"])
def test_a_decision_that_is_neither_is_refused(broker: Parts, browser: Browser, user: str, status: int) -> None:
    code = broker.ask()
    if user:
        browser.sign_in(user)
    token = Forms(browser.get("/device").text).forms[0][1]["form_token"]

    body = urlencode({"form_token": token, "user_code": code, "decision": "perhaps"}).encode()
    assert browser.post("/device", body).status == status
    assert broker.decision(code) == (None, None)


# --- what the pages show


@pytest.mark.parametrize("target", ["/device", f"/device?user_code={ELSEWHERE}", "/device?user_code=no"])
def test_no_page_runs_scripts_is_framed_or_cached(browser: Browser, target: str) -> None:
    headers = browser.get(target).headers
    assert headers["content-security-policy"] == (
        "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize("text", ['"><b>x</b>', "Call 0900 123456 now", "BCDF-GHJA", "BCDF-GHJKL", "\uff22CDF-GHJK"])
def test_text_that_is_no_code_is_not_echoed(browser: Browser, text: str) -> None:
    browser.sign_in()

    page = browser.get(f"/device?{urlencode({'user_code': text})}")
    assert (page.status, text in page.text) == (400, False)


def test_what_a_program_says_about_itself_is_shown_as_text(broker: Parts, browser: Browser) -> None:
    page = browser.sign_in(code=broker.ask(client_id="<b>pip</b>", scope="<i>"))
    assert "&lt;b&gt;pip&lt;/b&gt;" in page.text
    assert "<i>" not in page.text


def test_a_password_is_never_sent_back(browser: Browser) -> None:
    assert "a wrong password" not in browser.sign_in(password="a wrong password").text


def test_every_visible_field_has_a_label(browser: Browser) -> None:
    pages = [browser.get("/device").text, browser.sign_in().text]
    for page in pages:
        fields = [part.partition('"')[0] for part in page.split('<input id="')[1:]]
        assert fields
        assert [name for name in fields if f'<label for="{name}">' not in page] == []


def test_the_stylesheet_is_served_as_one(browser: Browser) -> None:
    page = browser.get("/static/indexpass.css")
    assert (page.status, page.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert ":focus-visible" in page.text
