"""The pages on the protocol and on verifying tokens agree with a real broker; the example is run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from indexpass.broker import endpoints
from indexpass.broker.pages.errand import AUTHORIZE_PATH

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers.brokers import RunningBroker, StartBroker
    from servers.issuers import Issuer

    Verify = Callable[[str, str, str], dict[str, Any]]

PAGES = Path(__file__).resolve().parents[2] / "plugin-docs"


@pytest.fixture
def broker(start_broker: StartBroker, issuer: Issuer) -> RunningBroker:
    return start_broker(issuer.policy("upload", more='projects = ["acme-app"]'))


@pytest.fixture
def verify(broker: RunningBroker) -> Verify:
    """The function of the page, for this broker and its index."""
    page = (PAGES / "how-to/verify-tokens.md").read_text(encoding="utf-8")
    program = page.partition("```python\n")[2].partition("```")[0]
    program = program.replace("https://packages.acme.example/simple/", broker.index)
    names: dict[str, Any] = {}
    exec(program.replace("https://tokens.acme.example", broker.url), names)  # noqa: S102  # the page's own words
    found: Verify = names["verify"]
    return found


def test_the_example_takes_a_token_of_the_broker(verify: Verify, broker: RunningBroker) -> None:
    assert verify(broker.sign_in()["access_token"], "pypi:read", "acme-app")["sub"] == "alice"


def test_the_example_takes_a_bound_token_for_its_project(verify: Verify, broker: RunningBroker, issuer: Issuer) -> None:
    token = broker.exchange(issuer.token(), scope="pypi:write").json()["access_token"]
    assert verify(token, "pypi:write", "acme-app")["projects"] == {"pypi:write": ["acme-app"]}
    with pytest.raises(jwt.InvalidTokenError, match="not allowed"):
        verify(token, "pypi:write", "acme-other")


def test_the_example_refuses_another_scope_type_and_key(verify: Verify, broker: RunningBroker, issuer: Issuer) -> None:
    token = broker.sign_in()["access_token"]
    with pytest.raises(jwt.InvalidTokenError, match="not allowed"):
        verify(token, "pypi:write", "acme-app")
    with pytest.raises(jwt.InvalidTokenError, match="not an access token"):
        verify(issuer.token().reveal(), "pypi:read", "acme-app")
    with pytest.raises(jwt.InvalidSignatureError):
        verify(f"{token.rpartition('.')[0]}.{'A' * 86}", "pypi:read", "acme-app")


def test_the_protocol_s_page_lists_the_endpoints() -> None:
    page = (PAGES / "reference/protocol.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(/[^`]+)` \| (?:GET|POST) \|", page, re.MULTILINE)
    paths = {value for name, value in vars(endpoints).items() if name.endswith("_PATH")}
    assert paths | {AUTHORIZE_PATH} <= set(listed)


def test_the_protocol_s_page_lists_what_is_in_a_token(broker: RunningBroker, issuer: Issuer) -> None:
    page = (PAGES / "reference/protocol.md").read_text(encoding="utf-8")
    table = page.partition("### What is in a token")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
    ci = broker.exchange(issuer.token(), scope="pypi:write").json()
    found = {name for grant in (broker.sign_in(), ci) for name in _members(grant["access_token"])}
    assert found - {"alg"} == {name for row in rows for name in re.findall("`([^`]+)`", row)}


def _members(token: str) -> list[str]:
    """Return the names in the header and the claims."""
    return [*jwt.get_unverified_header(token), *jwt.decode(token, options={"verify_signature": False})]
