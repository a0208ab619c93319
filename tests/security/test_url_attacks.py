"""URLs that an attacker would write to be given the credential of https://packages.acme.example/team/simple/.

Each attack is either refused or read as another place; none is covered by the index. The hosts of the platforms are
those at which real tools were seen to be wrong: suffixes without a dot, prefixes, substrings, unanchored patterns.
"""

from __future__ import annotations

import pytest

from indexpass._url import IndexUrl, parse_netloc
from indexpass.errors import UrlError

INDEX = "https://packages.acme.example/team/simple/"

OTHER_HOSTS = {
    "prefix-of-the-host": "https://packages.acme.example.evil.test/team/simple/",
    "suffix-of-the-host": "https://evilpackages.acme.example/team/simple/",
    "subdomain": "https://x.packages.acme.example/team/simple/",
    "parent-domain": "https://acme.example/team/simple/",
    "missing-dot": "https://packagesacme.example/team/simple/",
    "hyphen-for-a-dot": "https://packages-acme.example/team/simple/",
    "any-character-for-a-dot": "https://packagesXacme.example/team/simple/",
    "zero-for-o": "https://packages.acme.examp1e/team/simple/",
    "cyrillic-a": "https://p\u0430ckages.acme.example/team/simple/",
    "punycode-of-the-cyrillic-a": "https://xn--pckages-4fg.acme.example/team/simple/",
    "accent": "https://páckages.acme.example/team/simple/",
    "other-port": "https://packages.acme.example:8443/team/simple/",
    "port-of-http": "https://packages.acme.example:80/team/simple/",
    "http": "http://packages.acme.example/team/simple/",
    "http-on-the-https-port": "http://packages.acme.example:443/team/simple/",
    "ftp": "ftp://packages.acme.example/team/simple/",
    "userinfo-is-the-host": "https://packages.acme.example@evil.test/team/simple/",
    "userinfo-is-host-and-port": "https://packages.acme.example:443@evil.test/team/simple/",
    "two-at-signs": "https://a@packages.acme.example@evil.test/team/simple/",
    "escaped-at-sign": "https://packages.acme.example%40evil.test/team/simple/",
    "host-in-the-fragment": "https://evil.test#@packages.acme.example/team/simple/",
    "host-in-the-query": "https://evil.test?@packages.acme.example/team/simple/",
    "host-in-the-path": "https://evil.test/packages.acme.example/team/simple/",
    "host-after-a-backslash": "https://evil.test\\@packages.acme.example/team/simple/",
    "backslash-before-the-path": "https://packages.acme.example\\.evil.test/team/simple/",
    "host-after-a-semicolon": "https://evil.test;packages.acme.example/team/simple/",
    "escaped-letter": "https://p%61ckages.acme.example/team/simple/",
    "escaped-dot": "https://packages%2eacme.example/team/simple/",
    "escaped-slash-in-the-host": "https://evil.test%2f.packages.acme.example/team/simple/",
    "escaped-null-in-the-host": "https://packages.acme.example%00.evil.test/team/simple/",
    "null-in-the-host": "https://packages.acme.example\x00.evil.test/team/simple/",
    "tab-in-the-host": "https://packages.acme\t.example/team/simple/",
    "newline-in-the-host": "https://packages.acme\n.example/team/simple/",
    "carriage-return-in-the-scheme": "ht\rtps://packages.acme.example/team/simple/",
    "leading-space": " https://packages.acme.example/team/simple/",
    "trailing-newline": "https://packages.acme.example/team/simple/\n",
    "header-in-the-path": "https://packages.acme.example/team/simple/ HTTP/1.1\r\nX: y",
    "no-break-space": "https://packages.acme.example\u00a0/team/simple/",
    "two-trailing-dots": "https://packages.acme.example../team/simple/",
    "full-width-slash": "https://evil.test\uff0f.packages.acme.example/team/simple/",
    "full-width-at-sign": "https://evil.test\uff20packages.acme.example/team/simple/",
    "full-width-hash": "https://evil.test\uff03packages.acme.example/team/simple/",
    "full-width-question-mark": "https://evil.test\uff1fpackages.acme.example/team/simple/",
    "sign-that-normalises-to-a-slash": "https://evil.test℀.packages.acme.example/team/simple/",
    "square-bracket-host": "https://[packages.acme.example]/team/simple/",
    "empty-host": "https:///packages.acme.example/team/simple/",
    "scheme-relative": "//packages.acme.example/team/simple/",
    "scheme-in-the-scheme": "https:https://packages.acme.example/team/simple/",
    "git-scheme": "git+https://packages.acme.example/team/simple/",
}

OTHER_PATHS = {
    "parent": "https://packages.acme.example/team/",
    "root": "https://packages.acme.example/",
    "sibling": "https://packages.acme.example/team/private/",
    "sibling-with-our-name-before-it": "https://packages.acme.example/team/simple-private/",
    "sibling-with-a-dot": "https://packages.acme.example/team/simple.private/",
    "sibling-with-a-semicolon": "https://packages.acme.example/team/simple;private/",
    "sibling-team": "https://packages.acme.example/other/simple/",
    "team-with-our-name-before-it": "https://packages.acme.example/team2/simple/",
    "upper-case-path": "https://packages.acme.example/Team/Simple/",
    "full-width-letters-in-the-path": "https://packages.acme.example/team/\uff53imple/",
    "dot-segments": "https://packages.acme.example/team/simple/../private/",
    "dot-segments-at-the-end": "https://packages.acme.example/team/simple/..",
    "single-dot": "https://packages.acme.example/team/./simple/",
    "escaped-dots": "https://packages.acme.example/team/simple/%2e%2e/private/",
    "escaped-dots-in-upper-case": "https://packages.acme.example/team/simple/%2E%2E/private/",
    "one-dot-escaped": "https://packages.acme.example/team/simple/.%2e/private/",
    "dots-escaped-twice": "https://packages.acme.example/team/simple/%252e%252e/private/",
    "dots-escaped-twice-in-upper-case": "https://packages.acme.example/team/simple/%252E%252E/private/",
    "dots-escaped-three-times": "https://packages.acme.example/team/simple/%25252e%25252e/private/",
    "escape-made-of-escapes": "https://packages.acme.example/team/simple/%25%32%65%25%32%65/private/",
    "escaped-slash": "https://packages.acme.example/team/simple/..%2fprivate/",
    "escaped-slash-in-a-name": "https://packages.acme.example/team/simple/a%2Fb/",
    "escaped-slash-between-our-segments": "https://packages.acme.example/team%2fsimple/",
    "slash-escaped-twice": "https://packages.acme.example/team/simple/..%252fprivate/",
    "slash-escaped-twice-in-upper-case": "https://packages.acme.example/team/simple/..%252Fprivate/",
    "backslash": "https://packages.acme.example/team/simple/..\\private/",
    "escaped-backslash": "https://packages.acme.example/team/simple/..%5cprivate/",
    "backslash-escaped-twice": "https://packages.acme.example/team/simple/..%255cprivate/",
    "dots-with-a-parameter": "https://packages.acme.example/team/simple/..;/private/",
    "dots-with-a-named-parameter": "https://packages.acme.example/team/simple/..;x=1/private/",
    "dots-with-an-escaped-parameter": "https://packages.acme.example/team/simple/..%3b/private/",
    "dot-with-a-parameter": "https://packages.acme.example/team/simple/.;/private/",
    "overlong-dots": "https://packages.acme.example/team/simple/%c0%ae%c0%ae/private/",
    "overlong-slash": "https://packages.acme.example/team/simple/..%c0%afprivate/",
    "null": "https://packages.acme.example/team/simple/%00/",
    "null-escaped-twice": "https://packages.acme.example/team/simple/%2500/",
    "newline": "https://packages.acme.example/team/simple/%0a/",
    "header": "https://packages.acme.example/team/simple/%0d%0aX:%20y/",
    "tab": "https://packages.acme.example/team/simple/\t../private/",
    "delete": "https://packages.acme.example/team/simple/%7f/",
    "empty-segment": "https://packages.acme.example/team//simple/",
    "empty-segment-first": "https://packages.acme.example//team/simple/",
    "bad-escape": "https://packages.acme.example/team/simple/%u002e/",
}

PLATFORM_HOSTS = {
    "azure-suffix-without-a-dot": ("https://pkgs.dev.azure.com/", "https://evilpkgs.dev.azure.com/"),
    "posit-prefix": ("https://ppm.example.com/", "https://ppm.example.com.evil.test/"),
    "azure-substring": ("https://pkgs.dev.azure.com/", "https://pkgs.dev.azure.com.evil.test/"),
    "aws-unanchored-tail": (
        "https://dom-123456789012.d.codeartifact.us-east-1.amazonaws.com/",
        "https://dom-123456789012.d.codeartifact.us-east-1.amazonaws.com.evil.test/",
    ),
}

ONE_HOST_MANY_SPELLINGS = {
    "upper-case": "HTTPS://PACKAGES.ACME.EXAMPLE/team/simple/",
    "trailing-dot": "https://packages.acme.example./team/simple/",
    "default-port": "https://packages.acme.example:443/team/simple/",
    "userinfo": "https://evil.test@packages.acme.example/team/simple/",
    "url-in-the-userinfo": "https://evil.test:443@packages.acme.example/team/simple/",
    "ideographic-full-stops": "https://packages\u3002acme\u3002example/team/simple/",
    "full-width-dots": "https://packages\uff0eacme\uff0eexample/team/simple/",
    "half-width-dots": "https://packages\uff61acme\uff61example/team/simple/",
    "full-width-letters": "https://\uff50ackages.acme.example/team/simple/",
    "soft-hyphen": "https://pack\u00adages.acme.example/team/simple/",
    "escaped-letter-in-the-path": "https://packages.acme.example/te%61m/simple/",
    "url-in-the-query": "https://packages.acme.example/team/simple/?next=https://evil.test/",
}


@pytest.mark.parametrize("attack", [*OTHER_HOSTS.values(), *OTHER_PATHS.values()], ids=[*OTHER_HOSTS, *OTHER_PATHS])
def test_an_index_never_covers_an_attack(attack: str) -> None:
    assert not _is_covered(INDEX, attack)


@pytest.mark.parametrize("attack", OTHER_HOSTS.values(), ids=OTHER_HOSTS.keys())
def test_no_attack_on_the_host_is_read_as_the_index_s_origin(attack: str) -> None:
    assert not _is_covered("https://packages.acme.example/", attack)


@pytest.mark.parametrize(("index", "attack"), PLATFORM_HOSTS.values(), ids=PLATFORM_HOSTS.keys())
def test_a_platform_never_covers_a_host_that_looks_like_it(index: str, attack: str) -> None:
    assert not _is_covered(index, attack)


@pytest.mark.parametrize("attack", PLATFORM_HOSTS.values(), ids=PLATFORM_HOSTS.keys())
def test_a_platform_s_bare_host_is_not_one_that_looks_like_it(attack: tuple[str, str]) -> None:
    right, wrong = (text.removeprefix("https://").removesuffix("/") for text in attack)
    assert parse_netloc(right) != parse_netloc(wrong)


@pytest.mark.parametrize("spelling", ONE_HOST_MANY_SPELLINGS.values(), ids=ONE_HOST_MANY_SPELLINGS.keys())
def test_a_spelling_that_every_client_takes_to_the_index_is_the_index(spelling: str) -> None:
    assert IndexUrl.parse(spelling) == IndexUrl.parse(INDEX)


def test_sharp_s_and_double_s_are_two_hosts() -> None:
    assert IndexUrl.parse("https://faß.de/").origin != IndexUrl.parse("https://fass.de/").origin


def test_sharp_s_is_encoded_as_requests_and_uv_encode_it() -> None:
    assert IndexUrl.parse("https://faß.de/").origin.host == "xn--fa-hia.de"


@pytest.mark.parametrize("text", ["xn--fa-hia.de", "XN--FA-HIA.DE", "faß.de", "FAẞ.de", "faß\uff0ede"])
def test_a_host_s_own_encoding_is_the_same_host(text: str) -> None:
    assert parse_netloc(text) == parse_netloc("faß.de")


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("2130706433", id="one-number"),
        pytest.param("127.1", id="two-parts"),
        pytest.param("0177.0.0.1", id="octal"),
        pytest.param("0x7f.0.0.1", id="hexadecimal"),
        pytest.param("0x7f000001", id="one-hexadecimal-number"),
        pytest.param("127.0.0.0x1", id="hexadecimal-at-the-end"),
        pytest.param("127.0.0.01", id="leading-zero"),
        pytest.param("127.0.0.1.1", id="five-parts"),
        pytest.param("127.0.0.256", id="part-too-large"),
        pytest.param("acme.0", id="name-that-ends-in-a-number"),
        pytest.param("\uff11\uff12\uff17.1", id="full-width-digits"),
    ],
)
def test_an_address_that_only_some_parsers_see_is_refused(host: str) -> None:
    with pytest.raises(UrlError):
        IndexUrl.parse(f"https://{host}/")


@pytest.mark.parametrize(
    "attack",
    [
        "http://localhost.evil.test/",
        "http://127.0.0.1.evil.test/",
        "http://localhost@evil.test/",
        "http://127.0.0.1@evil.test/",
        "http://[::1]@evil.test/",
        "http://evil.test#localhost",
        "http://xlocalhost/",
        "http://0.0.0.0/",
        "http://[::]/",
        "http://127.1/",
    ],
)
def test_http_is_not_accepted_because_a_host_looks_like_loopback(attack: str) -> None:
    with pytest.raises(UrlError):
        IndexUrl.parse(attack)


def _is_covered(index: str, attack: str) -> bool:
    try:
        return IndexUrl.parse(index).covers(IndexUrl.parse(attack))
    except UrlError:
        return False
