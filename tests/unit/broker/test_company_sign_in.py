from __future__ import annotations

import base64
import time
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import pytest

from indexpass._model import Answer
from indexpass._secret import Secret
from indexpass.broker.company.person import CompanyPerson, CompanyRefused
from indexpass.broker.company.sign_in import CompanySignIn
from indexpass.broker.settings import file as settings_file
from indexpass.errors import BrokerUnreachable, StoreError
from servers.companies import CLIENT_ID, Company

if TYPE_CHECKING:
    from collections.abc import Callable

BROKER = "http://127.0.0.1:8443"
BASE = f"""
issuer = "{BROKER}"

[[index]]
name = "acme"
url = "{BROKER}/simple/"

[[policy]]
name = "developers"
index = "acme"
operations = ["read"]
groups = ["python-devs"]
"""


def sign_in(company: Company, more: str = "", *, folder: Path = Path("/nowhere"), now: float = 0) -> CompanySignIn:
    settings = settings_file.parse(BASE + company.settings + more, file=folder / "broker.toml")
    assert settings.company
    return CompanySignIn(
        settings,
        settings.company,
        cookie_secret=Secret("the broker's own"),
        http=company,
        now=lambda: time.time() + now,
    )


def go_through(company: Company, more: str = "", **members: str) -> CompanyPerson:
    """Leave for the provider, agree there, and come back."""
    broker = sign_in(company, more)
    url, state = broker.begin()
    return broker.finish(state, company.agree(url, **members))


def refusal(company: Company, more: str = "", **members: str) -> str:
    with pytest.raises(CompanyRefused) as caught:
        go_through(company, more, **members)
    return str(caught.value)


def test_a_person_is_who_the_id_token_says() -> None:
    company = Company()
    assert go_through(company) == CompanyPerson(company.url, "u-1001", "alice", frozenset({"python-devs"}))


def test_the_provider_is_asked_for_a_code_with_state_nonce_and_a_challenge() -> None:
    url, state = sign_in(Company()).begin()
    asked = dict(parse_qsl(urlsplit(url).query))
    assert asked == {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": f"{BROKER}/company/callback",
        "scope": "openid profile email",
        "state": state,
        "nonce": asked["nonce"],
        "max_age": "86400",
        "code_challenge": asked["code_challenge"],
        "code_challenge_method": "S256",
    }


def test_the_code_is_traded_with_the_verifier_of_its_challenge() -> None:
    company = Company()
    broker = sign_in(company)
    url, state = broker.begin()
    broker.finish(state, company.agree(url))
    [(form, authorization)] = company.received
    digest = sha256(form["code_verifier"].encode()).digest()
    challenge = dict(parse_qsl(urlsplit(url).query))["code_challenge"]
    assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == challenge
    assert form["redirect_uri"] == f"{BROKER}/company/callback"
    assert (form["client_id"], authorization) == (CLIENT_ID, None)  # a public client


def test_no_two_sign_ins_share_state_nonce_or_challenge() -> None:
    broker = sign_in(Company())
    asked = [dict(parse_qsl(urlsplit(broker.begin()[0]).query)) for _ in range(2)]
    for name in ("state", "nonce", "code_challenge"):
        assert asked[0][name] != asked[1][name]


@pytest.mark.parametrize(
    ("methods", "header", "in_form"),
    [
        (None, "Basic aW5kZXhwYXNzLWJyb2tlcjpzM2NyZXQ=", False),
        (["client_secret_post", "client_secret_basic"], "Basic aW5kZXhwYXNzLWJyb2tlcjpzM2NyZXQ=", False),
        (["client_secret_post"], None, True),
    ],
    ids=["unsaid", "both", "post"],
)
def test_the_client_secret_is_sent_as_the_provider_takes_it(
    tmp_path: Path, methods: list[str] | None, header: str | None, *, in_form: bool
) -> None:
    company = Company()
    if methods:
        company.metadata["token_endpoint_auth_methods_supported"] = methods
    more = secret_file(tmp_path)
    broker = sign_in(company, more, folder=tmp_path)
    url, state = broker.begin()
    broker.finish(state, company.agree(url))
    [(form, authorization)] = company.received
    assert (authorization.reveal() if authorization else None) == header
    assert (form.get("client_secret") == "s3cret") == in_form


def secret_file(folder: Path, text: str = "s3cret\n", mode: int = 0o600) -> str:
    file = folder / "company-secret"
    file.touch(mode=mode)
    file.write_text(text)
    return 'client-secret-file = "company-secret"\n'


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [("", 0o600, "holds no client secret"), ("a\nb", 0o600, "holds no client secret"), ("s3cret", 0o644, "others")],
    ids=["empty", "two-lines", "open-to-others"],
)
def test_a_secret_that_is_none_or_is_open_to_others_is_refused(
    tmp_path: Path, text: str, mode: int, words: str
) -> None:
    with pytest.raises(StoreError, match=words):
        sign_in(Company(), secret_file(tmp_path, text, mode), folder=tmp_path)


def test_a_missing_secret_is_said_with_the_command_that_makes_the_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no client secret") as caught:
        sign_in(Company(), 'client-secret-file = "missing"\n', folder=tmp_path)
    assert f"install -m 600 /dev/stdin {tmp_path / 'missing'}" in caught.value.hint


# What somebody in the middle, or a provider that lies, may try.


@pytest.mark.parametrize(
    ("tamper", "reason"),
    [
        (lambda company: company.claims.update(nonce="another"), "made for another sign-in"),
        (lambda company: company.claims.update(nonce=["list"]), "made for another sign-in"),
        (lambda company: setattr(company, "without", ("nonce",)), "made for another sign-in"),
        (lambda company: company.claims.update(aud="another-client"), "another audience"),
        (lambda company: company.claims.update(aud=[CLIENT_ID, "another-client"]), "another audience"),
        (lambda company: company.claims.update(azp="another-client"), "made for another client"),
        (lambda company: company.claims.update(iss="https://evil.example"), "issuer is not trusted"),
        (lambda company: company.claims.update(exp=int(time.time()) - 60), "it has expired"),
        (lambda company: company.claims.update(iat=int(time.time()) + 600), "not valid yet"),
        (lambda company: company.claims.update(auth_time=int(time.time()) - 86_400 - 60), "too long ago"),
        (lambda company: company.claims.update(auth_time=float("nan")), "too long ago"),
        (lambda company: company.claims.update(auth_time="yesterday"), "missing or no time"),
        (lambda company: setattr(company, "without", ("sub",)), "claim sub is missing"),
        (lambda company: setattr(company, "kid", None), "header names no key"),
        (lambda company: setattr(company, "kid", "stolen"), "does not publish the key"),
        (lambda company: company.headers.update(typ="at+jwt"), "another kind of token"),
        (lambda company: setattr(company, "tamper", lambda text: text[:-4] + "AAAA"), "signature"),
        (lambda company: setattr(company, "tamper", unsigned), "header names no key"),
        (lambda company: setattr(company, "tamper", lambda _: "nonsense"), "the ID token is refused"),
        (lambda company: setattr(company, "tamper", lambda _: ""), "the ID token is refused"),
    ],
    ids=[
        "nonce-of-another-sign-in",
        "nonce-no-text",
        "no-nonce",
        "another-audience",
        "several-audiences",
        "another-azp",
        "another-issuer",
        "expired",
        "from-the-future",
        "proved-too-long-ago",
        "proved-at-nan",
        "proved-at-no-time",
        "no-subject",
        "no-kid",
        "foreign-kid",
        "access-token",
        "broken-signature",
        "alg-none",
        "no-jwt",
        "no-id-token",
    ],
)
def test_an_id_token_that_is_not_for_this_sign_in_signs_nobody_in(
    tamper: Callable[[Company], object], reason: str
) -> None:
    company = Company()
    tamper(company)
    assert reason in refusal(company)


def unsigned(text: str) -> str:
    header = base64.urlsafe_b64encode(b'{"alg":"none","kid":"first"}').decode().rstrip("=")
    return f"{header}.{text.split('.')[1]}."


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"iss": "https://evil.example"}, "names another issuer"),
        ({"iss": ""}, "names another issuer"),
        ({"code": "guessed"}, "refused the code"),
    ],
    ids=["mix-up", "no-issuer", "injected-code"],
)
def test_an_answer_of_somebody_else_signs_nobody_in(answer: dict[str, str], reason: str) -> None:
    assert reason in refusal(Company(), **answer)


def test_an_answer_without_issuer_is_taken_from_a_provider_that_does_not_name_itself() -> None:
    company = Company()
    del company.metadata["authorization_response_iss_parameter_supported"]
    broker = sign_in(company)
    url, state = broker.begin()
    answer = company.agree(url)
    del answer["iss"]
    assert broker.finish(state, answer).name == "alice"


def test_a_code_of_another_browser_is_worth_nothing_because_the_nonce_is_another() -> None:
    company = Company()
    broker = sign_in(company)
    stolen = company.agree(broker.begin()[0])["code"]
    _, state = broker.begin()
    with pytest.raises(CompanyRefused, match="made for another sign-in"):
        broker.finish(state, {"code": stolen, "iss": company.url})


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        ("access_denied", 403, "the provider says access_denied"),
        ("login_required", 403, "the provider says login_required"),
        ("<script>", 502, "neither a code nor an error that is known"),
        ("", 502, "neither a code nor an error that is known"),
    ],
)
def test_a_refusal_of_the_provider_is_told_in_our_words(error: str, status: int, reason: str) -> None:
    company = Company()
    broker = sign_in(company)
    _, state = broker.begin()
    with pytest.raises(CompanyRefused, match=reason) as caught:
        broker.finish(state, {"error": error, "error_description": "<b>", "iss": company.url})
    assert caught.value.status == status
    assert "<" not in f"{caught.value}{caught.value.told}"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (Answer(500, None), 503),
        (Answer(200, None), 503),
        (Answer(200, ["list"]), 503),
        (Answer(200, {}), 502),
        (Answer(200, {"id_token": 5, "access_token": {}, "expires_in": "never"}), 502),
        (Answer(400, {"error": {"deep": []}}), 502),
        (Answer(401, {"error": "invalid_client", "error_description": "the secret s3cret is wrong"}), 502),
    ],
    ids=["500", "no-json", "a-list", "nothing", "wrong-types", "no-error-text", "wrong-secret"],
)
def test_a_token_endpoint_that_lies_or_fails_signs_nobody_in_and_is_not_quoted(answer: Answer, status: int) -> None:
    company = Company()
    company.token_answer = answer
    broker = sign_in(company)
    url, state = broker.begin()
    with pytest.raises(CompanyRefused) as caught:
        broker.finish(state, company.agree(url))
    assert caught.value.status == status
    assert "s3cret" not in f"{caught.value}{caught.value.told}{caught.value.__context__}"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"issuer": "https://evil.example"}, "that of another issuer"),
        ({"authorization_endpoint": "http://evil.example/authorize"}, "not encrypted"),
        ({"token_endpoint": "javascript:alert(1)"}, "cannot be used"),
        ({"userinfo_endpoint": None}, "cannot be used"),
        ({"token_endpoint": 5}, "cannot be used"),
    ],
    ids=["issuer", "plain-http", "scheme", "null", "number"],
)
def test_metadata_that_is_not_the_provider_s_own_is_refused(change: dict[str, object], reason: str) -> None:
    company = Company()
    company.metadata.update(change)  # type: ignore[arg-type]
    with pytest.raises(CompanyRefused, match=reason):
        sign_in(company).begin()


def test_a_provider_that_is_down_is_asked_again_only_seconds_later() -> None:
    company = Company()
    company.failure = BrokerUnreachable("it does not answer")
    broker = sign_in(company)
    for reason in ("it does not answer", "a moment ago"):
        with pytest.raises(CompanyRefused, match=reason) as caught:
            broker.begin()
        assert caught.value.status == 503
    assert len(company.fetched) == 1


def test_a_secret_is_never_offered_to_a_provider_that_lists_no_way_for_it(tmp_path: Path) -> None:
    company = Company()
    company.metadata["token_endpoint_auth_methods_supported"] = ["private_key_jwt"]
    with pytest.raises(CompanyRefused, match="no way to send a client secret"):
        sign_in(company, secret_file(tmp_path), folder=tmp_path).begin()


@pytest.mark.parametrize(
    ("url", "more", "is_public"),
    [
        ("https://login.acme.example", "", True),
        ("https://login.acme.example", "private-network = true\n", False),
        ("https://127.0.0.1:9", "", False),
    ],
    ids=["by-name", "by-name-and-said", "by-address"],
)
def test_only_a_provider_that_the_settings_say_is_private_may_be_at_a_private_address(
    url: str, more: str, *, is_public: bool
) -> None:
    company, other = Company(url), Company(url)
    del company.claims["groups"]
    settings = settings_file.parse(BASE + company.settings + more, file=Path("/nowhere/broker.toml"))
    assert settings.company
    broker = CompanySignIn(
        settings,
        settings.company,
        cookie_secret=Secret("the broker's own"),
        http=other if is_public else company,
        public_http=company if is_public else other,
        now=time.time,
    )
    leaves, state = broker.begin()
    assert broker.finish(state, company.agree(leaves)).name == "alice"
    assert other.fetched == []
    assert {place.rpartition("/")[2] for place in company.fetched} == {"openid-configuration", "keys"}


# Who it is.


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"preferred_username": "Alice"}, "alice"),
        ({"preferred_username": "alice@ACME.example"}, "alice@acme.example"),
        ({"preferred_username": None, "email": "a+b@acme.example", "email_verified": True}, "a+b@acme.example"),
    ],
    ids=["upper-case", "address", "verified-email"],
)
def test_the_user_name_is_the_first_name_that_there_is(claims: dict[str, object], name: str) -> None:
    company = Company()
    company.claims.update(claims)
    assert go_through(company).name == name


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"preferred_username": "ci:project"}, "preferred_username is not a user name"),
        ({"preferred_username": "Älice"}, "preferred_username is not a user name"),
        ({"preferred_username": "\N{KELVIN SIGN}evin"}, "preferred_username is not a user name"),
        ({"preferred_username": "a" * 65}, "preferred_username is not a user name"),
        ({"preferred_username": "*"}, "preferred_username is not a user name"),
        ({"preferred_username": ""}, "preferred_username is not a user name"),
        ({"preferred_username": "alice\n"}, "preferred_username is not a user name"),
        ({"preferred_username": ["alice"]}, "preferred_username is not a user name"),
        ({"preferred_username": None, "email": "alice@acme.example"}, "no preferred_username and no verified email"),
        ({"preferred_username": None, "email": "a@acme.example", "email_verified": False}, "no verified email"),
        ({"preferred_username": None, "email": "a@acme.example", "email_verified": "true"}, "no verified email"),
        ({"groups": {"a": 1}}, "groups is not a list of texts"),
        ({"groups": ["a", 1]}, "groups is not a list of texts"),
        ({"groups": [f"g{number}" for number in range(201)]}, "more than 200 groups"),
        ({"groups": None, "_claim_names": {"groups": "src1"}}, "more than 200 groups"),
    ],
    ids=[
        "a-workload",
        "umlaut",
        "look-alike",
        "too-long",
        "anybody",
        "empty",
        "line-break",
        "list",
        "email-unverified",
        "email-not-verified",
        "email-verified-by-a-text",
        "groups-table",
        "groups-mixed",
        "groups-too-many",
        "groups-elsewhere",
    ],
)
def test_claims_that_name_nobody_sign_nobody_in(claims: dict[str, object], reason: str) -> None:
    company = Company()
    company.claims.update(claims)
    assert reason in refusal(company)


def test_an_explicit_name_claim_is_the_only_one() -> None:
    company = Company()
    company.claims.update(upn="al")
    assert go_through(company, 'name-claim = "upn"\n').name == "al"
    assert "there is no nickname" in refusal(company, 'name-claim = "nickname"\n')


def test_groups_may_stand_deeper_in_the_claims() -> None:
    company = Company()
    company.claims.update(realm_access={"roles": ["python-devs"]})
    assert go_through(company, 'groups-claim = "/realm_access/roles"\n').groups == {"python-devs"}


@pytest.mark.parametrize("groups", [["everybody"], [], None], ids=["another", "none", "unsaid"])
def test_who_is_in_no_required_group_does_not_come_in_and_is_named_in_the_audit(groups: list[str] | None) -> None:
    company = Company()
    company.claims.update(groups=groups)
    with pytest.raises(CompanyRefused, match="none of the required-groups") as caught:
        go_through(company, 'required-groups = ["python-devs", "packagers"]\n')
    assert (caught.value.who, caught.value.status) == ("alice", 403)


def test_what_the_id_token_does_not_say_is_asked_of_the_userinfo_endpoint() -> None:
    company = Company()
    company.userinfo = {"sub": "u-1001", "preferred_username": "mallory", "groups": ["python-devs"]}
    del company.claims["groups"]
    person = go_through(company)
    assert (person.name, person.groups) == ("alice", {"python-devs"})  # the ID token goes first
    assert company.received[-1][1] == Secret("Bearer at")


def test_the_userinfo_of_another_person_is_refused() -> None:
    company = Company()
    company.userinfo = {"sub": "u-1002", "groups": ["python-devs"]}
    del company.claims["groups"]
    assert "another person" in refusal(company)


def test_a_provider_that_does_not_say_when_the_person_proved_themselves_is_refused_if_the_settings_ask() -> None:
    company = Company()
    company.claims.update(auth_time=None)
    assert go_through(company).name == "alice"
    assert "auth_time is missing" in refusal(company, 'max-age = "8h"\n')


def test_max_age_of_the_settings_goes_to_the_provider_and_is_held() -> None:
    company = Company()
    company.claims.update(auth_time=int(time.time()) - 8 * 3600 - 60)
    more = 'max-age = "8h"\n'
    assert "too long ago" in refusal(company, more)
    assert dict(parse_qsl(urlsplit(sign_in(company, more).begin()[0]).query))["max_age"] == "28800"


def test_nothing_secret_is_in_the_repr_of_what_holds_it(tmp_path: Path) -> None:
    broker = sign_in(Company(), secret_file(tmp_path), folder=tmp_path)
    assert "s3cret" not in repr(vars(broker))
    assert "the broker's own" not in repr(vars(broker))
