"""``indexpass explain``: why a URL gets the credential that it gets, or none. Asks nobody."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Literal

import click

from indexpass import _explain, _table
from indexpass._resolve import default_context, default_resolver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from indexpass._explain import Explanation
    from indexpass._standing import Held

_LABEL = 12  # columns
_PIPE_WIDTH = 100  # as wide as help is


@click.command(
    epilog="Examples:\n\n\b\n  indexpass explain https://packages.example.com/simple/requests/\n"
    "  indexpass explain packages.example.com\n"
    "  indexpass explain https://packages.example.com/simple/ --operation upload --json"
)
@click.argument("url")
@click.option("--operation", type=click.Choice(["read", "upload"]), help="What it is asked for. [default: by the URL]")
@click.option("--json", "as_json", is_flag=True, help="Print an object instead of text.")
def explain(url: str, *, operation: Literal["read", "upload"] | None, as_json: bool) -> None:
    """Say step by step what happens if a client asks for URL, or a bare host: whose it is, and what the client gets.

    Nobody is asked over the network, and no secret is shown.
    """
    told = _explain.explain(url, operation, default_resolver(), default_context())
    if as_json:
        click.echo(json.dumps(_json(told), indent=2))
        return
    for label, text, colour in _steps(told):
        click.echo(_line(label, text, colour))


def _steps(told: Explanation) -> Iterator[tuple[str, str, str | None]]:
    """Yield each line as a label, a text and a colour; without a label it belongs to the step above."""
    yield "asked for", told.given, None
    yield "read as", told.url or "no URL", None
    for number, place in enumerate(told.configuration):
        yield "" if number else "configured", f"{place.place}: {place.says}", None
    for number, rule in enumerate(told.rules):
        sign, colour = ("yes", "green") if rule.is_there else ("no ", None)
        yield "" if number else "rules", f"{sign}  {rule.owner}, {rule.setting} {rule.place}: {rule.reason}", colour
    if not told.rules:
        yield "rules", "none was tried", None
    if told.owner is None:
        yield "answer", f"none: {told.silence}", "yellow"
        return
    owner = told.owner
    is_answered = all(client.gets for client in told.clients)
    origin = "told by its URL, without configuration" if owner.is_known else owner.url
    yield "index", owner.name if owner.name == origin else f"{owner.name}, {origin}", None
    yield "operation", owner.operation, None
    options = "".join(f", {key} = {value}" for key, value in owner.options.items())
    yield "provider", f"{owner.provider}, from {owner.provider_from}{options}", None
    yield "who", told.identity or "nobody", None if told.identity else "yellow"
    if not is_answered:
        for number, (name, reason) in enumerate(told.identity_sources.items()):
            yield "" if number else "proof here", f"{name}: {reason}", None
    if told.held:
        yield "held", _held(told.held), None
    yield "answer", told.next_step or "", "green" if is_answered else "yellow"
    for client in told.clients:
        yield "", f"{client.client} gets {client.gets or 'nothing, and goes on without it'}", None
        yield "", f"  {client.how}", None


def _held(held: Held) -> str:
    if held.seconds_left is None or held.life_seconds is None or held.renews_in_seconds is None:
        return "nothing" if held.age == "none" else f"{held.age}, without an end"
    age = f"{held.age}, {_table.span(max(held.life_seconds - held.seconds_left, 0))} old"
    if held.age == "expired":
        return age
    renewal = f"in {_table.span(held.renews_in_seconds)}" if held.renews_in_seconds else "by the next who asks"
    return f"{age}, {_table.span(held.seconds_left)} left, renewed {renewal}"


def _line(label: str, text: str, colour: str | None) -> str:
    """Return the line with its label before it, on several lines where it does not fit on one.

    What stands after an arrow can be pasted: it is not broken.
    """
    width = max(_table.terminal_width() or _PIPE_WIDTH, 3 * _LABEL)
    blanks = " " * (len(text) - len(text.lstrip()))
    words, _, hint = text.strip().partition(" → ")
    room = width - _LABEL - len(blanks)
    shown = textwrap.wrap(_table.visible(words), room, break_long_words=False, break_on_hyphens=False)
    coloured = [blanks + (click.style(line, fg=colour) if colour else line) for line in shown]
    if hint:
        coloured.append(click.style(f"→ {_table.visible(hint)}", bold=True))
    head = click.style(label, bold=True) + " " * (_LABEL - len(label)) if label else " " * _LABEL
    return head + f"\n{' ' * _LABEL}".join(coloured)


def _json(told: Explanation) -> dict[str, object]:
    return {
        **told._asdict(),
        "configuration": [each._asdict() for each in told.configuration],
        "rules": [each._asdict() for each in told.rules],
        "owner": told.owner._asdict() if told.owner else None,
        "identity_sources": dict(told.identity_sources),
        "held": told.held._asdict() if told.held else None,
        "clients": [each._asdict() for each in told.clients],
    }
