"""A broker behind a company's own certificate authority, or behind its proxy: real processes, real TLS."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
import trustme

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import SignedIn
    from servers.raw import RawServer

BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")  # the first that is set decides
REFUSED = [b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"]


@pytest.fixture
def over_tls() -> bool:
    return True


@pytest.fixture
def authorities(signed_in: SignedIn) -> str:
    """The file with the authority of the broker's certificate."""
    return str(signed_in.broker.authorities)


@pytest.fixture
def strangers(tmp_path: Path) -> str:
    """The file of an authority that has nothing to do with the broker."""
    path = tmp_path / "strangers.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    return str(path)


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@pytest.mark.parametrize("variable", BUNDLES)
def test_a_private_authority_is_honoured(signed_in: SignedIn, authorities: str, variable: str) -> None:
    assert signed_in.opens(signed_in.machine.keyring(**{variable: authorities}).secret)


@pytest.mark.parametrize(
    ("first", "second"), [BUNDLES[:2], BUNDLES[1:]], ids=["requests-before-curl", "curl-before-openssl"]
)
def test_the_first_variable_decides(
    signed_in: SignedIn, authorities: str, strangers: str, first: str, second: str
) -> None:
    signed_in.machine.keyring(**{first: strangers, second: authorities}).assert_explained("is not trusted")
    for failure in signed_in.machine.credentials.glob("*.failure"):
        failure.unlink()
    assert signed_in.machine.keyring(**{first: authorities, second: strangers}).secret


def test_an_empty_variable_counts_as_not_set(signed_in: SignedIn, authorities: str) -> None:
    done = signed_in.machine.keyring(REQUESTS_CA_BUNDLE="", CURL_CA_BUNDLE="", SSL_CERT_FILE=authorities)
    assert signed_in.opens(done.secret)


def test_a_certificate_that_nobody_vouches_for_is_refused_with_the_way_out(signed_in: SignedIn) -> None:
    done = signed_in.machine.keyring()
    done.assert_explained("the certificate of", "is not trusted", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
    assert signed_in.mints == 0


@pytest.mark.parametrize("variable", BUNDLES)
def test_authorities_that_are_missing_are_named_as_the_cause(signed_in: SignedIn, variable: str) -> None:
    done = signed_in.machine.keyring(**{variable: "/nonexistent/authorities.pem"})
    done.assert_explained("there is no file of certificate authorities", variable)


@pytest.mark.parametrize("variable", BUNDLES)
def test_authorities_that_are_no_certificates_are_refused(signed_in: SignedIn, tmp_path: Path, variable: str) -> None:
    (tmp_path / "authorities.pem").write_bytes(b"garbage")
    done = signed_in.machine.keyring(**{variable: str(tmp_path / "authorities.pem")})
    done.assert_explained("is not trusted", "REQUESTS_CA_BUNDLE or SSL_CERT_FILE")


def test_the_broker_is_asked_through_the_proxy_only(signed_in: SignedIn, authorities: str, proxy: RawServer) -> None:
    done = signed_in.machine.keyring(HTTPS_PROXY=proxy.url, SSL_CERT_FILE=authorities)
    assert signed_in.opens(done.secret)
    netloc = signed_in.broker.url.removeprefix("https://")
    assert {tuple(line.split()[:2]) for line in proxy.asked} == {("CONNECT", netloc)}


@pytest.mark.parametrize(
    "proxy_url",
    [
        pytest.param("http://127.0.0.1:{closed}", id="down"),
        pytest.param("http://a..b:3128", id="no-host-name"),
        pytest.param("socks4711://127.0.0.1:{closed}", id="another-scheme"),
        pytest.param("http://", id="no-host"),
    ],
)
def test_a_proxy_that_does_not_work_is_named_as_the_cause(
    signed_in: SignedIn, authorities: str, proxy_url: str
) -> None:
    done = signed_in.machine.keyring(HTTPS_PROXY=proxy_url.format(closed=closed_port()), SSL_CERT_FILE=authorities)
    done.assert_explained("the proxy does not let us reach", "HTTPS_PROXY")


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(REFUSED, id="407"),
        pytest.param([b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"], id="403"),
    ],
)
def test_a_proxy_that_refuses_is_named_as_the_cause(
    signed_in: SignedIn, authorities: str, proxy: RawServer, pieces: list[bytes]
) -> None:
    proxy.pieces = pieces
    done = signed_in.machine.keyring(HTTPS_PROXY=proxy.url, SSL_CERT_FILE=authorities)
    done.assert_explained("the proxy does not let us reach", "HTTPS_PROXY")
    assert proxy.asked


def test_the_password_of_a_proxy_is_in_no_word_of_ours(signed_in: SignedIn, authorities: str, proxy: RawServer) -> None:
    proxy.pieces = REFUSED
    done = signed_in.machine.keyring(HTTPS_PROXY=f"http://alice:canary-9c1e@{proxy.netloc}", SSL_CERT_FILE=authorities)
    assert done.code == 1
    kept = "".join(path.read_text() for path in signed_in.machine.credentials.iterdir())
    assert "canary-9c1e" not in done.out + done.err + kept


def test_what_no_proxy_names_is_asked_directly(signed_in: SignedIn, authorities: str, proxy: RawServer) -> None:
    done = signed_in.machine.keyring(HTTPS_PROXY=proxy.url, NO_PROXY="127.0.0.1", SSL_CERT_FILE=authorities)
    assert signed_in.opens(done.secret)
    assert proxy.asked == []
