"""The exception tree: as drawn, with stable codes, and free of imports."""

from __future__ import annotations

import ast
import inspect
import re

import pytest

from indexpass import errors
from indexpass.errors import BrokerRefused, BrokerUnreachable, ConfigError, IndexpassError

CLASSES: list[type[IndexpassError]] = [thing for thing in vars(errors).values() if inspect.isclass(thing)]  # type: ignore[misc]

CODES = {
    "IndexpassError": "error",
    "UrlError": "url-invalid",
    "ConfigError": "config-invalid",
    "ExtraMissing": "extra-missing",
    "IdentityError": "identity-unavailable",
    "SessionError": "sign-in-needed",
    "BrokerError": "broker-error",
    "BrokerUnreachable": "broker-unreachable",
    "BrokerRefused": "broker-refused",
    "BrokerMisbehaved": "broker-misbehaved",
    "IndexRefused": "index-refused",
    "StoreError": "store-unsafe",
}


def _drawn_parents() -> dict[str, str]:
    """Read the tree in the module's docstring: class → parent."""
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"    ((?:[│├└─ ]{4})*)([A-Z]\w+)", line)
        if found:
            depth = len(found[1]) // 4
            path[depth:] = [found[2]]
            parents[found[2]] = path[depth - 1] if depth else "Exception"
    return parents


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    assert _drawn_parents() == {error.__name__: error.__base__.__name__ for error in CLASSES if error.__base__}


def test_the_codes_are_stable() -> None:
    assert {error.__name__: error.code for error in CLASSES} == CODES


def test_no_two_errors_share_a_code() -> None:
    assert len({error.code for error in CLASSES}) == len(CLASSES)


def test_the_module_imports_nothing() -> None:
    imports = [node for node in ast.walk(ast.parse(inspect.getsource(errors))) if isinstance(node, ast.Import)]
    sources = [n.module for n in ast.walk(ast.parse(inspect.getsource(errors))) if isinstance(n, ast.ImportFrom)]
    assert imports == []
    assert sources == ["__future__"]


def test_the_message_is_the_text_of_the_exception() -> None:
    error = ConfigError("the key is wrong", hint="remove it")
    assert error.message == str(error) == "the key is wrong"


def test_the_hint_is_kept_apart_from_the_text() -> None:
    error = ConfigError("the key is wrong", hint="remove it")
    assert error.hint == "remove it"
    assert "remove it" not in str(error)


def test_the_hint_may_be_empty() -> None:
    assert IndexpassError("it failed").hint == ""


def test_an_error_may_carry_a_more_exact_code() -> None:
    assert ConfigError("the key is wrong", code="config-unknown-key").code == "config-unknown-key"


def test_a_code_given_to_one_error_does_not_change_the_class() -> None:
    ConfigError("the key is wrong", code="config-unknown-key", hint="remove it")
    assert (ConfigError.code, ConfigError.hint) == ("config-invalid", "")


@pytest.mark.parametrize("wait", [None, 2.5])
def test_an_unreachable_broker_says_how_long_to_wait(wait: float | None) -> None:
    assert BrokerUnreachable("it is not ready", retry_after=wait).retry_after == wait


def test_a_refusal_keeps_the_oauth_error_code() -> None:
    assert BrokerRefused("it said no", reason="access_denied").reason == "access_denied"
