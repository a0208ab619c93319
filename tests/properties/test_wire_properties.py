"""What is true of every message: it survives the way, and a hostile answer never does more than raise BrokerError."""

from __future__ import annotations

import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexpass._metadata import Metadata, ResourceMetadata
from indexpass._model import Answer
from indexpass._secret import Secret
from indexpass._url import IndexUrl
from indexpass._wire import DeviceAuthorization, TokenAnswer
from indexpass.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Callable

ISSUER = "https://tokens.acme.example"
RESOURCE = IndexUrl.parse("https://packages.acme.example/simple/")

Parser: TypeAlias = "Callable[[Answer], object]"

PARSERS: dict[str, Parser] = {
    "metadata": lambda answer: Metadata.parse(answer, issuer=ISSUER),
    "resource-metadata": lambda answer: ResourceMetadata.parse(answer, resource=RESOURCE),
    "device": DeviceAuthorization.parse,
    "token": TokenAnswer.parse,
}
KEYS = [
    "issuer",
    "token_endpoint",
    "device_authorization_endpoint",
    "revocation_endpoint",
    "jwks_uri",
    "authorization_endpoint",
    "resource",
    "authorization_servers",
    "resource_name",
    "indexpass_upload_url",
    "indexpass_files_url",
    "device_code",
    "user_code",
    "verification_uri",
    "verification_uri_complete",
    "expires_in",
    "interval",
    "access_token",
    "refresh_token",
    "issued_token_type",
    "scope",
    "user",
    "error",
    "error_description",
]

texts = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=30)
tokens = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=200)
seconds = st.integers(min_value=1, max_value=10**9 - 1)
segments = st.lists(st.sampled_from(["simple", "team", "+simple", "é", "a b", "x" * 600]), max_size=3).map(tuple)
indexes = segments.map(lambda parts: IndexUrl(RESOURCE.origin, parts))
endpoints = st.sampled_from(["/oauth/token", "/x?y=z", "", "/" + "a" * 1500]).map(f"{ISSUER}{{}}".format)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([ISSUER, str(RESOURCE)]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
# Right enough to be read to the end, and wrong anywhere.
right_bodies = st.fixed_dictionaries(
    {},
    optional={
        key: st.one_of(st.just(f"{ISSUER}/x"), st.just(str(RESOURCE)), st.just(60), st.just([ISSUER]), json_values)
        for key in KEYS
    },
)
frames = st.sampled_from(["{}", "the token {} is bad", "{}\n", "https://user:{}@evil.test/", "http://{}:x"])
statuses = st.sampled_from([200, 200, 200, 204, 302, 400, 401, 403, 404, 429, 500, 503])
answers = st.builds(Answer, statuses, right_bodies | json_values, st.none() | st.floats())


@given(
    message=st.builds(
        Metadata,
        issuer=st.just(ISSUER),
        token_endpoint=endpoints,
        device_authorization_endpoint=endpoints,
        revocation_endpoint=endpoints,
        jwks_uri=endpoints,
        authorization_endpoint=st.none() | endpoints,
    )
)
def test_metadata_survives_the_way(message: Metadata) -> None:
    assert Metadata.parse(Answer(200, message.to_json()), issuer=ISSUER) == message


@given(
    message=st.builds(
        ResourceMetadata,
        resource=indexes,
        broker=st.sampled_from([ISSUER, f"{ISSUER}/team", "http://127.0.0.1:8080"]),
        upload_url=st.none() | indexes,
        files_url=st.none() | indexes,
        name=st.just("") | texts,
    )
)
def test_resource_metadata_survives_the_way(message: ResourceMetadata) -> None:
    assert ResourceMetadata.parse(Answer(200, message.to_json()), resource=message.resource) == message


@given(
    message=st.builds(
        DeviceAuthorization,
        device_code=tokens.map(Secret),
        user_code=texts,
        verification_uri=endpoints,
        verification_uri_complete=endpoints,
        expires_in=seconds,
        interval=seconds,
    )
)
def test_an_invitation_survives_the_way(message: DeviceAuthorization) -> None:
    assert DeviceAuthorization.parse(Answer(200, message.to_json())) == message


@given(
    message=st.builds(
        TokenAnswer,
        access_token=tokens.map(Secret),
        expires_in=seconds,
        scope=st.just("") | texts,
        refresh_token=st.none() | tokens.map(Secret),
        issued_token_type=st.none() | texts,
        user=st.just("") | texts,
    )
)
def test_a_grant_survives_the_way(message: TokenAnswer) -> None:
    assert TokenAnswer.parse(Answer(200, message.to_json())) == message


@pytest.mark.parametrize("parse", PARSERS.values(), ids=PARSERS.keys())
@given(answer=answers)
def test_a_hostile_answer_raises_nothing_but_a_broker_error(parse: Parser, answer: Answer) -> None:
    with suppress(BrokerError):
        parse(answer)


@pytest.mark.parametrize("parse", PARSERS.values(), ids=PARSERS.keys())
@given(answer=answers)
def test_what_is_told_of_a_hostile_answer_is_one_short_line(parse: Parser, answer: Answer) -> None:
    error = _error(parse, answer)
    assert error is None or (error.message.isprintable() and 0 < len(error.message) < 1000)


@pytest.mark.parametrize("parse", PARSERS.values(), ids=PARSERS.keys())
@given(data=st.data())
@settings(max_examples=300)
def test_no_error_shows_a_token_wherever_the_answer_puts_it(parse: Parser, data: st.DataObject) -> None:
    token = data.draw(st.text("abcXYZ019_-", min_size=40, max_size=80), label="token")
    places = data.draw(st.dictionaries(st.sampled_from(KEYS), frames, min_size=1), label="places")
    body = data.draw(right_bodies, label="body") | {key: frame.format(token) for key, frame in places.items()}
    error = _error(parse, Answer(data.draw(statuses, label="status"), body))
    assert error is None or token not in "".join([*traceback.format_exception(error), error.hint, repr(vars(error))])


def _error(parse: Parser, answer: Answer) -> BrokerError | None:
    try:
        parse(answer)
    except BrokerError as error:
        return error
    return None
