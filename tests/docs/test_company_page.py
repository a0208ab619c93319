"""What the page about the company's sign-in says to paste, and the reasons that it explains, are the code's own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from indexpass.broker.settings import file as settings_file

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "plugin-docs/how-to/company-sign-in.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
# Where a reason names a value, or one that was raised is quoted in another, the code has a name in braces.
VARIABLE = re.compile(r"…|200|access_denied|preferred_username|: (?=it is)| and no ")
BROKER = """
issuer = "https://tokens.acme.example"

[[index]]
name = "acme"
url = "https://packages.acme.example/simple/"
"""


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_each_block_is_accepted_as_it_stands(block: str) -> None:
    assert settings_file.parse(BROKER + block, file=ROOT / "broker.toml").company is not None


def test_each_reason_that_is_explained_is_one_that_the_code_gives() -> None:
    section = PAGE.partition("## When it does not work\n")[2]
    reasons = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
    sources = [ROOT / "src/indexpass/_http.py", *(ROOT / "src/indexpass/broker").rglob("*.py")]
    code = " ".join(source.read_text(encoding="utf-8") for source in sources)
    missing = [part for reason in reasons for part in VARIABLE.split(reason) if part.strip() not in code]
    assert reasons
    assert missing == []
