"""``broker snippet``: what is printed for which settings, and what is refused instead."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from indexpass import _cli
from indexpass.broker.settings.file import parse
from indexpass.broker.snippets import FORGOTTEN_HEADERS, PROXIES, Proxy, write_snippet
from indexpass.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PAGES = Path(__file__).resolve().parents[3] / "plugin-docs/how-to"
BROKER = 'issuer = "https://tokens.acme.example"\nlisten = "127.0.0.1:8443"\n'
ACME = """
[[index]]
name = "acme"
url = "https://packages.acme.example/acme/simple/"
upload-url = "https://packages.acme.example/acme/legacy/"
"""
RESEARCH = """
[[index]]
name = "research"
url = "https://packages.acme.example/research/simple/"
"""
OWN = """
[[index]]
name = "own"
url = "https://tokens.acme.example/simple/"
upload-url = "https://tokens.acme.example/legacy/"
"""


def printed(proxy: Proxy, settings: str, **options: object) -> str:
    return write_snippet(proxy, parse(settings, file=Path("broker.toml")), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("proxy", PROXIES)
def test_the_command_prints_what_the_settings_ask_for(tmp_path: Path, proxy: Proxy) -> None:
    (tmp_path / "broker.toml").write_text(BROKER + ACME)
    done = CliRunner().invoke(_cli.main, ["broker", "snippet", proxy, str(tmp_path)])
    assert (done.exit_code, done.stdout) == (0, printed(proxy, BROKER + ACME))


@pytest.mark.parametrize("proxy", PROXIES)
def test_what_is_printed_fits_a_page(proxy: Proxy) -> None:
    text = printed(proxy, BROKER + ACME + RESEARCH + OWN)
    assert max(map(len, text.splitlines())) <= 120
    assert text.endswith("\n")
    assert not re.search(r"\n{3}|[ \t]\n|\{%|\{\{", text)


@pytest.mark.parametrize("proxy", PROXIES)
def test_every_proxy_keeps_the_token_and_its_own_words_to_itself(proxy: Proxy) -> None:
    text = printed(proxy, BROKER + ACME)
    forms = {
        "nginx": 'proxy_set_header {} "";',
        "traefik": '{} = ""',
        "caddy": "request_header -{}",
        "apache": "RequestHeader unset {}\n",
    }
    for header in ("Authorization", *FORGOTTEN_HEADERS):
        assert forms[proxy].format(header) in text


@pytest.mark.parametrize("proxy", PROXIES)
def test_an_index_that_is_named_stands_alone(proxy: Proxy) -> None:
    text = printed(proxy, BROKER + ACME + RESEARCH, index_name="research", upstreams=["http://pypi.internal:9000"])
    assert "http://pypi.internal:9000" in text
    assert "/acme/" not in text


@pytest.mark.parametrize("proxy", PROXIES)
def test_indexes_that_nobody_places_are_on_the_next_ports(proxy: Proxy) -> None:
    text = printed(proxy, BROKER + ACME + RESEARCH, upstreams=["acme=http://127.0.0.1:9000"])
    assert "http://127.0.0.1:9000" in text
    assert "http://127.0.0.1:8082" in text


@pytest.mark.parametrize("proxy", PROXIES)
def test_the_built_in_index_is_guarded_by_the_broker_itself(proxy: Proxy) -> None:
    text = printed(proxy, BROKER + OWN)
    assert "/simple/" not in text
    assert "127.0.0.1:8443" in text


def test_uploads_to_the_built_in_index_may_be_large() -> None:
    text = printed("nginx", BROKER + OWN)
    assert "location = /legacy/ {\n        client_max_body_size 1g;" in text


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_broker_that_speaks_tls_is_asked_by_https_and_not_published_twice(proxy: Proxy) -> None:
    text = printed(proxy, BROKER + 'tls-certificate = "a"\ntls-key = "b"\n' + ACME)
    assert "8443" not in text
    assert "The broker: where" not in text
    assert "https://" in text


def test_nginx_verifies_a_broker_that_it_asks_by_https() -> None:
    text = printed("nginx", BROKER + ACME, broker_url="https://broker.internal:8443")
    assert text.count("proxy_ssl_verify on;") == text.count("proxy_ssl_name broker.internal;") == 2


def test_an_index_at_the_root_of_its_host_needs_no_other_answer() -> None:
    text = printed("nginx", BROKER + ACME.replace("/acme/", "/"))
    assert text.count("return 404;") == 1  # that of /check
    assert "location / {\n        auth_request /_check/acme;" in text


def test_files_that_stand_elsewhere_are_guarded_too() -> None:
    text = printed("nginx", BROKER + ACME + 'files-url = "https://packages.acme.example/files/"\n')
    assert "location /files/ {\n        auth_request /_check/acme;" in text


def test_traefik_s_configuration_is_toml() -> None:
    document = tomllib.loads(printed("traefik", BROKER + ACME + RESEARCH))
    assert set(document["http"]) == {"middlewares", "routers", "services"}


@pytest.mark.parametrize(
    ("settings", "options", "message"),
    [
        (ACME, {"index_name": "acne"}, 'there is no index "acne"'),
        (ACME + OWN, {"index_name": "own"}, "on the broker's own host"),
        (ACME + RESEARCH, {"upstreams": ["http://127.0.0.1:1"]}, "which index is at"),
        (ACME, {"upstreams": ["research=http://127.0.0.1:1"]}, 'no index "research"'),
        (OWN, {"upstreams": ["http://127.0.0.1:1"]}, "serves all of its indexes itself"),
        (ACME, {"upstreams": ["http://127.0.0.1:1/acme/"]}, "more or less than scheme, host and port"),
        (ACME, {"upstreams": ["http://127.0.0.1:1;evil"]}, "--upstream: "),
        (ACME, {"upstreams": ["http://127.0.0.1:1\nevil"]}, "--upstream: "),
        (ACME, {"broker_url": "http://broker.internal:8443"}, "not encrypted"),
        (ACME, {"broker_url": "https://broker.internal/x"}, "has no path"),
        (ACME.replace("/acme/simple", "/a{b/simple"), {}, "characters that proxies read differently"),
        (ACME.replace("/acme/simple", "/a%22b/simple"), {}, "characters that proxies read differently"),
        (ACME.replace("/acme/simple", "/a%24b/simple"), {}, "characters that proxies read differently"),
        (ACME.replace("packages.acme.example/acme/legacy", "upload.acme.example"), {}, "URLs on two hosts"),
        (ACME.replace("https://packages.acme.example", "http://127.0.0.1:1"), {}, "has an http url"),
    ],
    ids=[
        "unknown index",
        "own index",
        "whose upstream",
        "upstream of nobody",
        "upstream of the broker's own",
        "upstream with a path",
        "upstream with a semicolon",
        "upstream of two lines",
        "broker in the clear",
        "broker with a path",
        "brace",
        "quote",
        "dollar",
        "two hosts",
        "http index",
    ],
)
def test_what_cannot_be_guarded_is_said(settings: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as refused:
        printed("nginx", BROKER + settings, **options)
    assert refused.value.hint


def test_a_broker_that_listens_to_the_network_without_tls_is_refused() -> None:
    with pytest.raises(ConfigError, match="in the clear"):
        printed("nginx", BROKER.replace("127.0.0.1", "192.0.2.1") + ACME)


def test_a_broker_that_listens_everywhere_is_asked_on_loopback() -> None:
    assert "server 127.0.0.1:8443;" in printed("nginx", BROKER.replace("127.0.0.1", "0.0.0.0") + ACME)  # noqa: S104  # an address


def test_only_nginx_can_keep_answers() -> None:
    done = CliRunner().invoke(_cli.main, ["broker", "snippet", "caddy", "--cache"])
    assert done.exit_code == 2
    assert "--cache is for nginx only" in done.stderr


def test_the_key_of_a_kept_answer_holds_all_that_it_depends_on() -> None:
    text = printed("nginx", BROKER + ACME, has_cache=True)
    assert 'proxy_cache_key "$request_method $1 $request_uri $http_authorization";' in text
    assert "proxy_cache" not in printed("nginx", BROKER + ACME)


@pytest.mark.parametrize(
    ("page", "language", "proxy"),
    [
        ("nginx.md", "nginx", "nginx"),
        ("other-proxies.md", "caddy", "caddy"),
        ("other-proxies.md", "apache", "apache"),
        ("other-proxies.md", "toml", "traefik"),
    ],
    ids=["nginx", "caddy", "apache", "traefik"],
)
def test_the_pages_show_what_is_printed(page: str, language: str, proxy: Proxy) -> None:
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", (PAGES / page).read_text(), re.MULTILINE | re.DOTALL)
    [settings] = [text for kind, text in blocks if kind == "toml" and text.startswith("issuer")]
    [shown] = [text for kind, text in blocks if kind == language and text != settings]
    assert shown == printed(proxy, settings)
