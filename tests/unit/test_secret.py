"""A Secret is never shown by anything but ``reveal``."""

from __future__ import annotations

import copy
import io
import json
import logging
import pickle
import pprint
import traceback
from typing import TYPE_CHECKING

import pytest

from indexpass._model import Answer, Credential, IdentityToken, Session
from indexpass._secret import Secret
from indexpass._url import IndexUrl
from indexpass._wire import DeviceAuthorization, TokenAnswer, exchange_form, refresh_form, revoke_form

if TYPE_CHECKING:
    from collections.abc import Callable

CANARY = "canary-3f9c"
URL = IndexUrl.parse("https://packages.acme.example/simple/")


def _printed(thing: object) -> str:
    out = io.StringIO()
    print(thing, [thing], file=out)
    return out.getvalue()


def _logged(thing: object) -> str:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.handle(logging.LogRecord("indexpass", logging.DEBUG, __file__, 1, "%s %r", (thing, thing), None))
    return out.getvalue()


def _traceback(thing: object, *, capture_locals: bool) -> str:
    held = thing

    def fail() -> None:
        raise RuntimeError(held)

    try:
        fail()
    except RuntimeError as error:
        return "".join(traceback.TracebackException.from_exception(error, capture_locals=capture_locals).format())
    raise AssertionError


WAYS_TO_SHOW: dict[str, Callable[[object], str]] = {
    "repr": repr,
    "str": str,
    "ascii": ascii,
    "format": format,
    "f-string": lambda thing: f"{thing}",
    "f-string-debug": lambda thing: f"{thing=}",
    "percent-s": lambda thing: "%s" % (thing,),  # noqa: UP031  # the old way must not show it either
    "percent-r": lambda thing: "%r" % (thing,),  # noqa: UP031
    "str-format": "{}".format,
    "inside-a-list": lambda thing: str([thing]),
    "inside-a-dict": lambda thing: str({"password": thing}),
    "pprint": pprint.pformat,
    "print": _printed,
    "json-default-str": lambda thing: json.dumps(thing, default=str),
    "log-record": _logged,
    "traceback": lambda thing: _traceback(thing, capture_locals=False),
    "traceback-with-locals": lambda thing: _traceback(thing, capture_locals=True),
    "copy": lambda thing: repr(copy.copy(thing)),
    "deepcopy": lambda thing: repr(copy.deepcopy(thing)),
}

HOLDERS: dict[str, object] = {
    "secret": Secret(CANARY),
    "credential": Credential("__token__", Secret(CANARY), 0.0, None),
    "identity-token": IdentityToken(Secret(CANARY), "github"),
    "session": Session("https://tokens.acme.example", "ada", Secret(CANARY)),
    "device-authorization": DeviceAuthorization(Secret(CANARY), "ABCD", "https://a.example", "https://a.example", 1, 1),
    "token-answer": TokenAnswer(Secret(CANARY), 60, "pypi:read", refresh_token=Secret(CANARY)),
    "exchange-form": exchange_form(Secret(CANARY), resource=URL, operation="read"),
    "refresh-form": refresh_form(Secret(CANARY), resource=URL, operation="read"),
    "revoke-form": revoke_form(Secret(CANARY)),
}


@pytest.mark.parametrize("holder", HOLDERS.values(), ids=HOLDERS.keys())
@pytest.mark.parametrize("show", WAYS_TO_SHOW.values(), ids=WAYS_TO_SHOW.keys())
def test_a_secret_is_never_shown(show: Callable[[object], str], holder: object) -> None:
    assert CANARY not in show(holder)


def test_an_answer_does_not_show_a_body_that_is_not_parsed_yet() -> None:
    assert CANARY not in f"{Answer(200, {'access_token': CANARY})}"


@pytest.mark.parametrize("spec", ["", "s", ">40", "<40", "^40", ".4"])
def test_a_secret_is_masked_whatever_the_format_asks_for(spec: str) -> None:
    assert format(Secret("!?"), spec) == format("Secret(****)", spec)


def test_the_mask_says_nothing_about_the_length() -> None:
    assert repr(Secret("")) == repr(Secret("a" * 1000))


def test_reveal_returns_the_value() -> None:
    assert Secret(CANARY).reveal() == CANARY


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "holder",
    [HOLDERS[name] for name in ("secret", "credential", "identity-token", "session")],
    ids=["secret", "credential", "identity-token", "session"],
)
def test_a_secret_cannot_be_pickled(holder: object, protocol: int) -> None:
    with pytest.raises(TypeError, match="a secret cannot be pickled"):
        pickle.dumps(holder, protocol=protocol)


def test_the_error_of_pickling_does_not_show_the_secret() -> None:
    with pytest.raises(TypeError) as caught:
        pickle.dumps(Secret(CANARY))
    assert CANARY not in str(caught.value)


def test_a_secret_cannot_be_serialised_as_json() -> None:
    with pytest.raises(TypeError):
        json.dumps({"secret": Secret(CANARY)})


def test_a_secret_has_no_dict_to_look_into() -> None:
    with pytest.raises(TypeError):
        vars(Secret(CANARY))


def test_a_copy_of_a_secret_is_the_secret() -> None:
    secret = Secret(CANARY)
    assert copy.copy(secret) is secret
    assert copy.deepcopy(secret) is secret


def test_secrets_with_the_same_value_are_equal() -> None:
    assert Secret("a-é") == Secret("a-é")


def test_secrets_with_different_values_are_unequal() -> None:
    assert Secret("a") != Secret("b")


def test_a_secret_is_unequal_to_its_own_value() -> None:
    assert Secret("a") != "a"


def test_secrets_with_undecodable_bytes_can_be_compared() -> None:
    assert Secret("a\udcff") == Secret("a\udcff")
    assert Secret("a\udcff") != Secret("a\udcfe")


def test_a_secret_has_no_hash() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(Secret(CANARY))


def test_an_empty_secret_is_false() -> None:
    assert not Secret("")
    assert Secret("a")
