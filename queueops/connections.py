"""The one place that opens connections to Redis (or Valkey): a client for each process, an async one for each loop."""

from __future__ import annotations

import threading
from pathlib import Path

from django.conf import settings
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from queueops import embedded
from queueops.loops import PerLoop

CONNECT_SECONDS = 2.0
# Longer than the longest blocking wait of the worker; a dead peer is noticed by the connection's end long before.
ANSWER_SECONDS = 15.0

_lock = threading.Lock()
_client: Redis | None = None


def ensure_server() -> None:
    """Start the embedded Valkey unless REDIS_URL names a server. Raises embedded.EmbeddedValkeyError."""
    if not settings.REDIS_URL:
        embedded.ensure(settings.VALKEY_DIR, Path(settings.EMBEDDED_REDIS_URL.removeprefix("unix://")))


def client() -> Redis:
    """This process's client. Connections are pooled: django_rq.get_queue() would open a new one at every call."""
    global _client
    with _lock:
        if _client is None:
            ensure_server()
            _client = Redis.from_url(
                settings.QUEUE_REDIS_URL,
                socket_connect_timeout=CONNECT_SECONDS,
                socket_timeout=ANSWER_SECONDS,
                # A dead server fails in milliseconds, not after the client library's own seconds of retries.
                retry=Retry(NoBackoff(), 0),
            )
        return _client


def _make_async_client() -> AsyncRedis:
    ensure_server()
    return AsyncRedis.from_url(
        settings.QUEUE_REDIS_URL,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        retry=AsyncRetry(NoBackoff(), 0),
    )


async_client = PerLoop(_make_async_client, AsyncRedis.aclose)
