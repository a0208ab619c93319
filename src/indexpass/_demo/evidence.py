"""What the run left behind, held against what should be true of it: tokens counted, secrets searched for."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from indexpass._demo.search import found_in, search_files, search_texts
from indexpass._demo.stage import StageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from indexpass._demo.stage import Stage
    from indexpass._demo.watch import Watch


def expect_minted(stage: Stage, *, index: str, operation: str, exactly: int, why: str) -> None:
    """Say how many tokens the broker minted for this operation. Raises StageError if not ``exactly`` so many."""
    minted = [entry for entry in _minted(stage) if entry["index"] == index and entry["operation"] == operation]
    if len(minted) != exactly:
        raise StageError(f"the broker minted {len(minted)} tokens to {operation} {index}, not {exactly}")
    stage.say(f"  The broker's audit: {exactly} token{'s' if exactly > 1 else ''} to {operation} {index}: {why}.")


def look_for_secrets(stage: Stage, watch: Watch) -> None:
    """Search all that the run left behind. Raises StageError if a secret is where it does not belong."""
    stage.title("Where are the secrets?")
    known = watch.secrets
    hashes = {str(entry["token_sha256"]) for entry in _minted(stage)}
    unknown = hashes - {hashlib.sha256(secret.reveal().encode()).hexdigest() for secret in known}
    if unknown:
        raise StageError(f"{len(unknown)} of {len(hashes)} tokens that the broker minted are not known to the search")
    private = [stage.home / "indexpass" / "credentials", stage.home / "indexpass" / "sessions"]
    belonging = sum(found_in(place, known) for place in private)
    if not belonging:
        raise StageError("the search does not even find the secrets where they are kept: it proves nothing")
    findings = {
        "files: settings, lock files, logs with every URL, HTTP caches, the broker's database": search_files(
            stage.folder, known, private=private
        ),
        "command lines": search_texts("command line", watch.command_lines, known),
        "environments of processes": search_texts("environment", watch.environments, known),
    }
    stage.say(f"  {len(known)} secrets are known, {len(hashes)} of them tokens that the broker minted.")
    stage.say(f"  Control: {belonging} of them are found in the private cache, where they belong.")
    for what, found in findings.items():
        stage.say(f"  {'FOUND in' if found.leaks else 'None in'} {found.count} {what}.")
    leaks = [leak for found in findings.values() for leak in found.leaks]
    if leaks:
        raise StageError("secrets were found where they do not belong:\n" + "\n".join(leaks))


def _minted(stage: Stage) -> Iterator[dict[str, object]]:
    """Yield what the broker's audit says of each token that it minted; the audit goes to the broker's log."""
    for path in stage.logs.iterdir():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if '"token_sha256"' not in line:
                continue
            entry = json.loads(line[line.index("{") :])
            if entry["result"] == "granted" and entry["token_sha256"]:
                yield entry
