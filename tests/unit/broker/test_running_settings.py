from __future__ import annotations

from pathlib import Path

import pytest

from indexpass.broker.settings import Rate, Running
from indexpass.broker.settings.file import parse
from indexpass.errors import ConfigError

ISSUER = 'issuer = "https://tokens.acme.example"\n'


def read(text: str) -> Running:
    return parse(ISSUER + text, file=Path("broker.toml")).running


def test_a_file_that_says_nothing_has_the_defaults() -> None:
    assert read("") == Running()


def test_nobody_s_fetches_are_counted_unless_the_file_says_so() -> None:
    assert not read("").has_usage
    assert read("usage = true").has_usage


def test_everything_can_be_said() -> None:
    text = """
        trusted-proxies = ["10.0.0.7", "10.1.0.0/16", "::1"]
        metrics-listen = "127.0.0.1:9464"
        audit-retention = "30d"
        usage = true
        [limits]
        refused-exchanges = "5 in 10s"
        wrong-passwords = "6 in 2h"
        connections = 7
    """
    assert read(text) == Running(
        trusted_proxies=("10.0.0.7", "10.1.0.0/16", "::1"),
        metrics_listen=("127.0.0.1", 9464),
        audit_seconds=30 * 24 * 3600,
        has_usage=True,
        refused_exchanges=Rate(5, 10),
        wrong_passwords=Rate(6, 7200),
        connections=7,
    )


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('trusted-proxies = ["proxy.acme.example"]', "not an address or a network"),
        ('trusted-proxies = ["*"]', "not an address or a network"),
        ('trusted-proxies = ["10.1.0.1/16"]', "not an address or a network"),
        ("trusted-proxies = []", "not a list of texts"),
        ('metrics-listen = "9464"', "an address and a port"),
        ('audit-retention = "400"', "a whole number and a unit"),
        ('usage = "yes"', "neither true nor false"),
        ("limits = 3", "not a table"),
        ("limits.connections = 0", "from 1 to 100000"),
        ("limits.connections = true", "from 1 to 100000"),
        ('limits.connections = "900"', "from 1 to 100000"),
        ('limits.refused-exchanges = "300"', "a number and a duration"),
        ('limits.refused-exchanges = "0 in 1m"', "a number and a duration"),
        ('limits.refused-exchanges = "5 in 1y"', "a whole number and a unit"),
        ('limits.refused = "5 in 1m"', "not known"),
    ],
)
def test_what_cannot_be_is_refused_with_the_key_and_what_to_write(line: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        read(line)
    assert line.partition(" ")[0].rpartition(".")[2] in str(caught.value)
    assert caught.value.hint
