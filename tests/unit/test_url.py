"""IndexUrl: the one form of a URL, and what it covers."""

from __future__ import annotations

import traceback

import pytest

from indexpass._url import MAX_URL_LENGTH, IndexUrl, Origin, parse_netloc, redacted
from indexpass.errors import UrlError


@pytest.mark.parametrize(
    ("text", "form"),
    [
        pytest.param("https://a.example", "https://a.example/", id="no-path"),
        pytest.param("https://a.example/", "https://a.example/", id="root"),
        pytest.param("https://a.example/simple", "https://a.example/simple/", id="no-trailing-slash"),
        pytest.param("https://a.example/simple/", "https://a.example/simple/", id="trailing-slash"),
        pytest.param("HTTPS://A.Example/Simple/", "https://a.example/Simple/", id="upper-case-but-for-the-path"),
        pytest.param("https://a.example./simple/", "https://a.example/simple/", id="trailing-dot"),
        pytest.param("https://a.example:443/", "https://a.example/", id="default-port"),
        pytest.param("https://a.example:0443/", "https://a.example/", id="default-port-with-a-zero"),
        pytest.param("https://a.example:/", "https://a.example/", id="empty-port"),
        pytest.param("https://a.example:8443/", "https://a.example:8443/", id="other-port"),
        pytest.param("https://user:pass@a.example/simple/", "https://a.example/simple/", id="userinfo"),
        pytest.param("https://__token__@a.example/simple/", "https://a.example/simple/", id="user-name"),
        pytest.param("https://a@b:c@d@a.example/", "https://a.example/", id="at-signs-in-the-userinfo"),
        pytest.param("https://a.example/simple/?token=x", "https://a.example/simple/", id="query"),
        pytest.param("https://a.example/simple/#sha256=x", "https://a.example/simple/", id="fragment"),
        pytest.param("https://a.example/s%69mple/", "https://a.example/simple/", id="needless-escape"),
        pytest.param("https://a.example/a%20b/", "https://a.example/a%20b/", id="escaped-space"),
        pytest.param("https://a.example/a;b/", "https://a.example/a%3Bb/", id="path-parameter"),
        pytest.param("https://a.example/root/pypi/+simple/", "https://a.example/root/pypi/+simple/", id="devpi"),
        pytest.param("https://a.example/é/", "https://a.example/%C3%A9/", id="non-ascii-path"),
        pytest.param("https://faß.example/", "https://xn--fa-hia.example/", id="idna-2008"),
        pytest.param("https://XN--FA-HIA.example/", "https://xn--fa-hia.example/", id="punycode"),
        pytest.param("https://BÜCHER.example/", "https://xn--bcher-kva.example/", id="upper-case-idna"),
        pytest.param("https://a_b.example/", "https://a_b.example/", id="underscore"),
        pytest.param("https://10.0.0.7:8443/", "https://10.0.0.7:8443/", id="ipv4"),
        pytest.param("https://[2001:DB8:0::1]/", "https://[2001:db8::1]/", id="ipv6"),
        pytest.param("https://[::1]:8443/", "https://[::1]:8443/", id="ipv6-with-a-port"),
        pytest.param("http://localhost:8080/simple/", "http://localhost:8080/simple/", id="http-on-localhost"),
        pytest.param("http://127.8.9.10/", "http://127.8.9.10/", id="http-on-loopback"),
        pytest.param("http://[::1]:80/", "http://[::1]/", id="http-on-ipv6-loopback"),
    ],
)
def test_a_url_has_one_form(text: str, form: str) -> None:
    assert str(IndexUrl.parse(text)) == form


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("a.example/simple", id="no-scheme"),
        pytest.param("//a.example/simple", id="scheme-relative"),
        pytest.param("ftp://a.example/", id="ftp"),
        pytest.param("file:///etc/passwd", id="file"),
        pytest.param("git+https://a.example/", id="git"),
        pytest.param("https:a.example", id="no-slashes"),
        pytest.param("https:/a.example", id="one-slash"),
        pytest.param("https:///a.example", id="three-slashes"),
        pytest.param("https://", id="no-host"),
        pytest.param("https://:443/", id="port-only"),
        pytest.param("https://user@/", id="userinfo-only"),
        pytest.param("http://a.example/", id="http"),
        pytest.param("http://localhost.example/", id="http-beside-localhost"),
        pytest.param("http://127.0.0.1.example/", id="http-beside-loopback"),
        pytest.param("http://10.0.0.7/", id="http-on-a-private-network"),
        pytest.param("http://0.0.0.0/", id="http-on-the-unspecified-address"),
        pytest.param("https://a.example:0/", id="port-zero"),
        pytest.param("https://a.example:65536/", id="port-too-large"),
        pytest.param("https://a.example:-1/", id="negative-port"),
        pytest.param("https://a.example:443:443/", id="two-ports"),
        pytest.param("https://a.example:٤٤٣/", id="port-in-other-digits"),
        pytest.param("https://a.example:4_43/", id="port-with-an-underscore"),
        pytest.param("https://-a.example/", id="label-begins-with-a-hyphen"),
        pytest.param("https://a-.example/", id="label-ends-with-a-hyphen"),
        pytest.param("https://a..example/", id="empty-label"),
        pytest.param("https://.a.example/", id="leading-dot"),
        pytest.param("https://*.example/", id="wildcard"),
        pytest.param(f"https://{'a' * 64}.example/", id="label-too-long"),
        pytest.param(f"https://{'a.' * 127}example/", id="name-too-long"),
        pytest.param("https://[::1/", id="unclosed-bracket"),
        pytest.param("https://[::1]@a.example/", id="brackets-before-the-host"),
        pytest.param("https://[::1]x/", id="text-after-the-bracket"),
        pytest.param("https://[fe80::1%25eth0]/", id="zone"),
        pytest.param("https://[v1.a]/", id="future-ip"),
        pytest.param("https://[127.0.0.1]/", id="ipv4-in-brackets"),
        pytest.param("https://a.example//", id="empty-segment-at-the-root"),
        pytest.param("https://a.example//simple/", id="empty-first-segment"),
        pytest.param("https://a.example/simple//", id="empty-last-segment"),
        pytest.param("https://a.example/100%/", id="bad-escape"),
        pytest.param("https://a.example/%zz/", id="escape-without-digits"),
        pytest.param("https://a.example/\udcff/", id="surrogate"),
        pytest.param("https://a.example/" + "a" * MAX_URL_LENGTH, id="too-long"),
        pytest.param("https://a.example/" + "é" * 1000, id="too-long-once-escaped"),
    ],
)
def test_what_is_no_index_url_is_refused(text: str) -> None:
    with pytest.raises(UrlError):
        IndexUrl.parse(text)


def test_the_longest_url_is_accepted() -> None:
    text = "https://a.example/" + "a" * (MAX_URL_LENGTH - len("https://a.example//")) + "/"
    assert str(IndexUrl.parse(text)) == text


def test_a_long_query_is_too_long_as_well() -> None:
    with pytest.raises(UrlError, match="2048"):
        IndexUrl.parse("https://a.example/?" + "a" * MAX_URL_LENGTH)


def test_http_is_refused_with_a_hint() -> None:
    with pytest.raises(UrlError, match=r"a\.example is not encrypted") as caught:
        IndexUrl.parse("http://user:canary@a.example/")
    assert "use https" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("https://user:canary@exa℀mple.com/", id="normalisation"),
        pytest.param("https://user:[canary]@a.example/", id="brackets"),
        pytest.param("https://user:[canary@a.example/", id="bracket"),
        pytest.param("https://user:canary@a.example:x/", id="port"),
        pytest.param("http://user:canary@a.example/", id="http"),
        pytest.param("https://user:canary@-/", id="host"),
        pytest.param("https://user:can ary@a.example/", id="space"),
    ],
)
def test_neither_the_refusal_nor_its_cause_quotes_the_password(text: str) -> None:
    with pytest.raises(UrlError) as caught:
        IndexUrl.parse(text)
    assert "canary" not in "".join(traceback.format_exception(caught.value)) + caught.value.hint


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ("https://a.example/simple/", "https://a.example/"),
        ("https://a.example/acme/simple", "https://a.example/acme/"),
        ("https://a.example/root/pypi/+simple/", "https://a.example/root/pypi/"),
        ("https://a.example/acme/", "https://a.example/acme/"),
        ("https://a.example/simple/acme/", "https://a.example/simple/acme/"),
        ("https://a.example/not-simple/", "https://a.example/not-simple/"),
        ("https://a.example/", "https://a.example/"),
    ],
)
def test_an_index_owns_the_folder_of_its_simple_pages(text: str, root: str) -> None:
    assert IndexUrl.parse(text).root == IndexUrl.parse(root)


@pytest.mark.parametrize(
    ("above", "below"),
    [
        pytest.param("https://a.example/simple", "https://a.example/simple/", id="itself"),
        pytest.param("https://a.example/simple/", "https://a.example/simple/requests/", id="a-page-below"),
        pytest.param("https://a.example/", "https://a.example/simple/", id="root"),
        pytest.param("https://a.example/simple/", "https://user:pw@A.example.:443/simple/?a=b#c", id="other-spelling"),
    ],
)
def test_a_url_covers_what_is_at_or_below_it(above: str, below: str) -> None:
    assert IndexUrl.parse(above).covers(IndexUrl.parse(below))


@pytest.mark.parametrize(
    ("scheme", "host", "is_loopback"),
    [
        ("http", "localhost", True),
        ("http", "127.0.0.1", True),
        ("http", "127.255.0.9", True),
        ("http", "::1", True),
        ("https", "::1", True),
        ("https", "128.0.0.1", False),
        ("https", "::2", False),
        ("https", "localhost.example", False),
        ("https", "a.example", False),
    ],
)
def test_loopback_is_the_machine_itself_and_nothing_else(scheme: str, host: str, *, is_loopback: bool) -> None:
    assert Origin(scheme, host, 8080).is_loopback is is_loopback


@pytest.mark.parametrize(
    ("origin", "text"),
    [
        (Origin("https", "a.example", 443), "https://a.example"),
        (Origin("https", "a.example", 80), "https://a.example:80"),
        (Origin("http", "localhost", 80), "http://localhost"),
        (Origin("http", "localhost", 443), "http://localhost:443"),
        (Origin("https", "2001:db8::1", 443), "https://[2001:db8::1]"),
        (Origin("https", "2001:db8::1", 8443), "https://[2001:db8::1]:8443"),
    ],
)
def test_an_origin_is_written_without_its_default_port(origin: Origin, text: str) -> None:
    assert str(origin) == text


@pytest.mark.parametrize(
    ("text", "scheme", "origin"),
    [
        ("a.example", "https", Origin("https", "a.example", 443)),
        ("A.Example.", "https", Origin("https", "a.example", 443)),
        ("a.example:8443", "https", Origin("https", "a.example", 8443)),
        ("localhost", "http", Origin("http", "localhost", 80)),
        ("[::1]:8080", "http", Origin("http", "::1", 8080)),
        ("faß.example", "https", Origin("https", "xn--fa-hia.example", 443)),
    ],
)
def test_a_bare_host_names_an_origin(text: str, scheme: str, origin: Origin) -> None:
    assert parse_netloc(text, scheme) == origin


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("a.example/", id="slash"),
        pytest.param("https://a.example", id="url"),
        pytest.param("user@a.example", id="userinfo"),
        pytest.param("a.example?x", id="query"),
        pytest.param("a.example#x", id="fragment"),
        pytest.param("a.example\n", id="newline"),
        pytest.param("a example", id="space"),
        pytest.param("a.example:x", id="port-that-is-no-number"),
        pytest.param("a.example\uff1a8443", id="full-width-colon"),
        pytest.param("a.example\uff0fx", id="full-width-slash"),
        pytest.param("poetry repository", id="name"),
        pytest.param("a" * (MAX_URL_LENGTH + 1), id="too-long"),
    ],
)
def test_what_is_no_bare_host_is_refused(text: str) -> None:
    with pytest.raises(UrlError):
        parse_netloc(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("https://a.example/simple/", "https://a.example/simple/", id="nothing-to-hide"),
        pytest.param("https://user:canary@a.example/simple/", "https://****@a.example/simple/", id="userinfo"),
        pytest.param("https://canary@a.example/", "https://****@a.example/", id="user-name"),
        pytest.param("https://can@ary@a.example/", "https://****@a.example/", id="at-in-the-password"),
        pytest.param("https://:canary@a.example:8443", "https://****@a.example:8443", id="port"),
        pytest.param("https://canary@[::1]:8443/x", "https://****@[::1]:8443/x", id="ipv6"),
        pytest.param("https://a.example/simple/?token=canary", "https://a.example/simple/?****", id="query"),
        pytest.param("https://a.example?token=canary", "https://a.example?****", id="query-without-path"),
        pytest.param("https://a.example?canary=a/b@c", "https://a.example?****", id="slash-in-the-query"),
        pytest.param("https://a.example/simple/#canary", "https://a.example/simple/#****", id="fragment"),
        pytest.param("https://a.example#canary", "https://a.example#****", id="fragment-without-path"),
        pytest.param("https://user:canary/x@a.example/", "https://****", id="slash-in-the-password"),
        pytest.param("https://user:canary?x@a.example/", "https://****", id="question-mark-in-the-password"),
        pytest.param("https://user:canary#x@a.example/", "https://****", id="hash-in-the-password"),
        pytest.param("https:///user:canary@a.example/", "https://****", id="three-slashes"),
        pytest.param(
            "https://a.example/?u=https://user:canary@b.example", "https://a.example/?****", id="url-in-query"
        ),
        pytest.param("canary@a.example/?u=https://b.example", "a.example/", id="url-in-the-query-of-no-url"),
        pytest.param("user:canary@a.example/simple/?x", "a.example/simple/", id="no-scheme"),
        pytest.param("https:/user:canary@a.example/", "a.example/", id="one-slash"),
        pytest.param("git+https://canary@a.example/r@v1", "git+https://****", id="at-in-the-path"),
        pytest.param("https://canary/x@a.example/", "https://****", id="slash-in-the-user-name"),
        pytest.param("https://a:can@ary/x@a.example/", "https://****", id="at-and-slash-in-the-password"),
        pytest.param("git+https://canary@a.example/r", "git+https://****@a.example/r", id="other-scheme"),
        pytest.param("a.example", "a.example", id="bare-host"),
        pytest.param("https://a.example/\x1b[2J\n", "https://a.example/\ufffd[2J\ufffd", id="control-characters"),
    ],
)
def test_a_redacted_url_hides_what_may_be_secret(text: str, shown: str) -> None:
    assert redacted(text) == shown
