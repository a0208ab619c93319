"""Whatever stands on git's question, it becomes a URL on the host that it names, or nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from indexpass._credential_helpers.git import parse, write
from indexpass._model import Credential
from indexpass._secret import Secret
from indexpass._url import IndexUrl, parse_netloc
from indexpass.errors import UrlError

KEYS = st.sampled_from(["protocol", "host", "path", "password", "capability[]", ""])
VALUES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["https", "http", "acme.example", "acme.example:444", "a@b", "a/../b", "%2e%2e"]),
)
LINES = st.lists(st.one_of(st.tuples(KEYS, VALUES).map("=".join), st.text(max_size=20)), max_size=8)


@given(LINES.map("\n".join))
def test_a_question_becomes_a_url_on_its_own_host_or_nothing(text: str) -> None:
    question = parse(text)
    if question is None:
        return
    hosts = [line.removeprefix("host=") for line in text.split("\n") if line.startswith("host=")]
    try:
        url = IndexUrl.parse(question.url)
    except UrlError:
        return
    assert any(url.origin == parse_netloc(host, url.origin.scheme) for host in hosts if host.isprintable())


@given(username=st.text(max_size=20), secret=st.text(max_size=40))
def test_an_answer_says_nothing_but_user_name_and_password(username: str, secret: str) -> None:
    lines = write(Credential(username, Secret(secret), 0.0, None)).splitlines()
    assert lines in ([], [f"username={username}", f"password={secret}"])
