"""What is true of every URL: hostile text never does more than raise, and two parsers never disagree."""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from urllib.parse import unquote

import requests
from hypothesis import assume, example, given
from hypothesis import strategies as st
from urllib3.util import parse_url

from indexpass._url import MAX_URL_LENGTH, IndexUrl, parse_netloc, redacted
from indexpass.errors import UrlError

DEFAULT_PORTS = {"https": 443, "http": 80}

KNOWN_HOSTS = [
    "packages.acme.example",
    "PACKAGES.acme.example.",
    "localhost",
    "127.0.0.1",
    "[::1]",
    "[2001:DB8::0:1]",
    "xn--fa-hia.de",
    "faß.de",
    "bücher\uff0eexample",
    "pack\u00adages.acme.example",
    "a_b.example",
]
# Mostly accepted, in every spelling that is: what the claims about accepted URLs are tried on.
hosts = st.one_of(st.sampled_from(KNOWN_HOSTS), st.text("abzAZ019.-_éßａ\u3002", min_size=1, max_size=12))
userinfos = st.sampled_from(["", "", "user@", "user:pass@", "packages.acme.example:443@", "a@b@", ":@", "@"])
ports = st.sampled_from(["", "", ":", ":443", ":80", ":8443", ":0443", ":65535"])
segments = st.text("ab.;:@+~!$&'()*,=-_é\u2028☃", min_size=1, max_size=6) | st.sampled_from(
    ["simple", "%20", "a%2eb", "%c3%a9", "%3b", "%3F", "%25", "%7E", "...", "..a"]
)
tails = st.sampled_from(["", "", "/", "/?", "?token=a/b@c", "#", "#@evil.test/", "/?a#b"])
plausible = st.builds(
    lambda scheme, userinfo, host, port, path, tail: f"{scheme}{userinfo}{host}{port}{path}{tail}",
    st.sampled_from(["https://", "https://", "HTTPS://", "http://"]),
    userinfos,
    hosts,
    ports,
    st.lists(segments, max_size=4).map(lambda parts: "".join(f"/{part}" for part in parts)),
    tails,
)
# Mostly refused: what the claims about any text are tried on.
characters = st.sampled_from(
    [
        *"ab.;:@/\\\t\n\x00\x7f[]%\u00e9\udcff\uff1f\uff0f\uff20\uff1a",
        "%20",
        "%2e",
        "%2F",
        "%252e",
        "%00",
        "..",
        "://",
    ]
)
hostile = st.one_of(
    st.lists(st.one_of(characters, hosts, userinfos, ports, segments, tails), max_size=8).map("".join),
    st.lists(st.one_of(characters, hosts, userinfos, ports, segments, tails), max_size=8).map(
        lambda parts: "https://" + "".join(parts)
    ),
    st.text().map("https://{}".format),
    st.text(),
)
urls = plausible | hostile
# Few hosts and segments, so that pairs and chains of related URLs are common.
related = st.builds(
    lambda host, segments: IndexUrl.parse(f"https://{host}/{'/'.join(segments)}"),
    st.sampled_from(["a.example", "a.example:8443"]),
    st.lists(st.sampled_from(["simple", "é"]), max_size=3),
)


def _accepted(text: str) -> IndexUrl:
    try:
        return IndexUrl.parse(text)
    except UrlError:
        assume(False)  # noqa: FBT003  # hypothesis's own way to discard an example
        raise


@given(text=urls)
def test_parse_raises_nothing_but_a_url_error(text: str) -> None:
    with suppress(UrlError):
        IndexUrl.parse(text)


@given(text=st.one_of(hosts, hostile), scheme=st.sampled_from(["https", "http"]))
def test_parse_netloc_raises_nothing_but_a_url_error(text: str, scheme: str) -> None:
    with suppress(UrlError):
        parse_netloc(text, scheme)


@given(text=plausible)
@example(text="https://a.example/" + "é" * 1000)
@example(text="https://a.example/" + "&" * 1000)
@example(text="https://a.example/\udcff")
@example(text="https://a.example//")
def test_the_one_form_is_read_as_the_same_url(text: str) -> None:
    url = _accepted(text)
    assert IndexUrl.parse(str(url)) == url


@given(text=plausible)
def test_the_one_form_is_plain_and_short(text: str) -> None:
    form = str(_accepted(text))
    assert form.isascii()
    assert form.isprintable()
    assert form.endswith("/")
    assert len(form) <= MAX_URL_LENGTH
    assert not set(form) & set(' ?#@"<>\\^`{|}') - {"@"}


@given(text=plausible)
@example(text="https://evil.test#@packages.acme.example/")
@example(text="https://packages.acme.example@evil.test/")
@example(text="https://faß.de/")
def test_requests_connects_to_the_host_that_was_compared(text: str) -> None:
    url = _accepted(text)
    try:
        prepared = requests.Request("GET", text).prepare().url
    except requests.RequestException:
        return  # a URL that requests will not fetch leads nowhere
    sent = parse_url(prepared or "")
    host = (sent.host or "").strip("[]").removesuffix(".")
    if ":" in host:
        host = ipaddress.IPv6Address(host).compressed
    port = sent.port or DEFAULT_PORTS[sent.scheme or ""]
    assert (sent.scheme, host, port) == (url.origin.scheme, url.origin.host, url.origin.port)


@given(text=plausible)
@example(text="https://a.example/a%20b/%C3%A9;x")
def test_requests_asks_for_the_path_that_was_compared(text: str) -> None:
    url = _accepted(text)
    try:
        prepared = requests.Request("GET", text).prepare().url
    except requests.RequestException:
        return
    path = (parse_url(prepared or "").path or "").strip("/")
    assert tuple(unquote(segment) for segment in path.split("/") if segment) == url.segments


@given(text=plausible)
def test_a_bare_host_names_the_origin_of_its_url(text: str) -> None:
    origin = _accepted(text).origin
    assert parse_netloc(origin.netloc, origin.scheme) == origin


@given(text=plausible)
def test_http_is_accepted_on_loopback_only(text: str) -> None:
    origin = _accepted(text).origin
    assert origin.scheme == "https" or origin.is_loopback


@given(text=plausible)
def test_no_segment_can_leave_its_folder(text: str) -> None:
    for segment in _accepted(text).segments:
        assert segment
        assert segment.partition(";")[0] not in {".", ".."}
        assert not set(segment) & set("/\\\0\r\n\t")


@given(url=related)
def test_a_url_covers_itself(url: IndexUrl) -> None:
    assert url.covers(url)


@given(one=related, other=related)
def test_two_urls_that_cover_each_other_are_the_same(one: IndexUrl, other: IndexUrl) -> None:
    assert (one.covers(other) and other.covers(one)) == (one == other)


@given(top=related, middle=related, bottom=related)
def test_covering_is_transitive(top: IndexUrl, middle: IndexUrl, bottom: IndexUrl) -> None:
    assert top.covers(bottom) or not (top.covers(middle) and middle.covers(bottom))


@given(one=related, other=related)
def test_a_url_covers_nothing_on_another_origin(one: IndexUrl, other: IndexUrl) -> None:
    assert one.origin == other.origin or not one.covers(other)


@given(url=related)
def test_the_root_covers_the_url(url: IndexUrl) -> None:
    assert url.root.covers(url)


@given(url=related, name=st.text("abc-_.+~;=%20", min_size=1, max_size=8))
def test_a_url_covers_exactly_what_its_form_is_a_prefix_of(url: IndexUrl, name: str) -> None:
    below = _accepted(f"{url}{name}/")
    beside = _accepted(f"{str(url).removesuffix('/')}{name}/") if url.segments else None
    assert url.covers(below)
    assert beside is None or not url.covers(beside)


@given(
    user=st.text("abc%", max_size=5),
    password=st.text("XYZ0%!$&'()*+,;=:@[]{}|^", max_size=20).map("CANARY{}".format),
    host=st.sampled_from(["packages.acme.example", "[::1]", "localhost:8080", "faß.de"]),
    path=st.sampled_from(["", "/", "/simple/", "/a/b?c=d", "#e"]),
)
def test_a_redacted_url_never_shows_the_password(user: str, password: str, host: str, path: str) -> None:
    assert "CANARY" not in redacted(f"https://{user}:{password}@{host}{path}")


@given(
    user=st.text("abc", max_size=5),
    password=st.text("XYZ/?#@:[]\\ ", min_size=1, max_size=20).map("C4N{}4RY".format),
    host=st.sampled_from(["packages.acme.example", "[::1]", "localhost:8080"]),
)
def test_a_password_that_breaks_the_url_is_not_shown_either(user: str, password: str, host: str) -> None:
    shown = redacted(f"https://{user}:{password}@{host}/simple/")
    assert "C4N" not in shown
    assert "4RY" not in shown


@given(secret=st.text("XYZ0/@:%&=", min_size=4).map("CANARY{}".format), mark=st.sampled_from("?#"))
def test_a_redacted_url_never_shows_query_or_fragment(secret: str, mark: str) -> None:
    assert "CANARY" not in redacted(f"https://packages.acme.example/simple/{mark}{secret}")
    assert "CANARY" not in redacted(f"https://packages.acme.example{mark}{secret}")


@given(text=urls)
def test_redaction_is_done_once(text: str) -> None:
    assert redacted(redacted(text)) == redacted(text)


@given(text=urls)
def test_a_redacted_url_is_one_line(text: str) -> None:
    assert redacted(text).isprintable()


@given(text=plausible)
def test_an_accepted_url_is_redacted_to_the_same_place(text: str) -> None:
    assume(text.isprintable())
    url = _accepted(text)
    assume("@" not in text.partition("://")[2].partition("/")[2])
    assert IndexUrl.parse(redacted(text)) == url
