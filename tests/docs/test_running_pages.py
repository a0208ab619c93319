"""What the page on running the broker tells people to paste is accepted by whatever will read it."""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from indexpass._http import HttpClient
from indexpass.broker.commands.running import serve_command
from indexpass.broker.exposition import registry_of
from indexpass.broker.service import Broker
from indexpass.broker.settings import starter
from indexpass.broker.state.audit import Entry
from indexpass.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.programs import FindProgram

ROOT = Path(__file__).resolve().parents[2]
RUNNING = (ROOT / "plugin-docs/how-to/run-the-broker.md").read_text(encoding="utf-8")
METRICS = (ROOT / "plugin-docs/reference/metrics.md").read_text(encoding="utf-8")
_INSTRUCTION = re.compile(r"(?:FROM|RUN|USER|ENV|VOLUME|EXPOSE|STOPSIGNAL|HEALTHCHECK|ENTRYPOINT|CMD) \S.*")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", RUNNING, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "broker"
    Broker.create(made, starter.text("http://127.0.0.1:8765", "acme"))
    return made


@pytest.fixture
def broker(folder: Path) -> Iterator[Broker]:
    with closing(Broker.open(folder, http=HttpClient())) as opened:
        yield opened


def samples(broker: Broker) -> dict[str, set[str]]:
    """Return the names of all metrics of ours, as Prometheus has them, with the names of their labels."""
    broker.metrics.count_decision(Entry(0.0, "sign-in", "granted"))
    broker.metrics.checks["acme", 204] += 1
    broker.metrics.count_limited("refused-exchanges")
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(generate_latest(registry_of(broker)).decode()):
        for sample in family.samples:
            name = family.name if family.type == "histogram" else sample.name
            if name.startswith("indexpass_"):
                found.setdefault(name, set()).update(set(sample.labels) - {"le"})
    return found


def test_the_reference_lists_every_metric_with_its_labels(broker: Broker) -> None:
    rows = re.findall(r"^\| `(indexpass_\w+)` \| \w+ \| (.*?) ?\| ", METRICS, re.MULTILINE)
    listed = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    known = samples(broker)
    assert listed == {**known, "indexpass_issuer_key_failures_total": {"issuer"}}


def test_the_alerts_ask_for_metrics_that_there_are(broker: Broker) -> None:
    rules = [
        rule
        for document in blocks("yaml")
        for group in yaml.safe_load(document).get("groups", ())
        for rule in group["rules"]
    ]
    asked = {name for rule in rules for name in re.findall(r"indexpass_\w+", rule["expr"])}
    known = {*samples(broker), "indexpass_exchange_seconds_bucket", "indexpass_issuer_key_failures_total"}
    assert asked
    assert asked <= known
    assert all(rule["alert"].isidentifier() and rule["expr"].count("(") == rule["expr"].count(")") for rule in rules)


def test_systemd_accepts_the_unit(program: FindProgram, tmp_path: Path) -> None:
    executable = tmp_path / "indexpass"
    executable.write_text("#!/bin/sh\n")
    executable.chmod(0o755)
    unit = tmp_path / "indexpass.service"
    unit.write_text(blocks("ini")[0].replace("/opt/indexpass/bin/indexpass", str(executable)))
    argv: list[str | Path] = [program("systemd-analyze"), "verify", "--man=no", "--recursive-errors=no", unit]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def options_of(words: list[str]) -> set[str]:
    return {word for word in words if word.startswith("--")}


def test_the_unit_and_the_image_start_the_broker_with_options_that_it_has() -> None:
    known = {name for parameter in serve_command.params for name in parameter.opts}
    unit = re.findall(r"^ExecStart=(.*)$", blocks("ini")[0], re.MULTILINE)[0].split()
    command = json.loads(re.findall(r"^CMD (\[.*)$", blocks("dockerfile")[0], re.MULTILINE)[0])
    assert options_of(unit) | options_of(command) <= known
    assert options_of(unit)
    assert command[0] == "serve"


def test_the_container_file_has_known_instructions_no_root_and_no_shell_in_between() -> None:
    lines = blocks("dockerfile")[0].splitlines()
    words = [line.split(maxsplit=1) for line in lines]
    assert all(_INSTRUCTION.fullmatch(line) for line in lines)
    assert words[0][0] == "FROM"
    users = [word[1] for word in words if word[0] == "USER"]
    assert users
    assert "root" not in users[-1]
    for instruction in ("ENTRYPOINT", "CMD"):  # a shell would keep SIGTERM to itself
        assert all(isinstance(json.loads(word[1]), list) for word in words if word[0] == instruction)


def test_the_compose_file_is_one_and_offers_the_port_to_the_machine_itself_only() -> None:
    service = next(document for document in map(yaml.safe_load, blocks("yaml")) if "services" in document)["services"][
        "broker"
    ]
    assert service["ports"] == ["127.0.0.1:8443:8443"]
    assert service["read_only"] is True


def test_a_stolen_secret_is_replaced_as_the_page_says(folder: Path) -> None:
    assert "DELETE FROM signing_keys" in RUNNING
    assert "head -c 32 /dev/urandom > secret" in RUNNING
    claims = {"sub": "alice", "aud": "acme", "iat": 0, "exp": 1, "jti": "x", "scope": "pypi:read"}
    with closing(Broker.open(folder, http=HttpClient())) as before:
        token = before.keys.mint(claims)
        with before.store.writing() as connection:
            connection.exec_driver_sql("DELETE FROM signing_keys")
    (folder / "secret").write_bytes(b"x" * 32)
    with closing(Broker.open(folder, http=HttpClient())) as after:
        assert after.keys.decode(token) is None
        assert after.keys.decode(after.keys.mint(claims)) is not None


def test_a_secret_that_does_not_belong_to_the_database_is_named(folder: Path) -> None:
    (folder / "secret").write_bytes(b"x" * 32)
    with pytest.raises(StoreError, match="another secret"):
        Broker.open(folder, http=HttpClient())
