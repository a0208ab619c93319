"""The test kit: doubles of a broker and an index on loopback, and the contracts that every provider has to keep.

For people who write a provider (entry point ``indexpass.providers``), and for those who test a program against
indexpass; indexpass's own tests stand on it. The public names are loaded on first use, and only the contracts import
pytest (``pip install 'indexpass[testing]'``). Nothing here ever leaves the machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from indexpass.testing.broker import FakeBroker
    from indexpass.testing.contexts import NOW, FakeIdentity, MemorySessions, make_context, make_index
    from indexpass.testing.contracts import (
        ExchangeContract,
        PlatformContract,
        ProviderContract,
        Subject,
        Trial,
    )
    from indexpass.testing.far_hosts import FarHosts, http_to
    from indexpass.testing.index import FakeIndex
    from indexpass.testing.recording import RecordingHttp, Sent
    from indexpass.testing.server import FakePlatform, Reply, Request
    from indexpass.testing.source_contracts import IdentitySourceContract, SourceSubject
    from indexpass.testing.tricks import KNOWN_INDEXES, look_alikes

__all__ = [
    "KNOWN_INDEXES",
    "NOW",
    "ExchangeContract",
    "FakeBroker",
    "FakeIdentity",
    "FakeIndex",
    "FakePlatform",
    "FarHosts",
    "IdentitySourceContract",
    "MemorySessions",
    "PlatformContract",
    "ProviderContract",
    "RecordingHttp",
    "Reply",
    "Request",
    "Sent",
    "SourceSubject",
    "Subject",
    "Trial",
    "http_to",
    "look_alikes",
    "make_context",
    "make_index",
]

_HOMES = {
    "KNOWN_INDEXES": "tricks",
    "NOW": "contexts",
    "ExchangeContract": "contracts",
    "FakeBroker": "broker",
    "FakeIdentity": "contexts",
    "FakeIndex": "index",
    "FakePlatform": "server",
    "FarHosts": "far_hosts",
    "IdentitySourceContract": "source_contracts",
    "MemorySessions": "contexts",
    "PlatformContract": "contracts",
    "ProviderContract": "contracts",
    "RecordingHttp": "recording",
    "Reply": "server",
    "Request": "server",
    "Sent": "recording",
    "SourceSubject": "source_contracts",
    "Subject": "contracts",
    "Trial": "contracts",
    "http_to": "far_hosts",
    "look_alikes": "tricks",
    "make_context": "contexts",
    "make_index": "contexts",
}

_CONTRACTS = {"indexpass.testing.contracts", "indexpass.testing.source_contracts"}


def __getattr__(name: str) -> object:
    """Load a public name on first use (PEP 562)."""
    if name not in _HOMES:
        msg = f"module 'indexpass.testing' has no attribute {name!r}"
        raise AttributeError(msg)
    import sys  # noqa: PLC0415  # nothing is imported before it is needed
    from importlib import import_module  # noqa: PLC0415

    home = f"indexpass.testing.{_HOMES[name]}"
    if home in _CONTRACTS and not sys.modules.keys() & _CONTRACTS:
        from pytest import register_assert_rewrite  # noqa: PLC0415, PT013  # for the contracts alone

        register_assert_rewrite(*_CONTRACTS)  # so that a broken contract says what was compared
    return getattr(import_module(home), name)
