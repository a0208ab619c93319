"""What is true of a credential's age whatever the times are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from indexpass._model import Credential
from indexpass._secret import Secret

ORDER = {"fresh": 0, "usable": 1, "expired": 2}
times = st.floats(min_value=0, max_value=4e9)
lives = st.floats(min_value=1, max_value=1e9)
jitters = st.floats(min_value=0, max_value=1)


def _credential(issued_at: float, life: float) -> Credential:
    return Credential("__token__", Secret("t"), issued_at, issued_at + life)


@given(issued_at=times, life=lives, first=times, second=times, jitter=jitters)
def test_a_credential_never_grows_younger(
    issued_at: float, life: float, first: float, second: float, jitter: float
) -> None:
    earlier, later = sorted((issued_at + first, issued_at + second))
    credential = _credential(issued_at, life)
    assert ORDER[credential.age(earlier, jitter=jitter)] <= ORDER[credential.age(later, jitter=jitter)]


@given(issued_at=times, life=lives, jitter=jitters)
def test_a_new_credential_is_fresh(issued_at: float, life: float, jitter: float) -> None:
    assert _credential(issued_at, life).age(issued_at, jitter=jitter) == "fresh"


@given(issued_at=times, life=st.floats(min_value=-1e9, max_value=1e9), late=st.floats(min_value=0, max_value=1e9))
def test_a_credential_is_expired_from_its_end_on(issued_at: float, life: float, late: float) -> None:
    assert _credential(issued_at, life).age(issued_at + life + late) == "expired"


@given(issued_at=times, life=lives, now=times, jitter=jitters)
def test_jitter_only_ever_ages(issued_at: float, life: float, now: float, jitter: float) -> None:
    credential = _credential(issued_at, life)
    assert ORDER[credential.age(now, jitter=jitter)] >= ORDER[credential.age(now)]
