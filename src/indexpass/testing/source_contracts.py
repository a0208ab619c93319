"""What holds for every identity source, as a class of pytest that a test module fills in.

What only one platform knows is tested beside it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import pytest

from indexpass._secret import Secret
from indexpass.testing.contracts import require_hidden

if TYPE_CHECKING:
    from collections.abc import Callable

    from indexpass._model import Fit, IdentitySource, Surroundings


class SourceSubject(NamedTuple):
    """An identity source under test, and surroundings in which it applies.

    ``token`` is the one that is there, None where each proof makes a new one. ``asked`` counts what the platform was
    asked so far.
    """

    source: IdentitySource
    surroundings: Surroundings
    token: str | None = None
    asked: Callable[[], int] = lambda: 0


class IdentitySourceContract:
    """What holds for every identity source. A subclass overrides the fixture ``subject``."""

    audience: ClassVar[str] = "https://tokens.acme.example"

    @pytest.fixture
    def subject(self) -> SourceSubject:
        """Return what is under test, where it applies."""
        raise NotImplementedError

    def test_a_source_that_does_not_apply_says_why(self, subject: SourceSubject) -> None:
        fit = subject.source.examine(self.audience, {"PATH": ""})
        assert fit.source or fit.reason

    def test_a_source_applies_where_its_platform_is_and_asks_nobody_to_know(self, subject: SourceSubject) -> None:
        before = subject.asked()
        assert self._examine(subject).source
        assert subject.asked() == before

    def test_a_source_proves_with_a_signed_token_and_says_whose(self, subject: SourceSubject) -> None:
        proof = subject.source.prove(self.audience, subject.surroundings)
        assert proof.secret.reveal().count(".") == 2  # RFC 7519: three parts
        assert proof.source == self._examine(subject).source
        assert subject.token is None or proof.secret == Secret(subject.token)

    def test_neither_token_nor_variables_that_are_secret_are_to_be_read(
        self, subject: SourceSubject, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        fit = self._examine(subject)
        proof = subject.source.prove(self.audience, subject.surroundings)
        require_hidden([proof.secret], f"{proof!r} {fit!r} {subject.source!r} {caplog.text}")

    def _examine(self, subject: SourceSubject) -> Fit:
        return subject.source.examine(self.audience, subject.surroundings.environ)
