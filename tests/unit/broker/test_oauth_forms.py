"""How a request to an OAuth endpoint is read: the form, and where a client says its name."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexpass.broker.oauth import (
    FORM_TYPE,
    ClientLogin,
    OAuthError,
    parse_basic,
    parse_form,
    with_client,
)


def basic(text: str) -> str:
    return f"Basic {b64encode(text.encode()).decode()}"


def test_a_parameter_without_a_value_counts_as_absent() -> None:
    assert parse_form(FORM_TYPE, b"a=1&b=&c=2") == {"a": "1", "c": "2"}


@pytest.mark.parametrize("content_type", [FORM_TYPE, f"{FORM_TYPE}; charset=utf-8", FORM_TYPE.upper()])
def test_the_content_type_may_have_parameters_and_capitals(content_type: str) -> None:
    assert parse_form(content_type, b"a=%C3%A9") == {"a": "é"}


@pytest.mark.parametrize(
    ("content_type", "body", "code", "status"),
    [
        pytest.param("", b"a=1", "invalid_request", 400, id="no type"),
        pytest.param("application/json", b"{}", "invalid_request", 400, id="json"),
        pytest.param(f"{FORM_TYPE}x", b"a=1", "invalid_request", 400, id="type that begins alike"),
        pytest.param("multipart/form-data", b"a=1", "invalid_request", 400, id="multipart"),
        pytest.param(FORM_TYPE, b"a=1&a=2", "invalid_request", 400, id="twice"),
        pytest.param(FORM_TYPE, b"a=1&a=1", "invalid_request", 400, id="twice the same"),
        pytest.param(FORM_TYPE, b"a=&a=1", "invalid_request", 400, id="twice, once empty"),
        pytest.param(FORM_TYPE, b"%61=1&a=2", "invalid_request", 400, id="twice, once encoded"),
        pytest.param(FORM_TYPE, b"resource=a&resource=b", "invalid_target", 400, id="two resources"),
        pytest.param(FORM_TYPE, b"audience=a&audience=b", "invalid_target", 400, id="two audiences"),
        pytest.param(FORM_TYPE, b"a=%00", "invalid_request", 400, id="NUL"),
        pytest.param(FORM_TYPE, b"a=\x00", "invalid_request", 400, id="bare NUL"),
        pytest.param(FORM_TYPE, b"a=\xff", "invalid_request", 400, id="not UTF-8"),
        pytest.param(FORM_TYPE, b"a=%ff", "invalid_request", 400, id="encoded, not UTF-8"),
        pytest.param(FORM_TYPE, b"a=%ed%a0%80", "invalid_request", 400, id="half a character"),
        pytest.param(FORM_TYPE, b"a", "invalid_request", 400, id="no value"),
        pytest.param(FORM_TYPE, b"&".join(b"a%d=1" % n for n in range(33)), "invalid_request", 400, id="many"),
    ],
)
def test_what_is_no_proper_form_is_refused(content_type: str, body: bytes, code: str, status: int) -> None:
    with pytest.raises(OAuthError) as caught:
        parse_form(content_type, body)
    assert (caught.value.code, caught.value.status) == (code, status)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_form_that_every_database_takes_or_are_refused(body: bytes) -> None:
    try:
        form = parse_form(FORM_TYPE, body)
    except OAuthError:
        return
    assert all(value and "\0" not in value and value.encode() for value in form.values())


def test_a_name_and_a_secret_come_from_a_basic_header() -> None:
    login = parse_basic(basic("art%20ifactory:a%3Ab+c"))
    assert login is not None
    assert (login.name, login.secret.reveal()) == ("art ifactory", "a:b c")


@pytest.mark.parametrize(
    "header",
    [
        "Bearer abc",
        "Basic",
        "Basic !",
        "Basic " + b64encode(b"no colon").decode(),
        "Basic " + b64encode(b"a:\xff").decode(),
        basic("a:%ff"),
        basic("a%00:b"),
        "Negotiate abc",
    ],
    ids=["Bearer", "empty", "no base64", "no colon", "not UTF-8", "encoded, not UTF-8", "NUL", "Negotiate"],
)
def test_a_header_of_another_kind_is_an_invalid_client(header: str) -> None:
    with pytest.raises(OAuthError) as caught:
        parse_basic(header)
    assert (caught.value.code, caught.value.status) == ("invalid_client", 401)


@given(st.text(max_size=100))
def test_any_header_names_a_client_or_is_refused(header: str) -> None:
    try:
        login = parse_basic(header)
    except OAuthError:
        return
    assert login is None or isinstance(login, ClientLogin)


@pytest.mark.parametrize(
    ("form", "header"),
    [
        ({"client_id": "indexpass"}, ""),
        ({}, basic("indexpass:")),
        ({"client_id": "indexpass"}, basic("indexpass:")),
    ],
    ids=["form", "header", "both"],
)
def test_a_client_says_its_name_in_the_form_or_by_basic_without_a_secret(form: dict[str, str], header: str) -> None:
    assert with_client(form, header) == {"client_id": "indexpass"}


@pytest.mark.parametrize(
    ("form", "header", "code"),
    [
        ({}, basic("indexpass:secret"), "invalid_client"),
        ({"client_id": "indexpass", "client_secret": "secret"}, "", "invalid_client"),
        ({"client_id": "indexpass", "client_assertion": "a.b.c"}, "", "invalid_client"),
        ({"client_id": "another"}, basic("indexpass:"), "invalid_request"),
    ],
    ids=["secret by Basic", "secret in the form", "assertion", "two names"],
)
def test_a_secret_or_a_second_name_is_refused(form: dict[str, str], header: str, code: str) -> None:
    with pytest.raises(OAuthError) as caught:
        with_client(form, header)
    assert caught.value.code == code
