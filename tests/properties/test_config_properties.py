"""What is read of a plain file without a TOML parser is what the parser reads."""

from __future__ import annotations

import sys

from hypothesis import example, given
from hypothesis import strategies as st

from indexpass import _config

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Few pieces, so that plain lines, nearly plain lines and wrong ones are all common.
MARKS = ["a", "ö", " ", '"', "'", "\\", "=", "#", "[[index]]", "\t", "\r", "\x00", "\x7f", "\x85", "\u2028", "\ufeff"]
texts = st.lists(st.sampled_from(MARKS), max_size=3).map("".join)
keys = st.sampled_from(["name", "url", '"name"', "name.first", "other"])
values = st.one_of(texts.map('"{}"'.format), texts.map("'{}'".format), texts)
lines = st.one_of(
    st.sampled_from(["[[index]]", "[[ index ]]", "[index]", "", "# a comment"]),
    st.builds("{} = {}".format, keys, values),
    texts.map("#{}".format),
    texts,
)
files = st.builds(
    lambda first, rest, end: end.join([first, *rest, ""]),
    st.sampled_from(["[[index]]", ""]),
    st.lists(lines, max_size=4),
    st.sampled_from(["\n", "\r\n", "\r"]),
)


@given(files)
@example('[[index]]\nname = "acme"\r')
@example('[[index]]\nname = "a"\nname = "b"\n')
@example('[[index]]\nname = "a" = "b"\n')
@example('[[index]]\nname = "a\\u0062c"\n')
@example("[[index]]\nname = bare\n")
@example('[[index]]\nname = "\x7f"\n')
@example('name = "acme"\n[[index]]\n')
def test_a_plain_file_is_read_as_a_parser_of_toml_reads_it(text: str) -> None:
    plain = _config._parse_plain(text)
    if plain is not None:
        assert plain == tomllib.loads(text)
