"""Edits of clients' settings keep every line that they are not about, whatever the file looks like."""

from __future__ import annotations

import sys

from hypothesis import assume, example, given
from hypothesis import strategies as st

from indexpass._changes import Change, merge_lines
from indexpass._setup import ini, tables, toml_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

INI_LINES = (
    *("[global]", "[install]", "[DEFAULT]", "[ global ]", "[global] ; x", "", "   ", "# keyring-provider = x", "; c"),
    *("keyring-provider = auto", "Keyring_Provider: auto", "keyring-provider=", "index-url = https://x/simple"),
    *(
        "extra-index-url =",
        "    https://y/simple",
        "\thttps://z/simple",
        "    # inside",
        "no-deps = yes ; not a comment",
    ),
    *("a\u2028b = c", "é = ü", "stray", " indented = 1", "  keyring-provider = auto", "    [install]"),
)
TOML_LINES = (
    *(
        "[pip]",
        "[[index]]",
        "# c",
        "",
        "a = 1",
        'keyring-provider = "disabled" # c',
        "b = '''",
        "[pip]'''",
        "c = [1,",
        "]",
    ),
    *('url = "https://x/"', "[index.more]", "d.e = 1", "[tool.'x y']"),
)


def texts(lines: tuple[str, ...]) -> st.SearchStrategy[str]:
    """Texts of these lines, each at most once, the first one mostly in front, with either end of line."""
    return st.builds(
        lambda chosen, first, end, is_cut: end.join([*first, *chosen]) + ("" if is_cut or not chosen else end),
        st.lists(st.sampled_from(lines[1:]), max_size=6, unique=True),
        st.sampled_from([[lines[0]], [lines[0]], []]),
        st.sampled_from(["\n", "\r\n"]),
        st.booleans(),
    )


@given(texts(INI_LINES))
@example("[global]\n    index-url = x\n    keyring-provider = auto\n    a = 1\n")
@example("[global]\nkeyring-provider = auto\n# of somebody\n more = 1\n")
def test_a_value_is_put_into_an_ini_file_and_nothing_else_is_touched(text: str) -> None:
    try:
        before = ini.read_settings(text, ini.name_of_pip)
        after = ini.put(text, "global", "keyring-provider", "import", normalize=ini.name_of_pip)
    except ValueError:
        return  # refused, and so not touched
    said = ini.read_settings(after, ini.name_of_pip)
    assert said == before | {("global", "keyring-provider"): "import"}
    assert ini.put(after, "global", "keyring-provider", "import", normalize=ini.name_of_pip) == after
    comments = [line for line in text.splitlines() if line.startswith(("#", ";"))]
    assert [line for line in after.splitlines() if line.startswith(("#", ";"))] == comments


@given(texts(INI_LINES), st.sampled_from(["index-url = x", "# theirs", "[theirs]\nx = 1"]))
def test_our_value_is_taken_out_of_an_ini_file_that_others_have_changed(text: str, more: str) -> None:
    assume("[DEFAULT]" not in text)  # what all sections inherit is not in the section
    try:
        after = ini.put(text, "global", "keyring-provider", "import", normalize=ini.name_of_pip)
        current = f"{after}{more}\n"
        was = ini.read_settings(current, ini.name_of_pip)
        now = ini.take_out(text, after, current, ini.name_of_pip)
    except ValueError:
        return
    assert now is not None
    before = ini.read_settings(text, ini.name_of_pip).get(("global", "keyring-provider"))
    ours = ("global", "keyring-provider")
    expected = {key: value for key, value in was.items() if key != ours} | (
        {ours: before} if before is not None else {}
    )
    assert ini.read_settings(now, ini.name_of_pip) == expected


@given(texts(TOML_LINES))
def test_a_value_is_put_on_top_of_a_toml_file_and_nothing_else_is_touched(text: str) -> None:
    try:
        after = toml_text.put_on_top(text, "keyring-provider", "subprocess")
    except ValueError:
        return  # refused, and so not touched
    assert tomllib.loads(after) == tomllib.loads(text) | {"keyring-provider": "subprocess"}
    if "keyring-provider" in tomllib.loads(text):
        others = [[line for line in each.splitlines(keepends=True) if "keyring" not in line] for each in (text, after)]
        assert others[0] == others[1]
    else:
        assert after.endswith(text)


@given(texts(TOML_LINES))
def test_a_table_is_put_below_a_toml_file_and_nothing_else_is_touched(text: str) -> None:
    try:
        after = tables.put(text, ("publish", "repos"), {"a.b": {"url": "https://x/"}})
    except ValueError:
        return
    assert after.startswith(text)
    assert tomllib.loads(after) == tomllib.loads(text) | {"publish": {"repos": {"a.b": {"url": "https://x/"}}}}
    assert tables.put(after, ("publish", "repos"), {"a.b": {"url": "https://x/"}}) == after


LINES = st.lists(st.sampled_from("abcde["), max_size=6).map(lambda lines: "".join(f"{line}\n" for line in lines))


@given(LINES, LINES, st.lists(st.sampled_from("xyz"), max_size=3))
def test_lines_of_others_survive_the_taking_back(before: str, after: str, theirs: list[str]) -> None:
    current = after + "".join(f"{line}\n" for line in theirs)
    merged = merge_lines(Change(None, before, after, "a test"), current)  # type: ignore[arg-type]  # of no file
    if merged is not None:
        assert merged == before + "".join(f"{line}\n" for line in theirs)
