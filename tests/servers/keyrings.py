"""A desktop keyring that a test plays: entries in a mapping or a file, and a hook before each call.

``fake_backend()`` stands for one of the keyring package's backends. It is no subclass of theirs, because they register
every subclass for the whole process.
"""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, cast

from keyring.errors import PasswordDeleteError

from indexpass._desktop_keyring import Backend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from keyring.backend import KeyringBackend

Entries = MutableMapping[str, str]


class FileEntries(Entries):
    """Entries that outlive the process, in a file that is replaced in one step."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __getitem__(self, key: str) -> str:
        return self._all()[key]

    def __setitem__(self, key: str, value: str) -> None:
        self._put({**self._all(), key: value})

    def __delitem__(self, key: str) -> None:
        entries = self._all()
        del entries[key]
        self._put(entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> dict[str, str]:
        return dict(json.loads(self._path.read_bytes())) if self._path.exists() else {}

    def _put(self, entries: dict[str, str]) -> None:
        draft = self._path.with_suffix(".new")
        draft.write_text(json.dumps(entries))
        draft.replace(self._path)


def fake_backend(  # noqa: PLR0913  # one parameter for each thing in which keyrings differ
    name: str = "fake",
    entries: Entries | None = None,
    *,
    priority: float = 5,
    viable: bool = True,
    is_open: bool = True,
    before: Callable[[str], object] = lambda _: None,
) -> Backend:
    """Return a backend; ``before`` is told each call by name, and may raise or block."""
    stored: Entries = {} if entries is None else entries

    class FakeKeyring:
        def get_password(self, service: str, username: str) -> str | None:
            before("get")
            return stored.get(f"{service} {username}")

        def set_password(self, service: str, username: str, password: str) -> None:
            before("set")
            stored[f"{service} {username}"] = password

        def delete_password(self, service: str, username: str) -> None:
            before("delete")
            if stored.pop(f"{service} {username}", None) is None:
                raise PasswordDeleteError

    FakeKeyring.priority = priority  # type: ignore[attr-defined]
    FakeKeyring.viable = viable  # type: ignore[attr-defined]

    def load() -> type[KeyringBackend]:
        before("load")
        return cast("type[KeyringBackend]", FakeKeyring)

    def look() -> bool:
        before("look")
        return is_open

    return Backend(name, load, look)
