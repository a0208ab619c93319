"""Leaks for people and programs: as lines of text, as JSON, and as SARIF 2.1.0 for code scanning. No secret is in any.

Whatever comes from a file is untrusted here: only what prints reaches the terminal.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from indexpass._leaks.leak import RULES
from indexpass._leaks.search import MASK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from indexpass._leaks.files import Unread
    from indexpass._leaks.leak import Leak

_SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_MIN_ALONE = 4  # a shorter secret is masked with what stands around it: it may be a part of any word
_NAMED_LIKE_SECRET = re.compile(
    r"""((?:passw(?:or)?d|token|secret|api_?key|private_?key|credentials?)\w{0,64}["']?[ \t]*[:=][ \t]*)(?!\*{4})\S+""",
    re.IGNORECASE,
)
_HEADER = re.compile(r" [ \t]*\[[^\]]*\][ \t]*")


class Told(NamedTuple):
    """A leak, where it is (None is the environment), and whether it has been mended."""

    path: Path | None
    leak: Leak
    is_fixed: bool = False


def as_text(told: Told) -> str:
    """Return two lines for people: place, what it is and its fingerprint; and what to do."""
    leak = told.leak
    place = f"{shown_path(told.path)}:{leak.line}:{leak.column}" if told.path else "environment"
    return printable(f"{place}: {leak.what} [{leak.fingerprint}]") + "\n" + printable(f"    {leak.advice}")


def as_json(told: Sequence[Told], unread: Sequence[Unread]) -> dict[str, object]:
    """Return what ``--json`` prints: ``leaks``, and ``unread`` with what could not be looked at."""
    return {"leaks": [_leak_as_json(each) for each in told], "unread": [_unread_as_json(each) for each in unread]}


def as_sarif(told: Sequence[Told], unread: Sequence[Unread], *, version: str) -> dict[str, object]:
    """Return a SARIF log (OASIS SARIF 2.1.0): a result for each leak that is left, a note for each unread file."""
    rules = list(RULES)
    notes = [{"level": "warning", "message": {"text": f"{shown_path(each.path)}: {each.reason}"}} for each in unread]
    driver = {
        "name": "indexpass",
        "version": version,
        "rules": [
            {"id": rule, "shortDescription": {"text": words}, "defaultConfiguration": {"level": "error"}}
            for rule, words in RULES.items()
        ],
    }
    return {
        "$schema": _SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "columnKind": "unicodeCodePoints",
                "invocations": [{"executionSuccessful": not unread, "toolExecutionNotifications": notes}],
                "results": [_result(each, rules.index(each.leak.sighting.rule)) for each in told if not each.is_fixed],
            }
        ],
    }


def shown_path(path: Path) -> str:
    """Return the path as a person here would type it."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def printable(text: str) -> str:
    """Return the text with whatever could move a terminal's cursor replaced."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def make_redactor(text: str, leaks: Iterable[Leak], *, is_public: bool) -> Callable[[str], str]:
    """Return what masks the secrets of a text in each line of its diff, also those that are silent.

    A file that is not ``is_public``, as a ``.netrc`` is not, shows nothing of its other lines but headings: what else
    is in there is nobody's business.
    """
    pieces = sorted({piece for leak in leaks for piece in _pieces(text, leak)}, key=len, reverse=True)
    secrets = re.compile("|".join(map(re.escape, pieces))) if pieces else None

    def redact(line: str) -> str:
        if not is_public and line.startswith(" ") and not _HEADER.fullmatch(line):
            return " \N{HORIZONTAL ELLIPSIS}"
        masked = secrets.sub(MASK, line) if secrets else line
        return _NAMED_LIKE_SECRET.sub(rf"\1{MASK}", masked)

    return redact


def _pieces(text: str, leak: Leak) -> Iterator[str]:
    """Yield the parts of the secret as they stand in lines; a very short one with its surroundings."""
    start, end = leak.sighting.start, leak.sighting.end
    for line in text[start:end].splitlines():  # of which a diff makes lines as well
        piece = line.removesuffix("\\").lstrip(" \t")
        if len(piece) >= _MIN_ALONE:
            yield piece
    if end - start < _MIN_ALONE or len(text[start:end].splitlines()) > 1:
        begin = text.rfind("\n", 0, start) + 1
        stop = text.find("\n", end)
        yield from filter(str.strip, text[begin : stop if stop >= 0 else len(text)].splitlines())


def _leak_as_json(told: Told) -> dict[str, object]:
    leak, seen = told.leak, told.leak.sighting
    return {
        "file": shown_path(told.path) if told.path else None,
        "line": leak.line if told.path else None,
        "column": leak.column if told.path else None,
        "rule": seen.rule,
        "what": leak.what,
        "kind": leak.kind or None,
        "host": seen.host or None,
        "user": seen.user or None,
        "setting": seen.setting or None,
        "fingerprint": leak.fingerprint,
        "advice": leak.advice,
        "revoke": leak.revoke or None,
        "fixed": told.is_fixed,
    }


def _unread_as_json(unread: Unread) -> dict[str, object]:
    return {"file": shown_path(unread.path), "reason": unread.reason}


def _result(told: Told, rule_index: int) -> dict[str, object]:
    leak, seen = told.leak, told.leak.sighting
    result: dict[str, object] = {
        "ruleId": seen.rule,
        "ruleIndex": rule_index,
        "level": "error",
        "message": {"text": f"{leak.what}: {leak.advice}"},
        "partialFingerprints": {"indexpass/secret/v1": f"{seen.rule}:{seen.host}:{leak.fingerprint}"},
    }
    if told.path is None:
        result["locations"] = [{"logicalLocations": [{"name": seen.setting, "kind": "variable"}]}]
        return result
    region = {"startLine": leak.line, "startColumn": leak.column}
    result["locations"] = [
        {"physicalLocation": {"artifactLocation": {"uri": _uri(told.path)}, "region": region}},
    ]
    return result


def _uri(path: Path) -> str:
    shown = Path(shown_path(path))
    return shown.as_uri() if shown.is_absolute() else quote(os.fsencode(shown.as_posix()))
