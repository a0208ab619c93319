"""The configuration for Traefik, carried out by a few lines that do what Traefik's documentation says.

Traefik itself is in none of the registries that the tests reach. So this is not Traefik: it picks the router by the
longest rule, runs its middlewares (``forwardAuth``, ``headers``, ``replacePath``) in order, and hands the rest on.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import requests

from indexpass.broker.snippets import write_snippet

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from servers.brokers import RunningBroker, StartBroker

HOST = "packages.acme.example"
SETTINGS = """
[[index]]
name = "lab"
url = "https://packages.acme.example/lab/simple/"
upload-url = "https://packages.acme.example/lab/legacy/"

[[index]]
name = "lab.two"
url = "https://packages.acme.example/two/simple/"
"""


@dataclass
class Request:
    """A client's request on its way."""

    method: str
    host: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)


class Refused(Exception):
    """The proxy answered itself."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Traefik:
    """What the documentation says that Traefik does with a file of dynamic configuration."""

    def __init__(self, text: str) -> None:
        self.config: dict[str, Any] = tomllib.loads(text)["http"]

    def handle(self, request: Request) -> str:
        """Return the server that the request, as it is now, goes to. Raises Refused."""
        routers = [router for router in self.config["routers"].values() if matches(router["rule"], request)]
        if not routers:
            raise Refused(404)
        router = max(routers, key=lambda router: len(router["rule"]))  # the longest rule has priority
        for name in router.get("middlewares", ()):
            [(kind, options)] = self.config["middlewares"][name].items()
            {"forwardAuth": forward_auth, "headers": set_headers, "replacePath": replace_path}[kind](options, request)
        [server] = self.config["services"][router["service"]]["loadBalancer"]["servers"]
        return str(server["url"])


def matches(rule: str, request: Request) -> bool:
    for term in rule.split(" && "):
        negated, matcher, value = re.fullmatch(r"(!?)(Host|PathPrefix|Path)\(`([^`]*)`\)", term).groups()  # type: ignore[union-attr]
        found = {
            "Host": request.host == value,
            "Path": request.path == value,
            "PathPrefix": request.path.startswith(value),
        }[matcher]
        if found == bool(negated):
            return False
    return True


def forward_auth(options: dict[str, Any], request: Request) -> None:
    assert options["trustForwardHeader"] is False  # then these are Traefik's own words
    said = {name: value for name, value in request.headers.items() if name in options["authRequestHeaders"]}
    forwarded = {"Method": request.method, "Proto": "https", "Host": request.host, "Uri": request.path}
    said |= {f"X-Forwarded-{name}": value for name, value in forwarded.items()}
    answer = requests.get(options["address"], headers=said, timeout=30, allow_redirects=False)
    if not answer.ok:
        raise Refused(answer.status_code)


def set_headers(options: dict[str, Any], request: Request) -> None:
    """An empty value removes the header."""
    emptied = {name.lower() for name, value in options["customRequestHeaders"].items() if value == ""}
    request.headers = {name: value for name, value in request.headers.items() if name.lower() not in emptied}


def replace_path(options: dict[str, Any], request: Request) -> None:
    request.path = options["path"]


@pytest.fixture
def broker(start_broker: StartBroker) -> RunningBroker:
    return start_broker(SETTINGS)


@pytest.fixture
def traefik(broker: RunningBroker) -> Traefik:
    return Traefik(write_snippet("traefik", broker.broker.settings, broker_url=broker.url))


def bearer(broker: RunningBroker, **claims: object) -> dict[str, str]:
    now = int(broker.clock())
    good = {"sub": "alice", "aud": "https://packages.acme.example/lab/simple/", "iat": now, "exp": now + 600}
    token = broker.broker.keys.mint({**good, "jti": "token", "scope": "pypi:read", **claims})
    return {"Authorization": f"Bearer {token.reveal()}"}


def status(traefik: Traefik, request: Request) -> int:
    try:
        traefik.handle(request)
    except Refused as refused:
        return refused.status
    return 200


def test_a_token_opens_its_index_and_stays_behind(traefik: Traefik, broker: RunningBroker) -> None:
    told = {"Cookie": "a=b", "X-Forwarded-User": "root", "X-HTTP-Method-Override": "DELETE", "Accept": "text/html"}
    request = Request("GET", HOST, "/lab/simple/tools/", bearer(broker) | told)
    assert traefik.handle(request) == "http://127.0.0.1:8081"
    assert request == Request("GET", HOST, "/lab/simple/tools/", {"Accept": "text/html"})


@pytest.mark.parametrize(
    ("method", "path", "claims", "expected"),
    [
        ("GET", "/lab/simple/", None, 401),
        ("GET", "/lab/simple/", {"exp": 1}, 401),
        ("GET", "/two/simple/", {}, 401),
        ("POST", "/lab/legacy/", {}, 403),
        ("GET", "/lab/simple/tools/", {"projects": {"pypi:read": ["tools"]}}, 200),
        ("GET", "/lab/packages/secret-1.0.zip", {"projects": {"pypi:read": ["tools"]}}, 403),
        ("GET", "/lab/simple/", {"projects": {"pypi:read": ["tools"]}}, 403),
        ("GET", "/simple/", {}, 404),
    ],
    ids=[
        "no token",
        "expired",
        "another index",
        "upload",
        "its project",
        "another project",
        "all projects",
        "no index",
    ],
)
def test_each_request_is_asked_about(  # noqa: PLR0913, PLR0917  # the columns of the table
    traefik: Traefik, broker: RunningBroker, method: str, path: str, claims: dict[str, object] | None, expected: int
) -> None:
    headers = {} if claims is None else bearer(broker, **claims)
    # What a client may say beside it changes nothing.
    headers |= {"X-Forwarded-Method": "GET", "X-Forwarded-Uri": "/lab/simple/tools/", "X-Original-Method": "GET"}
    assert status(traefik, Request(method, HOST, path, headers)) == expected


def test_an_upload_goes_to_where_pypiserver_takes_it(traefik: Traefik, broker: RunningBroker) -> None:
    request = Request("POST", HOST, "/lab/legacy/", bearer(broker, scope="pypi:write"))
    assert traefik.handle(request) == "http://127.0.0.1:8081"
    assert request.path == "/lab/"


def test_the_question_is_not_open_to_the_network(start_broker: StartBroker) -> None:
    settings = start_broker(SETTINGS).broker.settings
    traefik = Traefik(write_snippet("traefik", settings, broker_url="http://127.0.0.1:1"))
    host = settings.origin.host
    assert status(traefik, Request("GET", host, "/check")) == 404
    assert traefik.handle(Request("GET", host, "/oauth/token")) == "http://127.0.0.1:1"
