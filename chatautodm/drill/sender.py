"""Meta's side: posts what is due, and posts again, later and in other batches, what was not answered with 200."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import time
from collections import Counter
from collections.abc import Sequence
from random import Random

import aiohttp
import orjson
from yarl import URL

from chatautodm.drill.traffic import Due
from webhooks.load import COUNTED, PATH
from webhooks.signature import sign
from webhooks.simulated_events import Made
from webhooks.simulation import MAX_BATCH, body_of

ANSWER_SECONDS = 5.0  # as long as Meta waits (FACTS section 3)
CONNECTIONS = 64
AGAIN_SECONDS = (0.5, 3.0)
MERGED_SHARE = 0.3


class Sender:
    """Sends everything of `due`, until all of it was acknowledged.

    acknowledged: when the first 200 for an event came, in seconds since 1970, by its source id.
    posts: by what came of them: an HTTP status, or the connection error's name.
    miscounted: bodies whose 200 spoke of more or fewer events than they had.
    """

    def __init__(self, url: str, secret: str, due: Sequence[Due], random: Random) -> None:
        self.acknowledged: dict[str, float] = {}
        self.posts: Counter[str] = Counter()
        self.miscounted: list[str] = []
        self._target = URL(url + PATH)
        self._secret = secret
        self._queue = list(due)
        heapq.heapify(self._queue)
        self._everything = [one.made for one in due]
        self._number = len(due)
        self._random = random
        self._started = time.monotonic()

    async def run(self) -> None:
        """Returns when everything was acknowledged."""
        self._started = time.monotonic()
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        connector = aiohttp.TCPConnector(limit=CONNECTIONS)
        in_flight: set[asyncio.Task[None]] = set()
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            while self._queue or in_flight:
                while self._queue and self._queue[0].at <= self._now():
                    task = asyncio.create_task(self._post(session, self._next_body()))
                    in_flight.add(task)
                    task.add_done_callback(in_flight.discard)
                await asyncio.sleep(0.01)

    async def cut(self, count: int) -> None:
        """Send half a body, or all of it, and go away before any answer; all of these come again as a matter of course.

        They are bodies of this run, sent already or not yet.
        """
        for made in self._random.sample(self._everything, k=min(count, len(self._everything))):
            body = body_of(made, _now_ms()).body
            length = len(body) if self._random.random() < 0.5 else self._random.randrange(len(body))
            with contextlib.suppress(OSError):
                await self._send_and_leave(body, length)

    async def _send_and_leave(self, body: bytes, length: int) -> None:
        _, writer = await asyncio.open_connection(self._target.host, self._target.port)
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: {self._target.authority}\r\nContent-Type: application/json\r\n"
            f"X-Hub-Signature-256: {sign(body, self._secret)}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body[:length])
        await writer.drain()
        await asyncio.sleep(0.005)
        writer.transport.abort()

    def _now(self) -> float:
        return time.monotonic() - self._started

    def _next_body(self) -> tuple[Made, ...]:
        """What is due next, now and then in one batch with what is due after it."""
        made = heapq.heappop(self._queue).made
        while self._queue and self._queue[0].at <= self._now() and self._random.random() < MERGED_SHARE:
            if len(made) + len(self._queue[0].made) > MAX_BATCH:
                break
            made += heapq.heappop(self._queue).made
        return made

    async def _post(self, session: aiohttp.ClientSession, made: tuple[Made, ...]) -> None:
        body = body_of(made, _now_ms()).body
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": sign(body, self._secret)}
        try:
            async with session.post(self._target, data=body, headers=headers, allow_redirects=False) as response:
                status, answer = response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.posts[type(error).__name__] += 1
            self._send_again(made)
            return
        self.posts[f"HTTP {status}"] += 1
        if status != 200:
            self._send_again(made)
            return
        now = time.time()
        for one in made:
            self.acknowledged.setdefault(one.content.source_id, now)
        if _counted(answer) != len(made):
            self.miscounted.append(f"{len(made)} events were answered with {answer[:100]!r}")

    def _send_again(self, made: tuple[Made, ...]) -> None:
        """Together or one by one: how events are batched may differ each time."""
        together = self._random.random() < 0.5
        for part in [made] if together else [(one,) for one in made]:
            self._number += 1
            heapq.heappush(self._queue, Due(self._now() + self._random.uniform(*AGAIN_SECONDS), self._number, part))


def _now_ms() -> int:
    return int(time.time() * 1000)


def _counted(answer: bytes) -> int:
    try:
        counts = orjson.loads(answer)
        return sum(int(counts[name]) for name in COUNTED)
    except (ValueError, TypeError, KeyError):
        return -1
