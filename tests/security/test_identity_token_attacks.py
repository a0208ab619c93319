"""Identity tokens that should not be believed, sent to a real broker that trusts a real issuer on loopback."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse

from indexpass._http import HttpClient
from indexpass._secret import Secret
from indexpass.broker.settings.file import parse
from indexpass.broker.state import schema
from indexpass.broker.trust.verify import Verifier
from indexpass.errors import BrokerError
from servers.issuers import Issuer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from servers.brokers import RunningBroker, StartBroker

OTHER_ISSUER = """
[[trusted-issuer]]
name = "other"
url = "{issuer}/other"
"""
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.fixture
def broker(start_broker: StartBroker, issuer: Issuer) -> RunningBroker:
    return start_broker(issuer.reading_policy + OTHER_ISSUER.replace("{issuer}", issuer.url))


def encode(part: object) -> str:
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(issuer: Issuer, broker: RunningBroker, **more: object) -> dict[str, object]:
    now = int(time.time())
    known = {"iss": issuer.url, "sub": "x", "aud": broker.url, "iat": now, "exp": now + 300, "project_id": "1234"}
    return {**known, **more}


def with_public_key_as_password(issuer: Issuer, broker: RunningBroker) -> Secret:
    signed = f"{encode({'alg': 'HS256', 'kid': 'first'})}.{encode(claims(issuer, broker))}"
    mac = hmac.digest(issuer.public_pem(), signed.encode(), hashlib.sha256)
    return Secret(f"{signed}.{encode(mac)}")


def without_signature(issuer: Issuer, broker: RunningBroker, algorithm: str = "none") -> Secret:
    return Secret(f"{encode({'alg': algorithm, 'kid': 'first'})}.{encode(claims(issuer, broker))}.")


def by_a_stranger(issuer: Issuer, broker: RunningBroker, **header: object) -> Secret:
    return Issuer(issuer.url).token(aud=broker.url, headers=header)


def with_its_own_key(issuer: Issuer, broker: RunningBroker) -> Secret:
    stranger = Issuer(issuer.url)
    return stranger.token(aud=broker.url, headers={"jwk": stranger.get_json(f"{issuer.url}/keys").body["keys"][0]})  # type: ignore[index]


def with_a_claim_twice(issuer: Issuer, broker: RunningBroker) -> Secret:
    payload = json.dumps(claims(issuer, broker, project_id="9999"))
    return issuer.sign(payload.replace('"project_id": "9999"', '"project_id": "9999", "project_id": "1234"').encode())


def with_levels(levels: int) -> Callable[[Issuer, RunningBroker], Secret]:
    """Return what makes a token that is right, and has a claim of so many levels."""

    def make(issuer: Issuer, broker: RunningBroker) -> Secret:
        payload = json.dumps(claims(issuer, broker))[:-1] + ', "deep": ' + "[" * levels + "]" * levels + "}"
        return issuer.sign(payload.encode())

    return make


def altered(issuer: Issuer, broker: RunningBroker) -> Secret:
    header, _, signature = issuer.token(aud=broker.url, project_id="9999").reveal().split(".")
    return Secret(f"{header}.{encode(claims(issuer, broker))}.{signature}")


def plain(**change: object) -> Callable[[Issuer, RunningBroker], Secret]:
    """Return what makes a token that is signed as it should be, and wrong in this."""

    def make(issuer: Issuer, broker: RunningBroker) -> Secret:
        return issuer.token(**{"aud": broker.url, **change})  # type: ignore[arg-type]

    return make


ATTACKS: dict[str, Callable[[Issuer, RunningBroker], Secret]] = {
    "alg none": without_signature,
    "alg None in another case": lambda issuer, broker: without_signature(issuer, broker, "nOnE"),
    "the public key as a password": with_public_key_as_password,
    "an altered payload": altered,
    "another key of the same name": by_a_stranger,
    "a key set of its own": lambda issuer, broker: by_a_stranger(issuer, broker, jku="https://evil.example/keys"),
    "a certificate of its own": lambda issuer, broker: by_a_stranger(issuer, broker, x5u="https://evil.example/c"),
    "a key of its own": with_its_own_key,
    "a foreign issuer with a known key": plain(iss="https://evil.example"),
    "the issuer with a slash": lambda issuer, broker: issuer.token(aud=broker.url, iss=f"{issuer.url}/"),
    "an access token": plain(headers={"typ": "at+jwt"}),
    "a logout token": plain(headers={"typ": "logout+jwt"}),
    "a logout token that says JWT": plain(events={"http://schemas.openid.net/event/backchannel-logout": {}}),
    "a type that is no text": plain(headers={"typ": ["JWT"]}),
    "no name of a key": plain(kid=None),
    "a name that is no key's": plain(kid="second"),
    "an unknown extension": plain(headers={"crit": ["exp"], "exp": 1}),
    "another audience": plain(aud="https://elsewhere.example"),
    "several audiences": lambda issuer, broker: issuer.token(aud=[broker.url, "https://elsewhere.example"]),
    "a longer audience": lambda issuer, broker: issuer.token(aud=f"{broker.url}0"),
    "no audience": plain(without=("aud",)),
    "issued tomorrow": plain(iat=int(time.time()) + 86_400),
    "valid from tomorrow": plain(nbf=int(time.time()) + 86_400),
    "expired": plain(exp=int(time.time()) - 60),
    "no expiry": plain(without=("exp",)),
    "an expiry that is no number": plain(exp=float("nan")),
    "a giant token": plain(junk="x" * 20_000),
    "deep JSON": with_levels(5000),
    "JSON that every parser takes, and deeper than claims are": with_levels(17),
    "a claim twice": with_a_claim_twice,
    "a list for claims": lambda issuer, _: issuer.sign(b"[]"),
    "no JWT": lambda *_: Secret("not-a-token"),
    "five parts": lambda *_: Secret("a.b.c.d.e"),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_a_token_that_is_not_right_gets_nothing_but_a_reason(
    broker: RunningBroker, issuer: Issuer, attack: Callable[[Issuer, RunningBroker], Secret]
) -> None:
    token = attack(issuer, broker)
    answer = broker.exchange(token)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert token.reveal() not in answer.text
    assert [row for row in issuer.fetched if not row.startswith(issuer.url)] == []
    with broker.broker.store.reading() as connection:
        rows = connection.execute(select(schema.audit.c.result, schema.audit.c.reason)).all()
    assert [row.result for row in rows] == ["denied"]
    assert token.reveal() not in rows[0].reason


def test_a_good_token_gets_a_token(broker: RunningBroker, issuer: Issuer) -> None:
    assert broker.exchange(issuer.token(aud=broker.url)).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"project_id": 1234},
        {"project_id": True},
        {"project_id": ["1234"]},
        {"project_id": {"1234": "1234"}},
        {"project_id": "12345"},
        {"project_id": "1234 "},
        {"project_id": "1234\n"},
        {"project_id": "\u0661\u0662\u0663\u0664"},
        {"project_id": "\uff11\uff12\uff13\uff14"},
        {"project_id": "12\u200b34"},
        {"without": ("project_id",), "Project_id": "1234"},
        {"without": ("project_id",), "project_id\u200b": "1234"},
        {"without": ("project_id",), "claims": {"project_id": "1234"}},
    ],
    ids=[
        "a number",
        "true",
        "a list",
        "an object",
        "longer",
        "a space after it",
        "a line's end after it",
        "Arabic digits",
        "wide digits",
        "an invisible character",
        "another case",
        "an invisible character in the name",
        "deeper",
    ],
)
def test_a_claim_that_looks_like_the_right_one_is_another(
    broker: RunningBroker, issuer: Issuer, change: dict[str, object]
) -> None:
    answer = broker.exchange(issuer.token(**{"aud": broker.url, **change}))  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_target")


def test_a_token_is_taken_once_even_from_twenty_at_once(broker: RunningBroker, issuer: Issuer) -> None:
    token = issuer.token(aud=broker.url, jti="the same")
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: broker.exchange(token), range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 19


def test_a_token_without_a_name_of_its_own_is_taken_once_too(broker: RunningBroker, issuer: Issuer) -> None:
    token = issuer.token(aud=broker.url)
    assert [broker.exchange(token).status_code for _ in range(2)] == [200, 400]


def test_another_signature_of_the_same_makes_no_other_token(broker: RunningBroker, issuer: Issuer) -> None:
    issuer.add_key("curve", "ES256")
    signed, _, signature = issuer.token(aud=broker.url, kid="curve").reveal().rpartition(".")
    raw = urlsafe_b64decode(signature + "==")
    twin = raw[:32] + (P256_ORDER - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")  # as right as the first
    assert broker.exchange(Secret(f"{signed}.{encode(twin)}")).status_code == 200
    assert broker.exchange(Secret(f"{signed}.{signature}")).json()["error_description"].endswith("accepted once")


def test_a_trusted_issuer_cannot_speak_for_another(broker: RunningBroker, issuer: Issuer) -> None:
    other = f"{issuer.url}/other"
    issuer.documents[f"{other}/.well-known/openid-configuration"] = {"issuer": other, "jwks_uri": f"{issuer.url}/keys"}
    answer = broker.exchange(issuer.token(aud=broker.url, iss=other))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_target")


@pytest.mark.parametrize(
    "respond",
    [
        lambda _: RedirectResponse("https://evil.example/keys"),
        lambda issuer: RedirectResponse(f"{issuer.url}/other"),
        lambda _: PlainTextResponse("not JSON"),
        lambda _: PlainTextResponse("[" * 100_000, media_type="application/json"),
        lambda _: PlainTextResponse(f'{{"keys": [], "x": "{"x" * 1024 * 1024}"}}', media_type="application/json"),
        lambda _: PlainTextResponse('{"keys": {}}', media_type="application/json"),
        lambda _: PlainTextResponse("{}", status_code=500),
    ],
    ids=["a redirect", "a redirect at home", "no JSON", "deep", "huge", "no list", "a failure"],
)
@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/keys"])
def test_keys_that_cannot_be_had_are_a_failure_that_passes(
    broker: RunningBroker, issuer: Issuer, path: str, respond: Callable[[Issuer], Response]
) -> None:
    issuer.responses[path] = respond(issuer)
    answer = broker.exchange(issuer.token(aud=broker.url))
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert "other" not in issuer.fetched


@pytest.mark.parametrize(
    "keys_url",
    [
        "https://10.0.0.1/keys",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/keys",
        "https://[::ffff:127.0.0.1]/keys",
        "https://localhost/keys",
        "http://127.0.0.2/keys",
    ],
)
def test_keys_at_a_private_address_are_not_asked_for(broker: RunningBroker, issuer: Issuer, keys_url: str) -> None:
    metadata = f"{issuer.url}/.well-known/openid-configuration"
    issuer.documents[metadata] = {"issuer": issuer.url, "jwks_uri": keys_url}
    answer = broker.exchange(issuer.token(aud=broker.url))
    assert answer.status_code == 503
    assert "address that is not public" in answer.json()["error_description"]


def test_an_issuer_that_never_ends_its_answer_is_given_up_on(issuer: Issuer, tmp_path: Path) -> None:
    async def drip() -> AsyncIterator[bytes]:
        for _ in range(10_000):
            yield b" "
            await asyncio.sleep(0.05)

    issuer.responses["/keys"] = StreamingResponse(drip())
    trusted = f'[[trusted-issuer]]\nname = "ci"\nurl = "{issuer.url}"\n'
    settings = parse(f'issuer = "https://t.example"\n{trusted}', file=tmp_path / "broker.toml")
    verifier = Verifier(settings, http=HttpClient(total_seconds=1.0), now=time.time)
    with pytest.raises(BrokerError):
        verifier.verify(issuer.token())
