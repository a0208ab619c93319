"""Judges what is common to all clients: the configuration, the servers, the clock, who one is, what is held.

What is judged are facts that are passed in; this module asks nobody.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from indexpass._diagnose import MIN_SKEW_SECONDS, describe_skew, explain
from indexpass._doctor.findings import Finding, Verdict, with_tilde
from indexpass._wire import SCOPES
from indexpass.errors import IndexpassError, SessionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from indexpass._credential import Index
    from indexpass._doctor.holdings import Held, Holding
    from indexpass._doctor.servers import Server, Trial

EXPIRY_NOTE_SECONDS = 14 * 24 * 60 * 60.0
_ADD = "indexpass add https://packages.example.com/simple/"
_UNKNOWN_AUTHORITY = ("self-signed", "self signed", "unable to get")


def judge_configuration(
    files: Sequence[Path], configured: Sequence[Index], named: Sequence[Index], error: IndexpassError | None
) -> Finding:
    """Judge the configuration; ``files`` are those that there are, ``error`` is why they cannot be read.

    ``named`` are the indexes that clients' settings name: one of a known platform need not be configured.
    """
    if error:
        return Finding("config", "fault", error.message, error.hint)
    if configured:
        places = " and ".join(with_tilde(str(path)) for path in files) or "the INDEXPASS_* variables"
        return Finding("config", "ok", f"{', '.join(index.name for index in configured)}, from {places}")
    if named:
        return Finding("config", "ok", f"none, and none is needed for {', '.join(index.name for index in named)}")
    return Finding("config", "fault", "no index is configured on this machine", _ADD)


def judge_servers(servers: Sequence[Server], now: float) -> Iterator[Finding]:
    """Yield a finding for each server, and one for the clock: by the server that differs most."""
    for server in servers:
        part = "broker" if server.is_broker else "host"
        trouble = _judge_certificate(server, now)
        if trouble:
            yield Finding(part, *trouble)
        if server.error and not (trouble and trouble[0] == "fault"):
            yield Finding(part, "fault", server.error.message, server.error.hint or f"ask who runs {server.origin}")
        elif server.error is None and server.is_broker and not trouble:
            yield Finding(part, "ok", f"{server.origin} answers")
    skews = [server.skew for server in servers if server.skew is not None]
    if skews:
        yield _judge_clock(max(skews, key=abs))


def judge_holding(holding: Holding) -> Iterator[Finding]:
    """Yield what there is to say of one index: who one is, what is held, what failed, what is ahead."""
    part = holding.index.name
    login = f"indexpass login {holding.index.name}"
    if holding.error:
        yield _of_error(part, holding.error)
    elif holding.who is None:
        yield Finding(part, "sign-in", "nobody is signed in", login)
    else:
        yield Finding(part, "ok", holding.who)
    for held in holding.held:
        yield Finding(part, *_judge_held(held))
    for failure in holding.failures:
        if holding.who is not None or failure.code != SessionError.code:  # a remembered one has no other class
            yield _of_error(part, failure)
    if holding.outlook:
        yield Finding(part, "note", holding.outlook)


def judge_trial(trial: Trial, now: float) -> Finding:
    """Judge what the index said to the credential that is held for it."""
    part, url, answer = trial.index.name, trial.index.url, trial.answer
    if isinstance(answer, IndexpassError):
        return _of_error(part, answer)
    refusal = explain(
        trial.index, trial.credential, status=answer.status, headers=answer.headers, now=now, is_own_page=True
    )
    if refusal:
        return _of_error(part, refusal)
    if answer.status < 300:  # noqa: PLR2004  # RFC 9110 section 15.3
        return Finding(part, "ok", f"{url} takes the credential that is held")
    return Finding(part, "note", f"{url} answers with status {answer.status}, which says nothing of the credential")


def _of_error(part: str, error: IndexpassError) -> Finding:
    verdict: Verdict = "sign-in" if error.code == SessionError.code else "fault"
    return Finding(part, verdict, error.message, error.hint)


def _judge_certificate(server: Server, now: float) -> tuple[Verdict, str, str] | None:
    certificate = server.certificate
    if certificate is None:
        return None
    if certificate.problem:
        message = f"the certificate of {server.origin} is not trusted: {certificate.problem}"
        if any(words in certificate.problem for words in _UNKNOWN_AUTHORITY):
            return "fault", message, "export REQUESTS_CA_BUNDLE=/path/to/authorities.pem"
        return "fault", message, f"check this machine's clock, then ask who runs {server.origin} for a new certificate"
    if certificate.expires_at is not None and certificate.expires_at - now < EXPIRY_NOTE_SECONDS:
        days = int((certificate.expires_at - now) // (24 * 60 * 60))
        message = f"the certificate of {server.origin} expires in {days} days"
        return "note", message, f"ask who runs {server.origin} to renew it"
    return None


def _judge_clock(skew: float) -> Finding:
    if abs(skew) < MIN_SKEW_SECONDS:
        return Finding("clock", "ok", "agrees with the servers'")
    hint = "sudo timedatectl set-ntp true" if sys.platform == "linux" else "set the clock"
    return Finding("clock", "fault", f"this machine's clock is {describe_skew(skew)}", hint)


def _judge_held(held: Held) -> tuple[Verdict, str]:
    left = "" if held.seconds_left is None else f", {_minutes(held.seconds_left)} left"
    message = f"{held.operation}: {held.age}{left if held.age != 'expired' else ''}"
    if held.scope:
        message += f", scope {held.scope}"
    if held.operation == "read" and SCOPES["upload"] in held.scope.split():
        return "note", f"{message}: more than reading needs"
    return "ok", message


def _minutes(seconds: float) -> str:
    minutes = int(seconds // 60)
    if minutes >= 120:  # noqa: PLR2004  # two hours
        return f"{minutes // 60} h"
    return f"{minutes} min" if minutes else f"{int(seconds)} s"
