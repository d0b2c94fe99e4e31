"""A Valkey or Redis that Sentinels watch: REDIS_URL=redis+sentinel://[user:password@]host:port,host:port/service/db.

Every new connection asks the Sentinels who the master is now, so that one that broke in a failover is replaced by one
to the new master. One that is still open to a master that became a replica is closed at its first READONLY.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.asyncio.sentinel import SentinelConnectionPool as AsyncPool
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

SCHEME = "redis+sentinel://"
FORM = (
    "redis+sentinel://[USER:PASSWORD@]HOST:PORT,HOST:PORT,…/SERVICE/DB, percent-encoded; "
    "?sentinel_password=… (and sentinel_username) when the Sentinels have one of their own"
)
PORT = 26379
# Less than the patience of whoever asks (connections.PATIENCE_SECONDS): the next one must still have its turn.
ASK_SECONDS = 0.1
# For the connections that RQ and django-rq open by themselves.
ANSWER_SECONDS = 15.0

_HOST = re.compile(r"(?P<host>[^\s:\[\]]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?")
_PATH = re.compile(r"/(?P<service>[^/\s]+)(?:/(?P<db>\d+)?)?")
_OPTIONS = {"sentinel_username", "sentinel_password"}


class _Pool(SentinelConnectionPool):
    """When it is closed, so are its connections to the Sentinels: redis-py leaves them to the garbage collector."""

    def disconnect(self, inuse_connections: bool = True) -> None:
        super().disconnect(inuse_connections)
        if inuse_connections:
            self.sentinel_manager.close()


class _AsyncPool(AsyncPool):
    """The same for a loop."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        await super().disconnect(inuse_connections)
        if inuse_connections:
            for asked in self.sentinel_manager.sentinels:
                await asked.aclose()


@dataclass(frozen=True, slots=True)
class Watched:
    """addresses: the Sentinels'. credentials, sentinel_credentials: as redis-py's keyword arguments."""

    addresses: tuple[tuple[str, int], ...]
    service: str
    db: int
    credentials: dict[str, str]
    sentinel_credentials: dict[str, str]

    @property
    def passwords(self) -> list[str]:
        """What must never be written."""
        both = (self.credentials, self.sentinel_credentials)
        return [held["password"] for held in both if "password" in held]

    def client(self, **options: Any) -> Redis:
        """A client of whoever is the master. options: as Redis' own."""
        asking = self._asking(Retry(NoBackoff(), 0))
        sentinel: Any = Sentinel(self.addresses, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
        options |= {"db": self.db, **self.credentials, "connection_pool_class": _Pool}
        client: Redis = sentinel.master_for(self.service, **options)
        return client

    def async_client(self, **options: Any) -> AsyncRedis:
        """The same for a loop."""
        asking = self._asking(AsyncRetry(NoBackoff(), 0))
        sentinel: Any = AsyncSentinel(self.addresses, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
        options |= {"db": self.db, **self.credentials, "connection_pool_class": _AsyncPool}
        client: AsyncRedis = sentinel.master_for(self.service, **options)
        return client

    def rq_queue(self) -> dict[str, Any]:
        """What django-rq needs in an entry of RQ_QUEUES."""
        return {
            "SENTINELS": list(self.addresses),
            "MASTER_NAME": self.service,
            "DB": self.db,
            # Here and not as USERNAME, PASSWORD: some pages of django-rq pass only this on.
            "CONNECTION_KWARGS": {
                "username": None,
                "password": None,
                **self.credentials,
                "socket_timeout": ANSWER_SECONDS,
            },
            "SENTINEL_KWARGS": self._asking(Retry(NoBackoff(), 0)),
        }

    def _asking(self, retry: Any) -> dict[str, Any]:
        seconds = {"socket_connect_timeout": ASK_SECONDS, "socket_timeout": ASK_SECONDS}
        return {**seconds, "retry": retry, **self.sentinel_credentials}


def is_meant(url: str) -> bool:
    """Whether the address is one of Sentinels."""
    return url.startswith(SCHEME)


def parse(url: str) -> Watched:
    """Raises ValueError, without the address, which may hold passwords."""
    parts = urlsplit(url)
    _, _, hosts = parts.netloc.rpartition("@")
    found = [_HOST.fullmatch(host) for host in hosts.split(",")]
    path = _PATH.fullmatch(parts.path)
    options = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    if not is_meant(url) or path is None or not all(found) or not options.keys() <= _OPTIONS or parts.fragment:
        raise ValueError(f"REDIS_URL must be {FORM}.")
    return Watched(
        addresses=tuple((match["host"].strip("[]"), _port(match["port"])) for match in found if match),
        service=unquote(path["service"]),
        db=int(path["db"] or 0),
        credentials=_given(username=parts.username, password=parts.password),
        sentinel_credentials={name.removeprefix("sentinel_"): value for name, value in options.items() if value},
    )


def _port(text: str | None) -> int:
    port = int(text or PORT)
    if not 0 < port < 65_536:
        raise ValueError(f"REDIS_URL must be {FORM}; {port} is no port.")
    return port


def _given(**words: str | None) -> dict[str, str]:
    return {name: unquote(word) for name, word in words.items() if word}
