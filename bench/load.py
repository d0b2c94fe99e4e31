"""The load generator, a process of its own: `python -m bench.load PORT CONNECTIONS SECONDS SEED`.

Every connection sends its next request when the last one is answered. Bodies are signed before the clock starts, and
answers are read only as far as their status and length, so that the two cores are left to the servers.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from functools import partial

import uvloop

from bench.traffic import requests
from webhooks.load import percentile

MOST_A_SECOND = 20_000  # bodies to prepare; when they run out the measurement ends early
WARM_SECONDS = 0.5


class Connection(asyncio.Protocol):
    """One kept-alive connection; `milliseconds` has an entry for each answer that came after the warm-up."""

    def __init__(self, source: Iterator[bytes], measured_from: float, until: float) -> None:
        self.ended = asyncio.get_running_loop().create_future()
        self.milliseconds: list[float] = []
        self.answers = 0
        self.refused = 0
        self._source = source
        self._measured_from = measured_from
        self._until = until
        self._missing = b""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        answer = self._missing + data
        head_end = answer.find(b"\r\n\r\n")
        if head_end < 0 or len(answer) < head_end + 4 + _length(answer[:head_end]):
            self._missing = answer
            return
        self._missing = b""
        now = time.perf_counter()
        self.answers += 1
        self.refused += not answer.startswith(b"HTTP/1.1 200")
        if now >= self._measured_from:
            self.milliseconds.append((now - self._sent_at) * 1000)
        if now < self._until:
            self._send()
        else:
            self._end()

    def connection_lost(self, error: Exception | None) -> None:
        self._end()

    def _send(self) -> None:
        request = next(self._source, None)
        if request is None:
            self._end()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)  # type: ignore[attr-defined]

    def _end(self) -> None:
        self._transport.close()
        if not self.ended.done():
            self.ended.set_result(None)


def _itself(connection: Connection) -> Connection:
    return connection


def _length(head: bytes) -> int:
    lower = head.lower()
    start = lower.index(b"content-length:") + 15
    end = lower.find(b"\r\n", start)
    return int(lower[start : end if end >= 0 else None])


async def measure(port: int, connections: int, seconds: float, source: list[bytes]) -> dict[str, float]:
    """Answers a second, p50 and p99 in milliseconds, and how many were not a 200."""
    loop = asyncio.get_running_loop()
    measured_from = time.perf_counter() + WARM_SECONDS
    until = measured_from + seconds
    left = iter(source)
    made = [Connection(left, measured_from, until) for _ in range(connections)]
    for connection in made:
        await loop.create_connection(partial(_itself, connection), "127.0.0.1", port)
    await asyncio.gather(*(connection.ended for connection in made))
    took = time.perf_counter() - measured_from
    milliseconds = [one for connection in made for one in connection.milliseconds]
    return {
        "rate": len(milliseconds) / took,
        "answers": sum(connection.answers for connection in made),
        "p50": percentile(milliseconds, 50),
        "p99": percentile(milliseconds, 99),
        "refused": sum(connection.refused for connection in made),
    }


def main() -> None:
    port, connections, seconds, seed = (int(argument) for argument in sys.argv[1:5])
    most = MOST_A_SECOND if connections > 1 else MOST_A_SECOND // 5
    source = requests(seed, int((seconds + WARM_SECONDS) * most), f"127.0.0.1:{port}")
    sys.stdout.write(json.dumps(uvloop.run(measure(port, connections, seconds, source))) + "\n")


if __name__ == "__main__":
    main()
