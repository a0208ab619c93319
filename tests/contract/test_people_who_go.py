"""People whose sign-ins end before their time, on a real broker: by their own button, by a command, by a new password.

And what a group of the company is worth, from the approval to the token.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from indexpass._cli import main
from indexpass._secret import Secret
from indexpass.broker.state import revocations
from servers.visitors import VisitorBrowser

if TYPE_CHECKING:
    from servers.brokers import RunningBroker, StartBroker

GROUP_POLICY = """
[[policy]]
name = "devs"
index = "second"
operations = ["read"]
groups = ["python-devs"]

[[index]]
name = "second"
url = "{url}/second/simple/"
"""


def command(broker: RunningBroker, *words: str, typed: str = "") -> None:
    result = CliRunner().invoke(main, ["broker", "user", *words, str(broker.folder)], input=typed)
    assert result.exit_code == 0, result.output


def is_let_in(broker: RunningBroker, token: str) -> bool:
    return broker.get("/simple/", token).status_code == 200


def test_the_button_on_the_page_ends_the_session_and_its_tokens(start_broker: StartBroker) -> None:
    broker = start_broker()
    with closing(VisitorBrowser(broker)) as browser:
        grant, kept = broker.sign_in(), broker.sign_in()
        token = broker.broker.keys.decode(Secret(grant["access_token"]))
        assert token is not None
        browser.open("/sessions")
        browser.sign_in()
        browser.send("/sessions", session=token.session)
    assert [is_let_in(broker, each["access_token"]) for each in (grant, kept)] == [False, True]
    assert [broker.refresh(each["refresh_token"]).status_code for each in (grant, kept)] == [400, 200]


@pytest.mark.parametrize(
    ("words", "typed"),
    [(("remove", "alice", "--yes"), ""), (("password", "alice", "--password-stdin"), "four plain words here\n")],
    ids=["removed", "another-password"],
)
def test_a_command_beside_the_running_broker_is_seen_within_seconds(
    start_broker: StartBroker, words: tuple[str, ...], typed: str
) -> None:
    broker = start_broker()
    grant = broker.sign_in()
    assert is_let_in(broker, grant["access_token"])
    command(broker, *words, typed=typed)
    broker.clock.advance(revocations.REFRESH_SECONDS)
    assert not is_let_in(broker, grant["access_token"])
    assert broker.refresh(grant["refresh_token"]).json()["error"] == "invalid_grant"


def test_a_session_shows_where_it_was_used_last(start_broker: StartBroker) -> None:
    broker = start_broker()
    with closing(VisitorBrowser(broker)) as browser:
        grant = broker.sign_in()
        broker.clock.advance(3 * 3600)
        broker.refresh(grant["refresh_token"])
        browser.open("/sessions")
        page = browser.sign_in().text
    assert "used just now, from 127.0.0.1" in page


@pytest.mark.parametrize(
    ("groups", "status"),
    [({"python-devs", "all"}, 200), ({"java-devs"}, 400), (set(), 400)],
    ids=["in it", "in another", "in none"],
)
def test_the_groups_of_the_sign_in_decide_then_and_at_every_refresh(
    start_broker: StartBroker, groups: set[str], status: int
) -> None:
    broker = start_broker(GROUP_POLICY)
    resource = f"{broker.url}/second/simple/"
    device = broker.begin_device(resource=resource)
    broker.broker.store.add_user("carol", "no hash", broker.clock())
    broker.broker.store.decide_device(
        device["user_code"], "carol", approved=True, now=broker.clock(), groups=frozenset(groups)
    )
    answer = broker.poll(device["device_code"])
    assert answer.status_code == status
    if status == 200:
        assert broker.refresh(answer.json()["refresh_token"], resource=resource).status_code == 200
