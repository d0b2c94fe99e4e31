"""Webhooks at a steady rate, a process of its own: `python -m bench.steady PORT RATE SECONDS SEED FILE`.

Each is due at its moment, however slow the answers are. FILE then says, as JSON, when each was sent, by the
person it is from.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import uvloop

from bench.traffic import messages


class Connection(asyncio.Protocol):
    """Kept alive, and back in `free` when its answer has begun."""

    def __init__(self, free: list[Connection]) -> None:
        self._free = free

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def send(self, request: bytes) -> None:
        self._transport.write(request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"HTTP/1.1 "):
            if not data.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"answered with {data[:200]!r}")
            self._free.append(self)

    def close(self) -> None:
        self._transport.close()


async def post(port: int, rate: int, source: list[tuple[str, bytes]]) -> dict[str, float]:
    """When each was sent, in seconds since 1970."""
    loop = asyncio.get_running_loop()
    free: list[Connection] = []
    made: list[Connection] = []
    sent: dict[str, float] = {}
    started = time.perf_counter()
    for number, (person, request) in enumerate(source):
        await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
        if not free:
            _, connection = await loop.create_connection(lambda: Connection(free), "127.0.0.1", port)
            made.append(connection)
        else:
            connection = free.pop()
        sent[person] = time.time()
        connection.send(request)
    await asyncio.sleep(1)
    for connection in made:
        connection.close()
    return sent


def main() -> None:
    port, rate, seconds, seed = (int(argument) for argument in sys.argv[1:5])
    source = messages(seed, rate * seconds, f"127.0.0.1:{port}")
    Path(sys.argv[5]).write_text(json.dumps(uvloop.run(post(port, rate, source))))


if __name__ == "__main__":
    main()
