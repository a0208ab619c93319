"""One of many processes that ask for the same credential at the same moment; run by the Python of an installed wheel.

Says that it is ready, waits until the other end of its standard input is closed, asks, and prints the secret (which
the double of the broker made up).
"""

from __future__ import annotations

import sys

from indexpass.keyring_backend import IndexpassKeyring


def main(url: str) -> None:
    print("ready", flush=True)
    sys.stdin.read()
    backend = IndexpassKeyring()  # type: ignore[no-untyped-call]  # keyring says nothing of __init__
    credential = backend.get_credential(url, None)
    print(credential.password if credential else "nothing")


if __name__ == "__main__":
    main(sys.argv[1])
