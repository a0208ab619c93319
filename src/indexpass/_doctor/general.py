"""The findings that are the same for every client, gathered and judged: the CLI and Poetry show them both.

This module decides nothing itself: the facts are of ``holdings`` and ``servers``, the words of ``indexes``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from indexpass import _config
from indexpass._cache import Cache
from indexpass._doctor.holdings import look_at_index
from indexpass._doctor.indexes import judge_configuration, judge_holding, judge_servers, judge_trial
from indexpass._doctor.servers import look_at_servers, try_credential
from indexpass._locations import locate
from indexpass._resolve import default_context
from indexpass.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from indexpass._credential import Index
    from indexpass._doctor.findings import Finding


class Configuration(NamedTuple):
    """What is configured, in which files, and why that cannot be read."""

    indexes: tuple[Index, ...]
    files: tuple[Path, ...]
    error: ConfigError | None = None


def read_configuration(environ: Mapping[str, str]) -> Configuration:
    """Return the configuration; one that is broken has no indexes."""
    locations = locate(environ)
    files = tuple(path for path in (locations.user_file, locations.site_file) if path.is_file())
    try:
        return Configuration(_config.load(locations, environ), files)
    except ConfigError as error:
        return Configuration((), files, error)


def examine_all(configuration: Configuration, indexes: Sequence[Index], environ: Mapping[str, str]) -> list[Finding]:
    """Return what there is to say of the configuration, and of these indexes, configured or of known platforms."""
    findings = [judge_configuration(configuration.files, configuration.indexes, indexes, configuration.error)]
    return findings + _examine_indexes(indexes, environ)


def examine_one(index: Index, environ: Mapping[str, str]) -> list[Finding]:
    """Return what there is to say of one index, and what it says itself to the credential that is held for reading.

    No credential is obtained for that.
    """
    findings = _examine_indexes([index], environ)
    context = default_context(environ)
    credential = Cache(locate(environ).credentials).load(index, "read")
    if credential and credential.age(context.now()) != "expired":
        findings.append(judge_trial(try_credential(index, credential, context), context.now()))
    return findings


def _examine_indexes(indexes: Sequence[Index], environ: Mapping[str, str]) -> list[Finding]:
    """Ask the brokers, without a secret, and look at what is kept here."""
    if not indexes:
        return []
    context, cache = default_context(environ), Cache(locate(environ).credentials)
    findings = list(judge_servers(look_at_servers(indexes, context), context.now()))
    for index in indexes:
        findings += judge_holding(look_at_index(index, cache, context))
    return findings
