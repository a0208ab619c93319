"""The client's sign-in in the browser against a real broker, and against brokers that lie."""

from __future__ import annotations

from contextlib import closing
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from indexpass._http import HttpClient
from indexpass._model import Answer, Context, Index, Invitation, Session
from indexpass._secret import Secret
from indexpass._sessions import FileSessions
from indexpass._url import IndexUrl
from indexpass.errors import BrokerMisbehaved, BrokerRefused
from indexpass.providers.broker import BrokerProvider
from servers.visitors import VisitorBrowser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from indexpass._model import Credential
    from servers.brokers import RunningBroker, StartBroker

TOKENS = "https://tokens.acme.example"


def get(url: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, timeout=10)


class Machine:
    """A machine with one index configured, a browser, and the person in front of it."""

    def __init__(self, broker: RunningBroker, folder: Path) -> None:
        self.broker = broker
        self.browser = VisitorBrowser(broker)
        self.index = Index("acme", IndexUrl.parse(broker.index), options=MappingProxyType({"broker": broker.url}))
        self.sessions = FileSessions(folder / "sessions")
        self.context = Context(HttpClient(), self.sessions, lambda _: None, broker.clock)
        self.opened: list[str] = []
        self.landed: list[requests.Response] = []
        self.invitations: list[Invitation] = []

    def sign_in(self, browse: Callable[[str], bool] | None) -> tuple[Session, Credential]:
        return BrokerProvider().sign_in(
            self.index, self.context, show=self._show, wait=self.broker.clock.advance, browse=browse
        )

    def decide(self, decision: str) -> Callable[[str], bool]:
        """Return what opens a page, signs in there, decides, and follows the browser home."""

        def browse(url: str) -> bool:
            self.opened.append(url)
            self.browser.open(url)
            self.browser.sign_in()
            self.landed.append(get(self.browser.decide(decision).headers["Location"]))
            return True

        return browse

    def _show(self, invitation: Invitation) -> None:
        self.invitations.append(invitation)
        self.broker.decide(invitation.code)


@pytest.fixture
def machine(start_broker: StartBroker, tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(start_broker(), tmp_path)
    with closing(machine.browser):
        yield machine


def test_an_approved_sign_in_yields_a_credential_that_opens_the_index(machine: Machine) -> None:
    _, credential = machine.sign_in(machine.decide("approve"))
    assert machine.broker.get("/simple/", credential.secret.reveal()).status_code == 200


def test_an_approved_sign_in_keeps_the_session(machine: Machine) -> None:
    session, _ = machine.sign_in(machine.decide("approve"))
    assert (session.broker, session.user) == (machine.broker.url, "alice")
    assert machine.sessions.load(machine.broker.url) == session


def test_a_session_from_the_browser_yields_credentials(machine: Machine) -> None:
    machine.sign_in(machine.decide("approve"))
    assert BrokerProvider().issue(machine.index, "upload", machine.context)


def test_no_code_is_shown_where_the_browser_opens(machine: Machine) -> None:
    machine.sign_in(machine.decide("approve"))
    assert machine.invitations == []


def test_the_url_that_is_shown_holds_no_secret(machine: Machine) -> None:
    session, credential = machine.sign_in(machine.decide("approve"))
    asked = parse_qs(urlsplit(machine.opened[0]).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert set(asked) == {
        *("response_type", "client_id", "redirect_uri", "resource", "scope", "state"),
        *("code_challenge", "code_challenge_method"),
    }
    secrets = (session.refresh_token, credential.secret)
    assert not any(secret.reveal() in machine.opened[0] for secret in secrets)


def test_two_sign_ins_have_nothing_in_common(machine: Machine) -> None:
    for _ in range(2):
        machine.sign_in(lambda url: machine.opened.append(url) or False)
    first, second = (parse_qs(urlsplit(url).query) for url in machine.opened)
    assert first["state"] != second["state"]
    assert first["code_challenge"] != second["code_challenge"]


def test_a_denied_sign_in_is_refused_and_keeps_nothing(machine: Machine) -> None:
    with pytest.raises(BrokerRefused, match="was denied") as caught:
        machine.sign_in(machine.decide("deny"))
    assert caught.value.reason == "access_denied"
    assert machine.sessions.load(machine.broker.url) is None


def test_where_no_browser_opens_the_person_is_shown_a_code(machine: Machine) -> None:
    session, _ = machine.sign_in(lambda _: False)
    assert len(machine.invitations) == 1
    assert session.user == "alice"


def test_a_stranger_s_redirect_in_between_changes_nothing(machine: Machine) -> None:
    def browse(url: str) -> bool:
        callback = parse_qs(urlsplit(url).query)["redirect_uri"][0]
        forged = urlencode({"code": "ipc_forged", "state": "guessed", "iss": machine.broker.url})
        assert get(f"{callback}?{forged}").status_code == 400
        return machine.decide("approve")(url)

    session, _ = machine.sign_in(browse)
    assert session.user == "alice"


def test_a_code_of_somebody_else_s_sign_in_is_refused(machine: Machine) -> None:
    """What an attacker can do who sees the state: bring a code that was made for another challenge."""

    def browse(url: str) -> bool:
        foreign = url.replace("code_challenge=", "code_challenge=" + "A" * 43 + "&other=")
        return machine.decide("approve")(foreign)

    with pytest.raises(BrokerRefused, match="code_verifier") as caught:
        machine.sign_in(browse)
    assert caught.value.reason == "invalid_grant"
    assert machine.sessions.load(machine.broker.url) is None


# Brokers that are older, or lie


class LyingBroker:
    """Publishes what it is told to; grants whatever is asked, and remembers which form was sent where."""

    def __init__(self, **metadata: object) -> None:
        self.metadata: dict[str, object] = {
            "issuer": TOKENS,
            "authorization_endpoint": f"{TOKENS}/authorize",
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "token_endpoint": f"{TOKENS}/token",
            "device_authorization_endpoint": f"{TOKENS}/device",
            "revocation_endpoint": f"{TOKENS}/revoke",
            "jwks_uri": f"{TOKENS}/keys",
            **metadata,
        }
        self.asked: list[tuple[str, Mapping[str, str | Secret]]] = []

    def get_json(self, url: str) -> Answer:
        assert url == f"{TOKENS}/.well-known/oauth-authorization-server"
        return Answer(200, self.metadata)

    def post_form(self, url: str, form: Mapping[str, str | Secret]) -> Answer:
        self.asked.append((url, form))
        if url == f"{TOKENS}/device":
            page = f"{TOKENS}/page"
            return Answer(200, {"device_code": "d", "user_code": "AB-CD", "verification_uri": page, "interval": 5})
        return Answer(200, {"access_token": "t", "token_type": "Bearer", "expires_in": 60, "refresh_token": "r"})

    def try_credential(self, url: str, credential: Credential) -> Answer:
        raise AssertionError((url, credential))


def sign_in(broker: LyingBroker, folder: Path, browse: Callable[[str], bool]) -> Session:
    index = Index("acme", IndexUrl.parse("https://a.example/simple/"), options=MappingProxyType({"broker": TOKENS}))
    context = Context(broker, FileSessions(folder / "sessions"), lambda _: None, lambda: 0.0)
    return BrokerProvider().sign_in(index, context, show=lambda _: None, wait=lambda _: None, browse=browse)[0]


def answering(**answer: str) -> Callable[[str], bool]:
    """Return a browser that comes straight back with this answer, and the right state."""

    def browse(url: str) -> bool:
        asked = parse_qs(urlsplit(url).query)
        said = {"state": asked["state"][0], "iss": TOKENS, "code": "c", **answer}
        get(f"{asked['redirect_uri'][0]}?{urlencode({name: value for name, value in said.items() if value})}")
        return True

    return browse


def test_what_is_asked_of_the_token_endpoint_is_the_code_and_the_verifier(tmp_path: Path) -> None:
    broker = LyingBroker()
    sign_in(broker, tmp_path, answering())
    ((url, form),) = broker.asked
    assert url == f"{TOKENS}/token"
    assert (form["grant_type"], form["client_id"], form["code"]) == ("authorization_code", "indexpass", Secret("c"))
    assert isinstance(form["code_verifier"], Secret)
    assert str(form["redirect_uri"]).startswith("http://127.0.0.1:")


@pytest.mark.parametrize("issuer", ["https://evil.example", ""], ids=["another", "none"])
def test_a_code_from_another_broker_is_sent_to_nobody(tmp_path: Path, issuer: str) -> None:
    broker = LyingBroker()
    with pytest.raises(BrokerMisbehaved, match="another broker"):
        sign_in(broker, tmp_path, answering(iss=issuer))
    assert broker.asked == []


def test_a_refusal_of_the_broker_is_said(tmp_path: Path) -> None:
    with pytest.raises(BrokerRefused, match="no such index"):
        sign_in(LyingBroker(), tmp_path, answering(code="", error="invalid_target", error_description="no such index"))


def test_an_endpoint_may_have_a_query_of_its_own(tmp_path: Path) -> None:
    opened: list[str] = []
    broker = LyingBroker(authorization_endpoint=f"{TOKENS}/authorize?tenant=acme")
    sign_in(broker, tmp_path, lambda url: bool(opened.append(url)) or answering()(url))
    assert opened[0].startswith(f"{TOKENS}/authorize?tenant=acme&response_type=code&")


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"authorization_endpoint": None}, id="no-endpoint"),
        pytest.param({"code_challenge_methods_supported": ["plain"]}, id="plain-only"),
        pytest.param({"code_challenge_methods_supported": None}, id="no-pkce"),
        pytest.param({"code_challenge_methods_supported": "S256"}, id="no-list"),
        pytest.param({"authorization_response_iss_parameter_supported": False}, id="no-issuer"),
        pytest.param({"authorization_response_iss_parameter_supported": "true"}, id="no-boolean"),
    ],
)
def test_a_broker_that_does_not_offer_it_safely_is_signed_in_at_by_a_code(
    tmp_path: Path, metadata: dict[str, object]
) -> None:
    broker = LyingBroker(**metadata)
    opened: list[str] = []
    sign_in(broker, tmp_path, lambda url: bool(opened.append(url)))
    assert opened == []
    assert [url for url, _ in broker.asked] == [f"{TOKENS}/device", f"{TOKENS}/token"]


@pytest.mark.parametrize("endpoint", ["https://evil.example/authorize", f"{TOKENS}:8443/authorize", "file:///x"])
def test_no_page_of_another_site_is_opened(tmp_path: Path, endpoint: str) -> None:
    opened: list[str] = []
    with pytest.raises(BrokerMisbehaved):
        sign_in(LyingBroker(authorization_endpoint=endpoint), tmp_path, lambda url: bool(opened.append(url)))
    assert opened == []
