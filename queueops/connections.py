"""The one place that opens connections to Redis (or Valkey): a client for each process, an async one for each loop."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from django.conf import settings
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo
from redis.retry import Retry

from queueops import embedded, sentinel
from queueops.loops import PerLoop

CONNECT_SECONDS = 2.0
# Longer than the longest blocking wait of the worker; a dead peer is noticed by the connection's end long before.
ANSWER_SECONDS = 15.0

PATIENCE_SECONDS = 0.25  # for a probe

# What a connection tells the server of itself. redis-py would read its own package's description from disk for each.
DRIVER = DriverInfo()

_lock = threading.Lock()
_client: Redis | None = None
_impatient: Redis | None = None


def ensure_server() -> None:
    """Start the embedded Valkey unless REDIS_URL names a server. Raises embedded.EmbeddedValkeyError."""
    if not settings.REDIS_URL:
        embedded.ensure(settings.VALKEY_DIR, Path(settings.EMBEDDED_REDIS_URL.removeprefix("unix://")))


def new_client(connect_seconds: float, answer_seconds: float) -> Redis:
    """One more, for the caller to close. A dead server fails in milliseconds: redis-py's own retries take seconds."""
    url: str = settings.QUEUE_REDIS_URL
    options: dict[str, Any] = {
        "socket_connect_timeout": connect_seconds,
        "socket_timeout": answer_seconds,
        "retry": Retry(NoBackoff(), 0),
        "driver_info": DRIVER,
    }
    return sentinel.parse(url).client(**options) if sentinel.is_meant(url) else Redis.from_url(url, **options)


def client() -> Redis:
    """This process's client. Connections are pooled: django_rq.get_queue() would open a new one at every call."""
    global _client
    with _lock:
        if _client is None:
            ensure_server()
            _client = new_client(CONNECT_SECONDS, ANSWER_SECONDS)
        return _client


def impatient_client() -> Redis:
    """For asking whether Redis works: gives up after PATIENCE_SECONDS."""
    global _impatient
    with _lock:
        if _impatient is None:
            _impatient = new_client(PATIENCE_SECONDS, PATIENCE_SECONDS)
        return _impatient


def _make_async_client() -> AsyncRedis:
    ensure_server()
    url: str = settings.QUEUE_REDIS_URL
    options: dict[str, Any] = {
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": ANSWER_SECONDS,
        "retry": AsyncRetry(NoBackoff(), 0),
        "driver_info": DRIVER,
    }
    if sentinel.is_meant(url):
        return sentinel.parse(url).async_client(**options)
    return AsyncRedis.from_url(url, **options)


async_client = PerLoop(_make_async_client, AsyncRedis.aclose)
