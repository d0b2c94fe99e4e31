"""What the figures were measured on, and who used its processors."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import django
from redis import Redis

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
PROC = Path("/proc")


def describe(redis: Redis, postgres: str, node: str | None) -> str:
    """Processor, memory and versions, in one paragraph."""
    kilobytes = next(line.split()[1] for line in _lines("meminfo") if line.startswith("MemTotal"))
    model = next((line.split(":")[1].strip() for line in _lines("cpuinfo") if line.startswith("model name")), "?")
    parts = [
        f"{os.cpu_count()} cores ({model}), {int(kilobytes) / 2**20:.0f} GiB, Linux {platform.release()}",
        f"Python {platform.python_version()}, Django {django.__version__}, rq {version('rq')}",
        f"Valkey {redis.info('server').get('valkey_version', '?')}, PostgreSQL {postgres}",
        f"Node {node}" if node else "Node is missing",
    ]
    return "; ".join(parts)


def processor_seconds(*roots: int) -> float:
    """User and system time of these processes and all their children, also of those that ended."""
    times: dict[int, float] = {}
    children: dict[int, list[int]] = {}
    for folder in PROC.iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue  # it just ended
        times[int(folder.name)] = sum(map(int, fields[11:15])) / TICKS
        children.setdefault(int(fields[1]), []).append(int(folder.name))
    total = 0.0
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        total += times.get(pid, 0.0)
        waiting += children.get(pid, [])
    return total


class Clock:
    """From its making on: how much of the processors went to processes that are none of ours."""

    def __init__(self, *servers: int) -> None:
        self._roots = (os.getpid(), *servers)
        self._started = time.monotonic()
        self._busy = _busy_seconds()
        self._ours = processor_seconds(*self._roots)

    def others(self) -> float:
        """Their share, 0 to 1."""
        busy = _busy_seconds() - self._busy
        ours = processor_seconds(*self._roots) - self._ours
        return max(0.0, busy - ours) / ((time.monotonic() - self._started) * (os.cpu_count() or 1))


def _busy_seconds() -> float:
    """What all processors together have worked since the start of the machine."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, _lines("stat")[0].split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS


def resident_bytes(pid: int) -> int:
    return int((PROC / str(pid) / "statm").read_text().split()[1]) * PAGE


def _lines(name: str) -> list[str]:
    return (PROC / name).read_text().splitlines()
