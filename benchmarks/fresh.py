"""What a look-up costs in one fresh interpreter, as one line of JSON; run by the Python of an installed wheel.

Arguments: the URL to ask for, and how many later answers to average over. Nothing is imported here that a client of
keyring would not have imported, until the measuring is done.
"""

from __future__ import annotations

import sys
import time


def main(url: str, later_answers: int) -> None:
    began = time.perf_counter()
    import keyring  # noqa: PLC0415  # the yardstick: what every client of keyring pays, with or without us

    yardstick = time.perf_counter() - began
    import keyring.backend  # noqa: PLC0415  # keyring loads both before any backend
    import keyring.credentials  # noqa: F401, PLC0415

    known = set(sys.modules)
    began = time.perf_counter()
    from indexpass.keyring_backend import IndexpassKeyring  # noqa: PLC0415  # this is what is measured

    imported = time.perf_counter() - began
    added = sorted(set(sys.modules) - known)

    backend = IndexpassKeyring()  # type: ignore[no-untyped-call]  # keyring says nothing of __init__
    began = time.perf_counter()
    credential = backend.get_credential(url, None)
    first = time.perf_counter() - began

    began = time.perf_counter()
    for _ in range(later_answers):
        backend.get_credential(url, None)
    later = (time.perf_counter() - began) / later_answers

    import json  # noqa: PLC0415  # a first answer has to load it itself

    answer = {"yardstick": yardstick, "imported": imported, "added": added, "first": first, "later": later}
    print(json.dumps({**answer, "is_ours": credential is not None}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
