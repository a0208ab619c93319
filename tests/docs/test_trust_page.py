"""The page on CI systems agrees with the code: its blocks are good settings, its table is the presets'."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from indexpass.broker.review import find_doubts
from indexpass.broker.settings.file import parse
from indexpass.broker.trust.presets import PRESETS

TEXT = (Path(__file__).resolve().parents[2] / "plugin-docs/how-to/ci-and-workloads.md").read_text(encoding="utf-8")
BLOCKS: list[str] = re.findall(r"^```toml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
HEAD = """
issuer = "https://tokens.acme.example"
[[index]]
name = "acme"
url = "https://packages.acme.example/simple/"
"""
SERVES = {"once": "once", "until-exp": "until it expires"}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: str(re.findall(r'preset = "([a-z-]+)"', block)[0]))
def test_each_block_is_good_settings_as_it_stands(block: str) -> None:
    settings = parse(HEAD + block, file=Path("broker.toml"))
    assert list(find_doubts(settings)) == []


def test_there_is_a_block_for_each_preset_in_the_order_of_the_table() -> None:
    assert re.findall(r'preset = "([a-z-]+)"', "".join(BLOCKS)) == list(PRESETS)


def test_the_table_says_what_the_presets_say() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (.+?) \| (.+?) \| (.+?) \|$", TEXT, re.MULTILINE)
    assert [(name, re.findall(r"`([^`]+)`", ids), serves) for name, ids, serves, _ in rows] == [
        (name, list(preset.ids), SERVES[preset.replay]) for name, preset in PRESETS.items()
    ]
