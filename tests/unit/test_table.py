"""Tables, bars and times: what fits, what a terminal can show, and where the colours are."""

from __future__ import annotations

import io
from contextlib import redirect_stdout

import click
import pytest

from indexpass._table import Cell, bar, indented, render, shortened, span, visible


def test_a_coloured_cell_is_as_wide_as_its_text() -> None:
    (_, line) = render(["A", "B"], [[Cell("one", "green"), "two"]], cut=(), width=None)
    assert click.unstyle(line) == "one  two"
    assert line == f"{click.style('one', fg='green')}  two"


def test_a_coloured_cell_is_cut_before_it_is_coloured() -> None:
    (_, line) = render(["A", "B"], [[Cell("x" * 30, "red"), "end"]], cut=(0,), width=20)
    assert click.unstyle(line) == f"{'x' * 14}…  end"


def test_a_number_is_at_the_right_also_in_colour() -> None:
    (_, line) = render(["COUNT"], [[Cell("7", "green")]], cut=(), width=None, right=(0,))
    assert click.unstyle(line) == "    7"


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [(0.0, "░░░░"), (0.5, "██░░"), (1.0, "████"), (-1.0, "░░░░"), (7.0, "████")],
    ids=["empty", "half", "full", "less-than-empty", "more-than-full"],
)
def test_a_bar_is_full_as_far_as_it_says(fraction: float, expected: str) -> None:
    assert bar(fraction, 4) == expected


def test_what_the_terminal_cannot_show_is_written_in_ascii() -> None:
    with redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="ascii")):
        assert bar(0.5, 4) == "##.."
        assert shortened("indexes", 4) == "ind~"
        assert visible("Zoë") == "Zo\\xeb"


def test_a_terminal_escape_is_shown_not_sent() -> None:
    assert indented("a\x1b[2J", None) == "    a\\x1b[2J"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0 s"), (99, "99 s"), (100, "1 min"), (5999, "99 min"), (6000, "1 h 40 min"), (172_800, "2 days")],
)
def test_a_time_is_said_to_the_unit_that_matters(seconds: int, expected: str) -> None:
    assert span(seconds) == expected
