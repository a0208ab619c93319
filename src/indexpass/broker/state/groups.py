"""The groups of a person, as they stand in a column: the names as JSON, in order.

They are those that the company's provider named when the person signed in, and go with the sign-in, not with the
person. This module never says what a group may do.
"""

from __future__ import annotations

import json


def dump_groups(groups: frozenset[str]) -> str:
    """Return the text for the column."""
    return json.dumps(sorted(groups), separators=(",", ":"))


def load_groups(text: str) -> frozenset[str]:
    """Return the groups in a column."""
    return frozenset(json.loads(text))
