"""Load for servers on loopback: as fast as they answer, by ``wrk``, or at a rate of its own, whatever they do.

Nothing here judges: it returns rates and seconds, or ends the run if a server did not answer as it should.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from measure import Command

CONNECTIONS = 32
SLACK_SECONDS = 30
_ASK = """
local number = 0
local answers = {}
for line in io.lines("%(bodies)s") do answers[#answers + 1] = line end
function request()
  number = number %% #answers + 1
  %(request)s
end
local wrong = 0
function response(status)
  if status ~= %(status)d then
    wrong = wrong + 1
    if wrong == 1 then print("WRONG " .. status) end
  end
end
"""
FORM = 'return wrk.format("POST", nil, {["Content-Type"] = "application/x-www-form-urlencoded"}, answers[number])'
BASIC = (
    'return wrk.format("GET", nil, {["Authorization"] = "Basic " .. answers[number], ["Host"] = "%s", '
    '["X-Original-URI"] = "/simple/acme-hello/", ["X-Original-Method"] = "GET"})'
)


class Paced(NamedTuple):
    """What a load at a rate of its own has found: quantiles of the answers' times, and of our own lateness."""

    p50: float
    p99: float
    late_p99: float


def press(  # noqa: PLR0913  # what is asked, and what is expected
    url: str, folder: Path, lines: Sequence[str], request: str, *, status: int, seconds: int
) -> float:
    """Ask as fast as the server answers, with one line after the other, and return the answers of a second."""
    bodies, script = folder / "bodies", folder / "ask.lua"
    bodies.write_text("\n".join(lines))
    script.write_text(_ASK % {"bodies": bodies, "request": request, "status": status})
    argv: Command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", script, url]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=seconds + SLACK_SECONDS)
    found = re.search(r"(\d+) requests in ([\d.]+)s", done.stdout)
    if not found or "WRONG" in done.stdout or "Socket errors" in done.stdout:
        sys.exit(f"{url} did not answer as it should:\n{done.stdout}")
    return int(found[1]) / float(found[2])


def pace(host: str, port: int, requests: Sequence[bytes], *, rate: float) -> Paced:
    """Send the requests at this rate, however long the answers take, and measure from when each was due."""
    return asyncio.run(_pace(host, port, requests, rate))


async def _pace(host: str, port: int, requests: Sequence[bytes], rate: float) -> Paced:
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    idle += [await asyncio.open_connection(host, port) for _ in range(CONNECTIONS)]
    took: list[float] = []
    late: list[float] = []

    async def ask(request: bytes, due: float) -> None:
        reader, writer = idle.pop() if idle else await asyncio.open_connection(host, port)
        late.append(time.perf_counter() - due)
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
        took.append(time.perf_counter() - due)
        if not head.startswith(b"HTTP/1.1 200 "):
            sys.exit(f"an exchange was refused: {head.splitlines()[0].decode()}")
        idle.append((reader, writer))

    begun = time.perf_counter()
    asking = []
    for number, request in enumerate(requests):
        due = begun + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        asking.append(asyncio.create_task(ask(request, due)))
    await asyncio.gather(*asking)
    for _, writer in idle:
        writer.close()
    hundredths = statistics.quantiles(took, n=100)
    return Paced(hundredths[49], hundredths[98], statistics.quantiles(late, n=100)[98])
