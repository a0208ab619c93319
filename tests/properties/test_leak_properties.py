"""Whatever a file says: no output shows a secret, what was mended is clean, and what is undone is as it was."""

from __future__ import annotations

import itertools
import json
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from indexpass import _changes
from indexpass._leaks.files import Search
from indexpass._leaks.report import Told, as_json, as_sarif, as_text, make_redactor
from indexpass._leaks.search import clean, find_leaks

if TYPE_CHECKING:
    from indexpass._leaks.files import Looked
    from indexpass._leaks.forms import Form

HOST = "packages.acme.example"
# Distinct from every word around it, so that it can be searched for.
SECRETS = st.from_regex(re.compile(r"canary[A-Z0-9!%.:~^&*=+;-]{0,24}Z", re.ASCII), fullmatch=True).map(
    lambda text: re.sub(r"%(?![0-9A-F]{2})", "%25", text)
)
USERS = st.sampled_from(["", "me", "__token__", "first.last%40acme.example", "%6De"])
ENDS = st.sampled_from(["\n", "\r\n"])
OTHER = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=60).map(lambda text: f"# {text}")


@st.composite
def lines_with_secrets(draw: st.DrawFn) -> tuple[str, list[str]]:
    """Return a requirements file in which some lines leak, and its secrets."""
    parts, secrets, end = [], [], draw(ENDS)
    for _ in range(draw(st.integers(1, 4))):
        secret = draw(SECRETS)
        split = draw(st.integers(1, len(secret) - 1)) if draw(st.booleans()) else 0
        written = f"{secret[:split]}\\{end}  {secret[split:]}" if split else secret
        parts += [draw(OTHER), f"--index-url https://{draw(USERS)}:{written}@{HOST}/simple/"]
        secrets.append(secret)
    return end.join(parts) + draw(st.sampled_from(["", end])), secrets


def shown(found: Looked, after: str) -> str:
    """Return everything that is ever printed of a file."""
    told = [Told(found.path, leak) for leak in found.leaks]
    redact = make_redactor(found.text, found.leaks, is_public=True)
    change = _changes.Change(found.path, found.text, after, "")
    return "\n".join(
        [
            *map(as_text, told),
            json.dumps(as_json(told, [])),
            json.dumps(as_sarif(told, [], version="0")),
            *_changes.show([change], redact=redact),
            repr(found.leaks),
        ]
    )


@given(lines_with_secrets())
def test_nothing_is_shown_what_is_mended_is_clean_and_undone_it_is_the_same(made: tuple[str, list[str]]) -> None:
    text, secrets = made
    with tempfile.TemporaryDirectory() as folder:
        file, state = Path(folder, "requirements.txt"), Path(folder, "state")
        state.mkdir(mode=0o700)
        data = text.encode()
        file.write_bytes(data)
        (found,) = Search(frozenset()).look([(file, None)])
        assert len(found.leaks) == len(secrets)
        after = clean(found.text, found.leaks)
        assert find_leaks(after, found.form) == ()
        assert [secret for secret in secrets if secret in shown(found, after)] == []
        _changes.make([_changes.Change(file, found.text, after, "")], name="scan", state=state)
        assert "canary" not in file.read_text(encoding="utf-8", errors="surrogateescape")
        _changes.undo("scan", state=state)
        assert file.read_bytes() == data


FORMS: tuple[Form, ...] = ("requirements", "pyproject", "settings", "pypirc", "netrc", "git", "script", "code", "lock")
PIECES = (
    *(
        "https://",
        "me",
        ":",
        "@",
        "%40",
        "\\\n",
        "\n",
        "\r\n",
        " ",
        '"',
        "'",
        "=",
        "[",
        "]",
        "password",
        "machine",
        "login",
    ),
    *(
        "[http-basic.a]",
        "TWINE_PASSWORD",
        "glpat-0123456789abcdefghij",
        "s3cr3t",
        "${A}",
        "#",
        "\ufeff",
        "\udc80",
        HOST,
    ),
    *('password = "s3cr3t"', "machine a password s3cr3t", "pypi-token", "macdef"),
)


@given(st.lists(st.sampled_from(PIECES), max_size=24).map("".join), st.sampled_from(FORMS))
def test_any_text_is_read_without_error_and_mended_as_far_as_it_can_be(text: str, form: Form) -> None:
    leaks = find_leaks(text, form, hosts=frozenset({"a"}))
    spans = [(leak.sighting.start, leak.sighting.end) for leak in leaks]
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))
    mended = clean(text, leaks)
    for _ in leaks:  # what stood around a secret may be another one, once that is gone
        mended = clean(mended, find_leaks(mended, form, hosts=frozenset({"a"})))
    assert [leak for leak in find_leaks(mended, form, hosts=frozenset({"a"})) if leak.may_be_mended] == []
