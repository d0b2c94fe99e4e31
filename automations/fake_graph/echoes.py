"""The echoes that Meta sends of every message of an account: posted to a webhook's address, signed."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable

import aiohttp
import orjson

from automations.fake_graph.calls import Call

ANSWER_SECONDS = 5.0  # as long as Meta waits
AGAIN_SECONDS = 1.0


def _at_once(call: Call) -> float:
    return 0.0


class Echoes:
    """url: the webhook's address. Each echo is posted again until it is answered with 200, or `close`.

    after: in how many seconds a message is echoed, None for never. taken: the message ids whose echo got its 200.
    """

    def __init__(self, url: str, secret: str, after: Callable[[Call], float | None] = _at_once) -> None:
        self.taken: set[str] = set()
        self._url = url
        self._secret = secret.encode(errors="surrogateescape")
        self._after = after
        self._session: aiohttp.ClientSession | None = None
        self._posts: set[asyncio.Task[None]] = set()

    @property
    def are_out(self) -> bool:
        """Whether none is still to be posted, or to be taken."""
        return not self._posts

    def send(self, call: Call, person: str) -> None:
        """Post the echo of this message, which went to this person, on the running loop."""
        after = self._after(call)
        if after is None:
            return
        post = asyncio.create_task(self._post(call, _body(call, person), after))
        self._posts.add(post)
        post.add_done_callback(self._posts.discard)

    async def _post(self, call: Call, body: bytes, after: float) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS))
        signature = hmac.new(self._secret, body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={signature}"}
        await asyncio.sleep(after)
        while True:
            try:
                async with self._session.post(self._url, data=body, headers=headers) as response:
                    if response.status == 200:
                        self.taken.add(call.message_id)
                        return
            except (aiohttp.ClientError, OSError, TimeoutError):
                pass  # the webhook's server is away for the moment
            await asyncio.sleep(AGAIN_SECONDS)

    async def close(self) -> None:
        """Post nothing more."""
        posts = list(self._posts)
        for post in posts:
            post.cancel()
        await asyncio.gather(*posts, return_exceptions=True)
        if self._session is not None:
            await self._session.close()


def _body(call: Call, person: str) -> bytes:
    at = int(call.at * 1000)
    event = {
        "sender": {"id": call.account},
        "recipient": {"id": person},
        "timestamp": at,
        "message": {"mid": call.message_id, "text": call.text, "is_echo": True},
    }
    return orjson.dumps({"object": "instagram", "entry": [{"id": call.account, "time": at, "messaging": [event]}]})
