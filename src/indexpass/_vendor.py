"""Runs a platform's own library: within a bound of time, without a word on the terminal.

Such a library reads files, looks up names, starts programs and asks several servers in turn, each with its own idea of
how long to wait, and warns people who cannot do anything about it. This module knows of a platform only how its library
logs, and never translates what a library raises.
"""

from __future__ import annotations

import logging
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from indexpass.errors import BrokerUnreachable, ExtraMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOTAL_SECONDS = 20.0  # as for a whole exchange with a broker
_TALKATIVE = ("botocore", "google")  # at DEBUG, which `pip -v` sets for all, they log what is answered, tokens and all
_turn = threading.Lock()
_found: list[dict[str, int]] = []  # levels of loggers, by each thread that is at work
_Result = TypeVar("_Result")


def run_library(
    work: Callable[[], _Result], *, platform: str, extra: str, total_seconds: float = TOTAL_SECONDS
) -> _Result:
    """Return what ``work`` returns, or raise what it raises.

    ``work`` runs on a thread that is given up on in time. Raises BrokerUnreachable if it is late, and ConfigError if
    a module is missing, which ``pip install 'indexpass[extra]'`` would bring.
    """
    results: list[_Result] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            with _unheard():  # here, and so for as long as one goes on that was given up on
                results.append(work())
        except Exception as error:  # noqa: BLE001  # carried to the caller's thread and raised there
            errors.append(error)

    worker = threading.Thread(target=run, name="indexpass-vendor", daemon=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        worker.start()
        worker.join(total_seconds)
    if results:
        return results[0]
    if not errors:
        raise BrokerUnreachable(f"{platform} did not answer in time", hint="check your network or VPN, then try again")
    (error,) = errors
    if isinstance(error, ModuleNotFoundError):
        raise ExtraMissing(
            f"{error.name} is not installed, which credentials from {platform} need",
            hint=f"pip install 'indexpass[{extra}]'",
        ) from error
    raise error


@contextmanager
def _unheard() -> Iterator[None]:
    """Let the libraries log nothing below a warning meanwhile, whatever the program around us has set.

    Several threads may be in here: the last one to go puts back what the first one found.
    """
    with _turn:
        _found.append({name: logging.getLogger(name).level for name in _TALKATIVE})
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)
    try:
        yield
    finally:
        with _turn:
            levels = _found.pop()
            for name in _TALKATIVE if not _found else ():
                logging.getLogger(name).setLevel(levels[name])
