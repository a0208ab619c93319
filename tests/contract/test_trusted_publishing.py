"""Trusted publishing, spoken over HTTP with a real server: what clients of PyPI and of PEP 807 may rely on."""

from __future__ import annotations

import json
import logging
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, cast

import jwt
import pytest
from sqlalchemy import create_engine, text

from indexpass.broker.publishing_endpoints import MEDIA_TYPE
from indexpass.broker.settings import starter
from indexpass.broker.settings.file import parse
from indexpass.errors import ConfigError

if TYPE_CHECKING:
    import requests

    from indexpass._secret import Secret
    from servers.brokers import RunningBroker, StartBroker
    from servers.issuers import Issuer

ISSUER = """
[[trusted-issuer]]
name = "{name}"
url = "{issuer}"
audience = "{audience}"
"""
POLICY = """
[[policy]]
name = "{name}"
index = "{index}"
operations = ["upload"]
issuer = "ci"
claims = {{ project_id = "{project_id}" }}
"""
INDEX = """
[[index]]
name = "{name}"
url = "{url}/{name}/simple/"
upload-url = "{url}/{name}/legacy/"
"""


def policy(index: str = "acme", project_id: str = "1234", more: str = "") -> str:
    return POLICY.format(name=f"{index}-{project_id}", index=index, project_id=project_id) + more


def settings(issuer: Issuer, *more: str, audience: str = "{url}") -> str:
    return ISSUER.format(name="ci", issuer=issuer.url, audience=audience) + "".join(more or (policy(),))


def index(name: str, url: str = "{url}") -> str:
    return INDEX.format(name=name, url=url)


def mint(broker: RunningBroker, token: Secret, path: str = "/_/oidc/mint-token", **headers: str) -> requests.Response:
    body = json.dumps({"token": token.reveal()})
    return broker.http.post(f"{broker.url}{path}", data=body, headers=headers, timeout=30)


def identity(broker: RunningBroker, issuer: Issuer, **claims: object) -> Secret:
    return issuer.token(**{"aud": broker.url, "jti": str(len(issuer.fetched)), **claims})


def claims(answer: requests.Response) -> dict[str, object]:
    return cast("dict[str, object]", jwt.decode(answer.json()["token"], options={"verify_signature": False}))


def code(answer: requests.Response) -> str:
    return str(answer.json()["errors"][0]["code"])


def reasons(caplog: pytest.LogCaptureFixture) -> list[str]:
    entries = [json.loads(record.message) for record in caplog.records if record.name == "indexpass.audit"]
    return [entry["reason"] for entry in entries]


def test_an_identity_token_for_the_audience_that_is_named_becomes_a_token_for_uploading(
    start_broker: StartBroker, issuer: Issuer
) -> None:
    broker = start_broker(settings(issuer))
    audience = broker.get("/_/oidc/audience").json()["audience"]

    answer = mint(broker, identity(broker, issuer, aud=audience))
    assert (answer.status_code, answer.json()["success"]) == (200, True)
    minted = claims(answer)
    assert (minted["aud"], minted["scope"]) == (broker.index, "pypi:write")
    assert 0 <= cast("int", minted["exp"]) - answer.json()["expires"] <= 1
    assert answer.headers["cache-control"] == "no-store"


def test_the_first_path_that_pypi_had_serves_as_well(start_broker: StartBroker, issuer: Issuer) -> None:
    broker = start_broker(settings(issuer))
    assert mint(broker, identity(broker, issuer), "/_/oidc/github/mint-token").status_code == 200


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded", "text/plain"])
def test_the_content_type_does_not_matter_as_on_pypi(
    start_broker: StartBroker, issuer: Issuer, content_type: str
) -> None:
    broker = start_broker(settings(issuer))
    assert mint(broker, identity(broker, issuer), **{"Content-Type": content_type}).status_code == 200


def test_where_no_policy_lets_ci_publish_nothing_is_offered(start_broker: StartBroker, issuer: Issuer) -> None:
    broker = start_broker(issuer.reading_policy)

    assert [broker.get(path).status_code for path in ("/_/oidc/audience", "/.well-known/pytp?discover=/legacy/")] == [
        403,
        404,
    ]
    answer = mint(broker, identity(broker, issuer))
    assert (answer.status_code, code(answer)) == (422, "not-enabled")


@pytest.mark.parametrize(
    ("audiences", "named"),
    [
        pytest.param(["pypi"], "pypi", id="one"),
        pytest.param(["pypi", "{url}"], "{url}", id="the-brokers-own-before-others"),
        pytest.param(["pypi", "another"], "pypi", id="else-the-first"),
    ],
)
def test_of_several_audiences_one_is_named(
    start_broker: StartBroker, issuer: Issuer, audiences: list[str], named: str
) -> None:
    issuers = [
        ISSUER.format(name=f"ci-{number}", issuer=f"{issuer.url}/{number}", audience=audience)
        + policy(project_id=str(number)).replace('"ci"', f'"ci-{number}"')
        for number, audience in enumerate(audiences)
    ]
    broker = start_broker("".join(issuers))

    assert broker.get("/_/oidc/audience").json() == {"audience": named.replace("{url}", broker.url)}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"token=ey", id="form"),
        pytest.param(b"[]", id="list"),
        pytest.param(b'"ey"', id="text"),
        pytest.param(b"{}", id="no-token"),
        pytest.param(b'{"token": ""}', id="empty-token"),
        pytest.param(b'{"token": 1}', id="number"),
        pytest.param(b'{"token": ["ey"]}', id="token-list"),
        pytest.param(b'{"token": "\xff"}', id="latin-1"),
        pytest.param('{"token": "ey"}'.encode("utf-16"), id="utf-16"),
        pytest.param(b"[" * 60_000, id="deep"),
        pytest.param(b'{"token": ' + b"9" * 60_000 + b"}", id="large-number"),
        pytest.param(b'{"token": "ey", "features": ["single-use-token"]}', id="unknown-feature"),
        pytest.param(b'{"token": "ey", "features": "multi-use-token"}', id="features-as-text"),
    ],
)
def test_a_body_that_is_not_a_token_is_an_invalid_payload(
    start_broker: StartBroker, issuer: Issuer, body: bytes
) -> None:
    broker = start_broker(settings(issuer))
    as_pypi, as_pep = (
        broker.http.post(f"{broker.url}/_/oidc/mint-token{index}", data=body, timeout=30) for index in ("", "/acme")
    )

    assert (as_pypi.status_code, code(as_pypi)) == (422, "invalid-payload")
    assert as_pypi.json()["message"] == "Token request failed"
    assert (as_pep.status_code, as_pep.json()["code"]) == (400, "invalid-payload")


@pytest.mark.parametrize("path", ["/_/oidc/mint-token", "/_/oidc/mint-token/acme", "/_/oidc/burn-token"])
def test_a_huge_body_is_refused_before_it_is_read(start_broker: StartBroker, issuer: Issuer, path: str) -> None:
    broker = start_broker(settings(issuer))
    with closing(HTTPConnection(broker.url.removeprefix("http://"), timeout=30)) as connection:
        connection.putrequest("POST", path)
        connection.putheader("Content-Length", "1000000000")
        connection.endheaders()
        connection.send(b"x" * 100_000)
        assert connection.getresponse().status == 413


@pytest.mark.parametrize(
    ("wrong", "expected", "reason"),
    [
        pytest.param({"aud": "pypi"}, "invalid-token", "audience", id="audience"),
        pytest.param({"iat": 0, "exp": 1}, "invalid-token", "expired", id="expired"),
        pytest.param({"iss": "https://evil.example"}, "invalid-token", "issuer", id="issuer"),
        pytest.param({"sub": ""}, "invalid-token", "subject", id="subject"),
        pytest.param({"project_id": "999"}, "invalid-publisher", "no policy", id="publisher"),
        pytest.param({"project_id": 1234}, "invalid-publisher", "no policy", id="look-alike"),
    ],
)
def test_a_refusal_is_one_of_pypis_and_its_reason_stands_in_the_audit_alone(  # noqa: PLR0913, PLR0917  # fixtures and a table
    start_broker: StartBroker,
    issuer: Issuer,
    caplog: pytest.LogCaptureFixture,
    wrong: dict[str, object],
    expected: str,
    reason: str,
) -> None:
    caplog.set_level(logging.INFO, "indexpass.audit")
    broker = start_broker(settings(issuer))
    token = identity(broker, issuer, **wrong)
    answer = mint(broker, token)

    assert (answer.status_code, code(answer)) == (422, expected)
    assert [reason in said for said in reasons(caplog)] == [True]
    assert token.reveal() not in answer.text + caplog.text
    assert "repo:acme/tools" not in answer.text


def test_what_is_no_jwt_is_an_invalid_token(start_broker: StartBroker, issuer: Issuer) -> None:
    broker = start_broker(settings(issuer))
    answers = [
        broker.http.post(f"{broker.url}/_/oidc/mint-token", json={"token": token}, timeout=30)
        for token in ("ey", "ey\ud800", "a.b.c", "\0", "é", "x" * 20_000)
    ]
    assert {(answer.status_code, code(answer)) for answer in answers} == {(422, "invalid-token")}


def test_an_identity_token_publishes_once(start_broker: StartBroker, issuer: Issuer) -> None:
    broker = start_broker(settings(issuer))
    token = identity(broker, issuer)
    first, second = mint(broker, token), mint(broker, token)

    assert first.status_code == 200
    assert (second.status_code, code(second)) == (422, "invalid-reuse-token")


def test_a_refusal_does_not_use_the_identity_token_up(start_broker: StartBroker, issuer: Issuer) -> None:
    broker = start_broker(settings(issuer, index("second"), policy()))
    token = identity(broker, issuer)

    assert mint(broker, token, "/_/oidc/mint-token/second").status_code == 404
    assert mint(broker, token).status_code == 200


def test_an_issuer_that_does_not_answer_is_a_matter_of_time(start_broker: StartBroker, issuer: Issuer) -> None:
    broker = start_broker(settings(issuer))
    issuer.documents.clear()

    answers = [mint(broker, identity(broker, issuer), f"/_/oidc/mint-token{index}") for index in ("", "/acme")]
    assert [answer.status_code for answer in answers] == [503, 503]
    assert code(answers[0]) == answers[1].json()["code"] == "temporarily-unavailable"


def test_a_database_that_does_not_answer_is_a_matter_of_time(start_broker: StartBroker, issuer: Issuer) -> None:
    broker = start_broker(settings(issuer))
    engine = create_engine(broker.broker.settings.database.url)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE audit"))
    engine.dispose()

    answers = [mint(broker, identity(broker, issuer), f"/_/oidc/mint-token{index}") for index in ("", "/acme")]
    assert [(answer.status_code, answer.headers["retry-after"]) for answer in answers] == [(503, "5")] * 2


def test_who_is_refused_again_and_again_has_to_wait(start_broker: StartBroker, issuer: Issuer) -> None:
    broker = start_broker(settings(issuer) + '[limits]\nrefused-exchanges = "2 in 24h"\n')
    refused = [
        mint(broker, identity(broker, issuer, aud="pypi"), f"/_/oidc/mint-token{index}") for index in ("", "/acme")
    ]
    assert [answer.status_code for answer in refused] == [422, 403]

    answers = [mint(broker, identity(broker, issuer), f"/_/oidc/mint-token{index}") for index in ("", "/acme")]
    assert [(answer.status_code, int(answer.headers["retry-after"]) > 0) for answer in answers] == [(429, True)] * 2


class TestSeveralIndexes:
    def test_the_one_that_the_policies_let_the_bearer_publish_to_is_meant(
        self, start_broker: StartBroker, issuer: Issuer
    ) -> None:
        more = (index("second"), policy("acme"), policy("second", "5678"))
        broker = start_broker(settings(issuer, *more))

        answers = [
            mint(broker, identity(broker, issuer, project_id=project, jti=project)) for project in ("1234", "5678")
        ]
        assert [claims(answer)["aud"] for answer in answers] == [broker.index, f"{broker.url}/second/simple/"]

    def test_the_one_on_the_host_that_was_asked_is_meant(self, start_broker: StartBroker, issuer: Issuer) -> None:
        other = index("other", "https://other.example")
        broker = start_broker(settings(issuer, other, policy("acme"), policy("other")))

        answers = [
            mint(broker, identity(broker, issuer, jti=host), **({"Host": host} if host else {}))
            for host in ("", "other.example", "OTHER.example:443")
        ]
        assert [claims(answer)["aud"] for answer in answers] == [broker.index] + [
            "https://other.example/other/simple/"
        ] * 2

    def test_if_several_could_be_meant_the_refusal_names_them(
        self, start_broker: StartBroker, issuer: Issuer, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "indexpass.audit")
        broker = start_broker(settings(issuer, index("second"), policy("acme"), policy("second")))
        answer = mint(broker, identity(broker, issuer))

        assert (answer.status_code, code(answer)) == (422, "invalid-publisher")
        assert "you publish to acme and second" in answer.json()["errors"][0]["description"]
        assert ["acme and second" in reason for reason in reasons(caplog)] == [True]

    def test_pep_807_says_which_one_is_meant(self, start_broker: StartBroker, issuer: Issuer) -> None:
        broker = start_broker(settings(issuer, index("second"), policy("acme"), policy("second")))

        found = broker.get("/.well-known/pytp?discover=%2Fsecond%2Flegacy%2F").json()
        endpoint = found["token-mint-endpoint"].removeprefix(broker.url)
        assert claims(mint(broker, identity(broker, issuer), endpoint))["aud"] == f"{broker.url}/second/simple/"

    def test_who_may_publish_to_none_of_them_is_refused(self, start_broker: StartBroker, issuer: Issuer) -> None:
        broker = start_broker(settings(issuer, index("second"), policy("acme"), policy("second")))
        assert code(mint(broker, identity(broker, issuer, project_id="9"))) == "invalid-publisher"


class TestPep807:
    @pytest.mark.parametrize("accept", [None, MEDIA_TYPE, "*/*", "text/html, application/*;q=0.1"])
    def test_an_upload_url_is_discovered_by_its_path(
        self, start_broker: StartBroker, issuer: Issuer, accept: str | None
    ) -> None:
        broker = start_broker(settings(issuer))
        answer = broker.http.get(
            f"{broker.url}/.well-known/pytp?discover=%2Flegacy%2F",
            headers=cast("dict[str, str]", {"Accept": accept}),  # None takes requests' own away
            timeout=30,
        )

        assert (answer.status_code, answer.headers["content-type"]) == (200, MEDIA_TYPE)
        assert answer.json() == {
            "audience-endpoint": f"{broker.url}/_/oidc/audience/acme",
            "token-mint-endpoint": f"{broker.url}/_/oidc/mint-token/acme",
            "features": ["multi-use-token"],
            "default-features": ["multi-use-token"],
        }

    @pytest.mark.parametrize(
        "query",
        [
            pytest.param("", id="nothing"),
            pytest.param("discover=", id="empty"),
            pytest.param("discover=%2F", id="root"),
            pytest.param("discover=%2Fsimple%2F", id="simple-page"),
            pytest.param("discover=%2Flegacy%2Fmore", id="longer"),
            pytest.param("discover=%2Flegacy%2F..%2Flegacy%2F", id="dots"),
            pytest.param("discover=legacy", id="no-slash"),
            pytest.param("discover=%40evil.example%2Flegacy%2F", id="another-host"),
            pytest.param("discover=%2Flegacy%2F&discover=%2Flegacy%2F", id="twice"),
            pytest.param("discover=%00", id="nul"),
            pytest.param("discover=%FF", id="latin-1"),
            pytest.param(f"discover=%2F{'x' * 5000}", id="long"),
        ],
    )
    def test_what_is_not_the_path_of_an_upload_url_is_not_found(
        self, start_broker: StartBroker, issuer: Issuer, query: str
    ) -> None:
        answer = start_broker(settings(issuer)).get(f"/.well-known/pytp?{query}")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")

    @pytest.mark.parametrize("accept", ["application/json", "text/html", f"{MEDIA_TYPE};q=0", "*/*; q=0.0"])
    @pytest.mark.parametrize("path", ["/.well-known/pytp?discover=/legacy/", "/_/oidc/audience/acme"])
    def test_who_takes_another_type_is_told_so(
        self, start_broker: StartBroker, issuer: Issuer, path: str, accept: str
    ) -> None:
        answer = start_broker(settings(issuer)).get(path, Accept=accept)
        assert (answer.status_code, answer.headers["content-type"]) == (406, "application/problem+json")

    def test_the_endpoints_stand_on_the_host_of_the_upload_url(self, start_broker: StartBroker, issuer: Issuer) -> None:
        other = index("other", "https://other.example")
        broker = start_broker(settings(issuer, other, policy("other")))

        found = broker.get("/.well-known/pytp?discover=%2Fother%2Flegacy%2F", Host="other.example").json()
        assert found["audience-endpoint"] == "https://other.example/_/oidc/audience/other"
        no_path = broker.get("/.well-known/pytp?discover=:443%2Fother%2Flegacy%2F", Host="other.example")
        assert no_path.status_code == 404

    def test_the_same_path_on_two_hosts_is_told_apart_by_the_host(
        self, start_broker: StartBroker, issuer: Issuer
    ) -> None:
        twin = '[[index]]\nname = "twin"\nurl = "https://twin.example/simple/"\nupload-url = "https://twin.example/legacy/"\n'
        broker = start_broker(settings(issuer, twin, policy("acme"), policy("twin")))

        found = [
            broker.get("/.well-known/pytp?discover=%2Flegacy%2F", **({"Host": host} if host else {})).json()
            for host in ("", "twin.example", "other.example")
        ]
        assert [str(document.get("token-mint-endpoint")).rpartition("/")[2] for document in found] == [
            "acme",
            "twin",
            "None",
        ]

    def test_an_identity_token_becomes_a_token_for_uploading(self, start_broker: StartBroker, issuer: Issuer) -> None:
        broker = start_broker(settings(issuer))
        audience = broker.get("/_/oidc/audience/acme").json()["audience"]
        token = identity(broker, issuer, aud=audience)
        body = {"token": token.reveal(), "features": ["multi-use-token"]}
        answer = broker.http.post(f"{broker.url}/_/oidc/mint-token/acme", json=body, timeout=30)

        assert (answer.status_code, answer.headers["content-type"]) == (200, MEDIA_TYPE)
        assert sorted(answer.json()) == ["expires", "token"]
        assert 890 < answer.json()["expires"] - broker.clock() <= 900

    def test_a_policy_may_make_the_life_shorter_than_the_pep_says_and_the_answer_says_so(
        self, start_broker: StartBroker, issuer: Issuer
    ) -> None:
        broker = start_broker(settings(issuer, policy(more='lifetime = "60s"\n')))
        answer = mint(broker, identity(broker, issuer), "/_/oidc/mint-token/acme")
        assert 50 < answer.json()["expires"] - broker.clock() <= 60

    @pytest.mark.parametrize(
        ("wrong", "status", "expected"),
        [
            pytest.param({"aud": "pypi"}, 403, "invalid-token", id="token"),
            pytest.param({"project_id": "9"}, 403, "invalid-publisher", id="publisher"),
        ],
    )
    def test_a_refusal_is_a_problem(
        self, start_broker: StartBroker, issuer: Issuer, wrong: dict[str, object], status: int, expected: str
    ) -> None:
        broker = start_broker(settings(issuer))
        answer = mint(broker, identity(broker, issuer, **wrong), "/_/oidc/mint-token/acme")

        document = answer.json()
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert (document["status"], document["code"], bool(document["detail"])) == (status, expected, True)

    @pytest.mark.parametrize("name", ["nobody", "quiet", "..", "ACME"])
    def test_an_index_that_ci_does_not_publish_to_has_no_endpoints(
        self, start_broker: StartBroker, issuer: Issuer, name: str
    ) -> None:
        broker = start_broker(settings(issuer, index("quiet"), policy("acme")))
        found = [
            broker.get(f"/_/oidc/audience/{name}"),
            mint(broker, identity(broker, issuer), f"/_/oidc/mint-token/{name}"),
        ]
        assert [answer.status_code for answer in found] == [404, 404]


def test_an_index_whose_upload_tokens_would_outlive_a_job_is_refused() -> None:
    text = starter.text("https://tokens.acme.example", "acme").replace(
        'upload-lifetime = "15m"', 'upload-lifetime = "7h"'
    )
    with pytest.raises(ConfigError, match="at most 6h"):
        parse(text, file=Path("/broker/broker.toml"))


class TestUploads:
    """With a token that is bound to the project acme-widgets, into the built-in index."""

    @pytest.fixture
    def broker(self, start_broker: StartBroker, issuer: Issuer) -> RunningBroker:
        return start_broker(settings(issuer, policy(more='projects = ["Acme_Widgets"]\n')))

    @pytest.fixture
    def token(self, broker: RunningBroker, issuer: Issuer) -> str:
        return str(mint(broker, identity(broker, issuer)).json()["token"])

    def upload(
        self, broker: RunningBroker, token: str, filename: str, name: str = "acme-widgets", **headers: str
    ) -> requests.Response:
        return broker.http.post(
            f"{broker.url}/legacy/",
            data={":action": "file_upload", "name": name},
            files={"content": (filename, b"data")},
            auth=("__token__", token),
            headers=headers,
            timeout=30,
        )

    def test_the_token_names_its_projects(self, token: str) -> None:
        minted = jwt.decode(token, options={"verify_signature": False})
        assert minted["projects"] == {"pypi:write": ["acme-widgets"]}

    def test_a_file_of_the_project_is_taken_the_first_one_too(self, broker: RunningBroker, token: str) -> None:
        assert self.upload(broker, token, "acme_widgets-1.0.tar.gz").status_code == 200
        assert (broker.packages / "acme" / "acme_widgets-1.0.tar.gz").read_bytes() == b"data"

    @pytest.mark.parametrize(
        ("filename", "name", "status"),
        [
            pytest.param("evil-1.0.tar.gz", "evil", 403, id="another-project"),
            pytest.param("evil-1.0.tar.gz", "acme-widgets", 400, id="another-projects-file"),
            pytest.param("acme_widgets-1.0.tar.gz", "evil", 400, id="another-projects-name"),
        ],
    )
    @pytest.mark.parametrize(
        "headers",
        # Twice, because WSGI puts a comma between two headers that it takes for the same.
        [
            {},
            *({name: "evil evil"} for name in ("X-Indexpass-Projects", "X_Indexpass_Projects", "x-indexpass_PROJECTS")),
        ],
        ids=["plain", "header", "underscores", "both"],
    )
    def test_a_file_of_another_project_is_refused_whatever_headers_say(  # noqa: PLR0913, PLR0917  # fixtures and a table
        self, broker: RunningBroker, token: str, filename: str, name: str, status: int, headers: dict[str, str]
    ) -> None:
        assert self.upload(broker, token, filename, name, **headers).status_code == status
        assert list((broker.packages / "acme").iterdir()) == []

    def test_a_token_for_all_projects_takes_nothing_from_the_header(
        self, start_broker: StartBroker, issuer: Issuer
    ) -> None:
        broker = start_broker(settings(issuer))
        token = mint(broker, identity(broker, issuer)).json()["token"]
        answer = self.upload(broker, token, "acme_widgets-1.0.tar.gz", **{"X-Indexpass-Projects": "evil"})
        assert answer.status_code == 200

    def test_a_burnt_token_uploads_nothing_more(self, broker: RunningBroker, token: str) -> None:
        burnt = broker.http.post(f"{broker.url}/_/oidc/burn-token", json={"token": token}, timeout=30)

        assert (burnt.status_code, burnt.content) == (202, b"")
        assert self.upload(broker, token, "acme_widgets-1.0.tar.gz").status_code == 401

    def test_nobody_is_told_whether_a_token_was_burnt(self, broker: RunningBroker) -> None:
        answer = broker.http.post(f"{broker.url}/_/oidc/burn-token", json={"token": "pypi-unknown"}, timeout=30)
        assert (answer.status_code, answer.content) == (202, b"")
