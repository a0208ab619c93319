"""The sign-in in the browser as any client may rely on it: RFC 6749 section 4.1, 7636, 8252 and 9207, over HTTP."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from sqlalchemy import select

from indexpass._authorization import challenge_of, new_verifier
from indexpass._wire import CLIENT_ID, GRANT_CODE
from indexpass.broker.exchange import exchange
from indexpass.broker.oauth import OAuthError
from indexpass.broker.state import schema
from servers.postgres import on_both
from servers.visitors import VisitorBrowser

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

    from indexpass._secret import Secret
    from indexpass.broker.settings import GuardedIndex
    from servers.brokers import RunningBroker, StartBroker

pytestmark = on_both
CALLBACK = "http://127.0.0.1:49152/callback"
STATE = "the-state"


@dataclass
class Program:
    """A program that asks for a sign-in, with the secret that only it has."""

    broker: RunningBroker
    verifier: Secret = field(default_factory=new_verifier)

    def url(self, **changes: str | None) -> str:
        """Return where it sends the browser; None leaves a parameter out."""
        asked: dict[str, str | None] = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": CALLBACK,
            "resource": self.broker.index,
            "scope": "pypi:read",
            "state": STATE,
            "code_challenge": challenge_of(self.verifier),
            "code_challenge_method": "S256",
            **changes,
        }
        return "/oauth/authorize?" + urlencode({name: value for name, value in asked.items() if value is not None})

    def redeem(self, code: str, **changes: str) -> requests.Response:
        """Trade the code."""
        form = {
            "client_id": CLIENT_ID,
            "redirect_uri": CALLBACK,
            "code_verifier": self.verifier.reveal(),
            **changes,
        }
        said = {name: value for name, value in form.items() if value}
        return self.broker.post("/oauth/token", grant_type=GRANT_CODE, code=code, **said)


@pytest.fixture
def broker(start_broker: StartBroker) -> RunningBroker:
    return start_broker()


@pytest.fixture
def app(broker: RunningBroker) -> Program:
    return Program(broker)


@pytest.fixture
def browser(broker: RunningBroker) -> Iterator[VisitorBrowser]:
    with closing(VisitorBrowser(broker)) as browser:
        yield browser


def answer_in(page: requests.Response) -> dict[str, str]:
    """Return what the redirect brings to the app."""
    assert page.status_code == 303, page.text
    url = urlsplit(page.headers["Location"])
    assert f"{url.scheme}://{url.netloc}{url.path}" == CALLBACK
    return {name: value for name, (value,) in parse_qs(url.query, strict_parsing=True).items()}


def approve(browser: VisitorBrowser, url: str) -> str:
    """Sign in and approve, and return the code."""
    browser.open(url)
    browser.sign_in()
    return answer_in(browser.decide())["code"]


def error_of(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


# The way through


def test_the_metadata_says_that_codes_are_bound_and_answers_signed_with_a_name(broker: RunningBroker) -> None:
    document = broker.get("/.well-known/oauth-authorization-server").json()
    assert document["authorization_endpoint"] == f"{broker.url}/oauth/authorize"
    assert document["response_types_supported"] == ["code"]
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["authorization_response_iss_parameter_supported"] is True
    assert GRANT_CODE in document["grant_types_supported"]


def test_who_is_not_signed_in_signs_in_and_then_sees_what_is_asked(app: Program, browser: VisitorBrowser) -> None:
    assert "<h1>Sign in</h1>" in browser.open(app.url()).text
    page = browser.sign_in().text
    shown = ["Is this you?", "indexpass", "acme", app.broker.index, "Download packages", "on this computer"]
    assert [text for text in shown if text not in page] == []


def test_a_wrong_password_does_not_lose_the_request(app: Program, browser: VisitorBrowser) -> None:
    browser.open(app.url())
    assert browser.sign_in("wrong").status_code == 403
    assert "Is this you?" in browser.sign_in().text


def test_an_approval_brings_a_code_the_state_and_the_broker_s_name(app: Program, browser: VisitorBrowser) -> None:
    browser.open(app.url())
    browser.sign_in()
    answer = answer_in(browser.decide())
    assert answer.pop("code")
    assert answer == {"state": STATE, "iss": app.broker.url}


def test_a_denial_brings_an_error_and_the_broker_s_name(app: Program, browser: VisitorBrowser) -> None:
    browser.open(app.url())
    browser.sign_in()
    answer = answer_in(browser.decide("deny"))
    assert (answer["error"], answer["state"], answer["iss"]) == ("access_denied", STATE, app.broker.url)
    assert "code" not in answer


def test_a_code_yields_a_token_that_opens_the_index_and_a_session(app: Program, browser: VisitorBrowser) -> None:
    grant = app.redeem(approve(browser, app.url())).json()
    assert (grant["user"], grant["scope"], grant["expires_in"]) == ("alice", "pypi:read", 3600)
    assert app.broker.get("/simple/", grant["access_token"]).status_code == 200
    assert app.broker.refresh(grant["refresh_token"]).status_code == 200


def test_a_code_is_for_the_scope_that_was_approved(app: Program, browser: VisitorBrowser) -> None:
    grant = app.redeem(approve(browser, app.url(scope="pypi:write pypi:read"))).json()
    assert grant["scope"] == "pypi:read pypi:write"


def test_a_program_may_listen_on_the_ipv6_loopback(app: Program, browser: VisitorBrowser) -> None:
    browser.open(app.url(redirect_uri="http://[::1]:49152/callback"))
    browser.sign_in()
    assert browser.decide().headers["Location"].startswith("http://[::1]:49152/callback?")


def test_the_steps_are_audited(app: Program, browser: VisitorBrowser) -> None:
    app.redeem(approve(browser, app.url()))
    browser.open(app.url())
    browser.decide("deny")
    with app.broker.broker.store.reading() as connection:
        rows = connection.execute(select(schema.audit.c.event, schema.audit.c.who, schema.audit.c.result)).all()
    assert [tuple(row) for row in rows] == [
        ("sign-in", "alice", "granted"),
        ("code-approved", "alice", "granted"),
        ("code-exchange", "alice", "granted"),
        ("code-denied", "alice", "denied"),
    ]


def test_a_code_is_kept_as_a_hash_only(app: Program, browser: VisitorBrowser) -> None:
    code = approve(browser, app.url())
    with app.broker.broker.store.reading() as connection:
        row = connection.execute(select(schema.authorization_codes)).one()
    assert not any(code in str(value) for value in row)


# Requests that are shown and never followed


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"client_id": None}, id="no-client"),
        pytest.param({"client_id": "another"}, id="another-client"),
        pytest.param({"redirect_uri": None}, id="no-redirect"),
        pytest.param({"redirect_uri": "https://evil.example/callback"}, id="foreign-host"),
        pytest.param({"redirect_uri": "http://127.0.0.1.evil.example:49152/callback"}, id="host-that-begins-alike"),
        pytest.param({"redirect_uri": "http://127.0.0.1:49152@evil.example/callback"}, id="userinfo"),
        pytest.param({"redirect_uri": "http://evil@127.0.0.1:49152/callback"}, id="userinfo-before-loopback"),
        pytest.param({"redirect_uri": "http://localhost:49152/callback"}, id="localhost"),
        pytest.param({"redirect_uri": "http://127.0.0.2:49152/callback"}, id="another-loopback-address"),
        pytest.param({"redirect_uri": "https://127.0.0.1:49152/callback"}, id="https"),
        pytest.param({"redirect_uri": "http://127.0.0.1/callback"}, id="no-port"),
        pytest.param({"redirect_uri": "http://127.0.0.1:0/callback"}, id="port-0"),
        pytest.param({"redirect_uri": "http://127.0.0.1:65536/callback"}, id="port-too-large"),
        pytest.param({"redirect_uri": "http://127.0.0.1:\u0664\u0669/callback"}, id="port-in-other-digits"),
        pytest.param({"redirect_uri": "http://127.0.0.1:49152/"}, id="another-path"),
        pytest.param({"redirect_uri": "http://127.0.0.1:49152/callback/"}, id="deeper-path"),
        pytest.param({"redirect_uri": "http://127.0.0.1:49152/x/../callback"}, id="dot-segments"),
        pytest.param({"redirect_uri": "http://127.0.0.1:49152/callback?x=y"}, id="query"),
        pytest.param({"redirect_uri": "http://127.0.0.1:49152/callback#x"}, id="fragment"),
        pytest.param({"redirect_uri": "http://127.0.0.1:49152/callback\r\nSet-Cookie: a=b"}, id="header-injection"),
        pytest.param({"redirect_uri": "http://127.0.0.1:49152/callback\n"}, id="newline"),
        pytest.param({"redirect_uri": "http://[::1%25lo]:49152/callback"}, id="ipv6-zone"),
        pytest.param({"redirect_uri": "javascript:alert(1)"}, id="script"),
    ],
)
def test_a_request_without_a_known_program_and_place_is_shown(
    app: Program, browser: VisitorBrowser, changes: dict[str, str | None]
) -> None:
    page = browser.open(app.url(**changes))
    assert (page.status_code, "Location" in page.headers) == (400, False)
    assert "This link cannot be used" in page.text
    assert "evil" not in page.text


def test_a_parameter_that_stands_twice_is_shown(app: Program, browser: VisitorBrowser) -> None:
    page = browser.open(f"{app.url()}&redirect_uri=https%3A%2F%2Fevil.example%2Fcallback")
    assert (page.status_code, "Location" in page.headers) == (400, False)


def test_bytes_that_are_no_text_are_shown(app: Program, browser: VisitorBrowser) -> None:
    page = browser.open(f"{app.url()}&x=%ff")
    assert (page.status_code, "Location" in page.headers) == (400, False)


# Requests that go back to the program as an error


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"response_type": None}, "invalid_request", id="no-response-type"),
        pytest.param({"response_type": "token"}, "unsupported_response_type", id="implicit"),
        pytest.param({"code_challenge": None}, "invalid_request", id="no-challenge"),
        pytest.param({"code_challenge_method": None}, "invalid_request", id="no-method"),
        pytest.param({"code_challenge_method": "plain"}, "invalid_request", id="plain"),
        pytest.param({"code_challenge": "short"}, "invalid_request", id="no-sha-256"),
        pytest.param({"code_challenge": "\u0660" * 43}, "invalid_request", id="other-digits"),
        pytest.param({"resource": None}, "invalid_request", id="no-resource"),
        pytest.param({"resource": "https://elsewhere.example/simple/"}, "invalid_target", id="unknown-index"),
        pytest.param({"scope": None}, "invalid_request", id="no-scope"),
        pytest.param({"scope": "admin"}, "invalid_scope", id="unknown-scope"),
    ],
)
def test_a_request_that_is_not_complete_goes_back_with_the_state(
    app: Program, browser: VisitorBrowser, changes: dict[str, str | None], error: str
) -> None:
    answer = answer_in(browser.open(app.url(**changes)))
    assert (answer["error"], answer["state"], answer["iss"]) == (error, STATE, app.broker.url)


@pytest.mark.parametrize("state", [None, "x" * 513, "a\r\nb", "\u00e9"], ids=["none", "long", "newline", "not-ascii"])
def test_a_state_that_cannot_be_sent_back_is_an_error_without_it(
    app: Program, browser: VisitorBrowser, state: str | None
) -> None:
    answer = answer_in(browser.open(app.url(state=state)))
    assert (answer["error"], "state" in answer) == ("invalid_request", False)


def test_a_state_comes_back_letter_by_letter(app: Program, browser: VisitorBrowser) -> None:
    state = """ &=#%+"<>'/?;:"""
    browser.open(app.url(state=state))
    browser.sign_in()
    assert answer_in(browser.decide())["state"] == state


# Forms


def test_nobody_approves_without_signing_in(app: Program, browser: VisitorBrowser) -> None:
    browser.open(app.url())
    page = browser.send("/oauth/authorize", request=urlsplit(app.url()).query, decision="approve")
    assert (page.status_code, "Location" in page.headers) == (403, False)
    assert "Sign in first" in page.text


def test_a_forged_form_is_refused(app: Program, browser: VisitorBrowser) -> None:
    browser.open(app.url())
    browser.sign_in()
    assert browser.decide(form_token="guessed").status_code == 403


@pytest.mark.parametrize("field", ["request", "decision"])
def test_a_form_that_is_not_complete_changes_nothing(app: Program, browser: VisitorBrowser, field: str) -> None:
    browser.open(app.url())
    browser.sign_in()
    page = browser.submit("decision", **{"decision": "approve", field: "no"})
    assert (page.status_code, "Location" in page.headers) == (400, False)


@pytest.mark.parametrize("form", ["password", "decision"], ids=["sign-in", "confirm"])
def test_no_form_leads_to_a_place_that_is_not_allowed(app: Program, browser: VisitorBrowser, form: str) -> None:
    browser.open(app.url())
    if form == "decision":
        browser.sign_in()
    request = urlsplit(app.url(redirect_uri="https://evil.example/callback")).query
    page = browser.submit(form, request=request, decision="approve", user="alice", password="wrong")
    assert (page.status_code, "Location" in page.headers) == (400, False)


@pytest.mark.parametrize(
    ("redirect_uri", "source"),
    [(CALLBACK, CALLBACK), ("http://[::1]:49152/callback", "http://*:49152/callback")],
    ids=["ipv4", "ipv6"],
)
def test_the_form_of_a_decision_may_lead_to_its_program_and_nowhere_else(
    app: Program, browser: VisitorBrowser, redirect_uri: str, source: str
) -> None:
    browser.open(app.url(redirect_uri=redirect_uri))
    policy = browser.sign_in().headers["Content-Security-Policy"]
    assert f"form-action 'self' {source};" in policy


def test_the_answer_is_not_to_be_cached_or_referred_to(app: Program, browser: VisitorBrowser) -> None:
    browser.open(app.url())
    browser.sign_in()
    headers = browser.decide().headers
    assert (headers["Cache-Control"], headers["Referrer-Policy"]) == ("no-store", "same-origin")


# Codes


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"code_verifier": new_verifier().reveal()}, (400, "invalid_grant"), id="wrong-verifier"),
        pytest.param({"code_verifier": ""}, (400, "invalid_request"), id="no-verifier"),
        pytest.param({"redirect_uri": "http://127.0.0.1:49153/callback"}, (400, "invalid_grant"), id="other-redirect"),
        pytest.param({"redirect_uri": ""}, (400, "invalid_request"), id="no-redirect"),
        pytest.param({"client_id": "another"}, (401, "invalid_client"), id="another-client"),
        pytest.param({"client_id": ""}, (400, "invalid_request"), id="no-client"),
    ],
)
def test_a_code_is_worth_nothing_to_who_did_not_ask_for_it(
    app: Program, browser: VisitorBrowser, changes: dict[str, str], error: tuple[int, str]
) -> None:
    code = approve(browser, app.url())
    assert error_of(app.redeem(code, **changes)) == error
    assert app.redeem(code).status_code == 200  # and the thief has not spoilt it


def test_the_challenge_is_not_the_verifier(app: Program, browser: VisitorBrowser) -> None:
    code = approve(browser, app.url())
    assert error_of(app.redeem(code, code_verifier=challenge_of(app.verifier))) == (400, "invalid_grant")


def test_the_code_of_another_request_does_not_fit(app: Program, browser: VisitorBrowser) -> None:
    other = Program(app.broker)
    approve(browser, app.url())
    browser.open(other.url())
    code = answer_in(browser.decide())["code"]
    assert error_of(app.redeem(code)) == (400, "invalid_grant")


def test_a_code_that_nobody_made_is_refused(app: Program) -> None:
    assert error_of(app.redeem("ipc_guessed")) == (400, "invalid_grant")


def test_a_code_lives_for_a_minute(app: Program, browser: VisitorBrowser) -> None:
    code = approve(browser, app.url())
    app.broker.clock.advance(61)
    assert error_of(app.redeem(code)) == (400, "invalid_grant")


def test_a_code_that_is_used_twice_ends_the_session_that_came_from_it(app: Program, browser: VisitorBrowser) -> None:
    code = approve(browser, app.url())
    grant = app.redeem(code).json()
    assert error_of(app.redeem(code)) == (400, "invalid_grant")
    assert app.broker.refresh(grant["refresh_token"]).json()["error"] == "invalid_grant"
    assert app.broker.get("/simple/", grant["access_token"]).status_code == 401


def test_a_second_use_is_noticed_even_hours_later_and_without_the_verifier(
    app: Program, browser: VisitorBrowser
) -> None:
    code = approve(browser, app.url())
    grant = app.redeem(code).json()
    app.broker.clock.advance(3 * 3600)
    app.broker.broker.store.purge(app.broker.clock())
    assert error_of(app.redeem(code, code_verifier="x" * 43)) == (400, "invalid_grant")
    assert app.broker.refresh(grant["refresh_token"]).json()["error"] == "invalid_grant"


def test_two_who_use_a_code_at_the_same_moment_end_the_session_that_one_of_them_has_begun(
    app: Program, browser: VisitorBrowser
) -> None:
    code, broker = approve(browser, app.url()), app.broker
    form = {
        "grant_type": GRANT_CODE,
        "client_id": CLIENT_ID,
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": app.verifier.reveal(),
    }
    grants = []

    def be_overtaken(_subject: object) -> GuardedIndex:
        """Let another request go all the way, after this one has looked at the code and before it uses it."""
        grants.append(app.redeem(code).json())
        return broker.broker.settings.indexes[0]

    with pytest.raises(OAuthError, match="used before"):
        asyncio.run(exchange(broker.broker, form, address="192.0.2.1", choose=be_overtaken))
    broker.clock.advance(6)  # the list of revocations is read anew
    assert broker.refresh(grants[0]["refresh_token"]).json()["error"] == "invalid_grant"
    assert broker.get("/simple/", grants[0]["access_token"]).status_code == 401


def test_a_denial_by_policy_does_not_use_the_code_up(start_broker: StartBroker) -> None:
    broker = start_broker('[[index]]\nname = "closed"\nurl = "https://closed.example/simple/"\n')
    app = Program(broker)
    with closing(VisitorBrowser(broker)) as browser:
        code = approve(browser, app.url())
    denied = app.redeem(code, resource="https://closed.example/simple/")
    assert (error_of(denied), app.redeem(code).status_code) == ((400, "invalid_target"), 200)


def test_codes_that_nobody_used_are_forgotten(app: Program, browser: VisitorBrowser) -> None:
    approve(browser, app.url())
    app.broker.broker.store.purge(app.broker.clock() + 61)
    with app.broker.broker.store.reading() as connection:
        assert connection.execute(select(schema.authorization_codes)).all() == []
