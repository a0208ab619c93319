"""What any check costs before it checks: an application that answers 204, on the server that the broker runs on.

Usage: bare_app.py PORT, by the Python of an environment in which the broker is installed.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import uvicorn

from indexpass.broker.bounded_http import BoundedHttp

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


if __name__ == "__main__":
    uvicorn.run(
        answer,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        http=BoundedHttp,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
    )
