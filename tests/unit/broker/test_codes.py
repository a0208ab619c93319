"""Codes from the browser: what binds them, and that one of many who use one at the same moment gets something."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from indexpass._authorization import AuthorizationRequest, challenge_of, new_verifier
from indexpass.broker.oauth import OAuthError
from indexpass.broker.state import codes, sessions
from indexpass.broker.state.devices import Approval

if TYPE_CHECKING:
    from indexpass._secret import Secret
    from indexpass.broker.state.store import Store

NOW = 1_800_000_000.0
CALLBACK = "http://127.0.0.1:49152/callback"
VERIFIER = new_verifier()
ASKED = AuthorizationRequest(CALLBACK, "https://index.example/simple/", "pypi:read", "state", challenge_of(VERIFIER))


def find(store: Store, code: Secret, client_id: str = "indexpass") -> Approval | OAuthError:
    with store.writing() as connection:
        return codes.find(connection, code, client_id=client_id, redirect_uri=CALLBACK, verifier=VERIFIER, now=NOW)


def redeem(store: Store, code: Secret) -> bool:
    with store.writing() as connection:
        session, _ = sessions.begin(connection, "alice", client_id="indexpass", seconds=3600, now=NOW)
        return codes.redeem(connection, code, session.session_id, keep_until=NOW + 3600)


def test_a_code_stands_for_what_was_approved(store: Store) -> None:
    code = store.add_code(ASKED, "alice", client_id="indexpass", now=NOW)
    assert find(store, code) == Approval("alice", ASKED.resource, ASKED.scope)


@pytest.mark.parametrize(("made_for", "shown_by"), [("another", "indexpass"), ("indexpass", "another")])
def test_a_code_of_one_client_is_worth_nothing_to_another(store: Store, made_for: str, shown_by: str) -> None:
    outcome = find(store, store.add_code(ASKED, "alice", client_id=made_for, now=NOW), shown_by)
    assert isinstance(outcome, OAuthError)
    assert outcome.code == "invalid_grant"


def test_looking_at_a_code_does_not_use_it_up(store: Store) -> None:
    code = store.add_code(ASKED, "alice", client_id="indexpass", now=NOW)
    assert [type(find(store, code)) for _ in range(3)] == [Approval] * 3


def test_of_many_who_use_a_code_at_once_one_succeeds(store: Store) -> None:
    code = store.add_code(ASKED, "alice", client_id="indexpass", now=NOW)
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda _: redeem(store, code), range(8)))
    assert outcomes.count(True) == 1
