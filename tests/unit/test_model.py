"""The three ages of a credential, and the nouns' defaults."""

from __future__ import annotations

import pytest

from indexpass._model import Age, Credential, Index
from indexpass._secret import Secret
from indexpass._url import IndexUrl

HOUR = 3600.0
DAY = 24 * HOUR


def _credential(*, life: float | None, issued_at: float = 1000.0) -> Credential:
    return Credential("__token__", Secret("t"), issued_at, None if life is None else issued_at + life)


@pytest.mark.parametrize(
    ("life", "elapsed", "age"),
    [
        pytest.param(HOUR, 0, "fresh", id="an-hour-new"),
        pytest.param(HOUR, HOUR - 1201, "fresh", id="an-hour-with-more-than-20-minutes-left"),
        pytest.param(HOUR, HOUR - 1200, "usable", id="an-hour-with-20-minutes-left"),
        pytest.param(HOUR, HOUR - 31, "usable", id="an-hour-with-31-seconds-left"),
        pytest.param(HOUR, HOUR - 30, "expired", id="an-hour-with-30-seconds-left"),
        pytest.param(HOUR, HOUR, "expired", id="an-hour-at-its-end"),
        pytest.param(HOUR, DAY, "expired", id="an-hour-long-past-its-end"),
        pytest.param(900, 449, "fresh", id="15-minutes-with-more-than-half-left"),
        pytest.param(900, 450, "usable", id="15-minutes-with-half-left"),
        pytest.param(900, 871, "expired", id="15-minutes-with-29-seconds-left"),
        pytest.param(60, 29, "fresh", id="a-minute-with-more-than-half-left"),
        pytest.param(60, 53, "usable", id="a-minute-with-7-seconds-left"),
        pytest.param(60, 54, "expired", id="a-minute-with-a-tenth-left"),
        pytest.param(12 * HOUR, 12 * HOUR - 1201, "fresh", id="half-a-day-with-more-than-20-minutes-left"),
        pytest.param(12 * HOUR, 12 * HOUR - 1200, "usable", id="half-a-day-with-20-minutes-left"),
        pytest.param(0, 0, "expired", id="no-life"),
        pytest.param(-5, 0, "expired", id="ends-before-it-begins"),
        pytest.param(-5, -60, "expired", id="ends-before-it-begins-and-the-clock-is-earlier"),
        pytest.param(HOUR, -60, "fresh", id="clock-set-back-by-a-minute"),
        pytest.param(HOUR, -61, "expired", id="clock-set-back-by-more-than-a-minute"),
        pytest.param(None, 0, "fresh", id="no-expiry-new"),
        pytest.param(None, 3650 * DAY, "fresh", id="no-expiry-old"),
    ],
)
def test_the_age_of_a_credential(life: float | None, elapsed: float, age: Age) -> None:
    assert _credential(life=life).age(1000.0 + elapsed) == age


@pytest.mark.parametrize(
    ("jitter", "remaining", "age"),
    [
        (0.0, 1201, "fresh"),
        (1.0, 1380, "usable"),
        (1.0, 1381, "fresh"),
        (0.5, 1290, "usable"),
        (0.5, 1291, "fresh"),
    ],
)
def test_jitter_ends_the_fresh_age_up_to_a_twentieth_of_the_life_earlier(
    jitter: float, remaining: float, age: Age
) -> None:
    assert _credential(life=HOUR).age(1000.0 + HOUR - remaining, jitter=jitter) == age


def test_jitter_does_not_move_the_expiry() -> None:
    credential = _credential(life=HOUR)
    assert credential.age(1000.0 + HOUR - 31, jitter=1.0) == "usable"
    assert credential.age(1000.0 + HOUR - 30, jitter=1.0) == "expired"


def test_an_index_uses_the_broker_and_has_no_options_where_nothing_is_said() -> None:
    index = Index("acme", IndexUrl.parse("https://packages.acme.example/simple/"))
    assert (index.provider, dict(index.options), index.upload_url, index.files_url) == ("broker", {}, None, None)


def test_an_index_without_options_cannot_be_given_some_later() -> None:
    index = Index("acme", IndexUrl.parse("https://packages.acme.example/simple/"))
    with pytest.raises(TypeError):
        index.options["broker"] = "https://evil.example"  # type: ignore[index]  # the claim is that it fails


def test_a_credential_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        _credential(life=HOUR).username = "eve"  # type: ignore[misc]  # the claim is that it fails
