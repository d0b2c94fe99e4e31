"""The console after a busy month: every list, filter, search and page, asked as an operator's browser would.

Through Django's test client, in this process, logged in: the whole of the product but the web server. On PostgreSQL
with a million dead letters and five million events, then on SQLite with a tenth of that, in a process of its own.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from math import ceil

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client

from bench import console_asks, console_rows
from bench.results import Row
from bench.servers import ROOT, Servers
from queueops import cause_counts

TIMES = 20
# For the whole of one database; what is left over is asked fewer times, and says so.
SECONDS, QUICK_SECONDS = 100.0, 5.0
LETTERS = {"postgresql": 1_000_000, "sqlite": 100_000}
QUICK_SHARE = 100
# This module needs Django's settings to be there already.
ON_ITS_OWN = "import django; django.setup(); from bench import console; console.main()"
TARGET_MS = {"postgresql": 300.0, "sqlite": 1000.0}


def measure(servers: Servers, pairs: int, quick: bool) -> list[Row]:
    """The 95th percentile of each, the slowest first. pairs: unused, for there is no peer."""
    share, seconds = (QUICK_SHARE, QUICK_SECONDS) if quick else (1, SECONDS)
    call_command("migrate", verbosity=0)
    call_command("flush", interactive=False, verbosity=0)  # what other benchmarks have left
    rows = _rows("PostgreSQL", TARGET_MS["postgresql"], ask_all(LETTERS["postgresql"] // share, seconds))
    return rows + _rows("SQLite", TARGET_MS["sqlite"], _on_sqlite(servers, LETTERS["sqlite"] // share, seconds))


def _rows(database: str, target: float, took: dict[str, list[float]]) -> list[Row]:
    slowest = sorted(took.items(), key=lambda pair: percentile(pair[1]), reverse=True)
    return [
        Row(
            measure=f"{database}: {address}",
            unit="ms",
            ours=(percentile(times),),
            missing=f"{'reached' if percentile(times) < target else 'MISSED'} (p95 < {target:g} ms), {len(times)} x",
        )
        for address, times in slowest
    ]


def percentile(times: list[float], share: float = 0.95) -> float:
    return sorted(times)[ceil(len(times) * share) - 1]


def _on_sqlite(servers: Servers, letters: int, seconds: float) -> dict[str, list[float]]:
    environment = {**os.environ, "DATABASE_URL": f"sqlite:///{servers.folder / 'console.sqlite3'}"}
    command = [sys.executable, "-c", ON_ITS_OWN, str(letters), str(seconds)]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)  # noqa: S603 - our own
    found: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def ask_all(letters: int, seconds: float) -> dict[str, list[float]]:
    """Fill the database and ask everything for so long; milliseconds of each request, by address."""
    console_rows.fill(letters, int(time.time() * 1000))
    cause_counts.turn()  # as one of the workers does once a minute
    client = _operator()
    addresses = console_asks.addresses()
    for address in addresses:
        _open(client, address)  # what is read for the first time comes from the disk
    took: dict[str, list[float]] = {address: [] for address in addresses}
    for address in _rounds(addresses, seconds):
        took[address].append(_open(client, address))
    return took


def _rounds(addresses: list[str], seconds: float) -> Iterator[str]:
    """All of them in turn, TIMES times or until the time is over, whichever is sooner; once at least."""
    started = time.monotonic()
    for _ in range(TIMES):
        gc.collect()
        yield from addresses
        if time.monotonic() - started > seconds:
            return


def _operator() -> Client:
    user, _ = get_user_model().objects.get_or_create(username="bench", is_staff=True, is_superuser=True)
    # As behind the proxy that ends TLS.
    client = Client(SERVER_NAME="localhost", headers={"X-Forwarded-Proto": "https"})
    client.force_login(user)
    return client


def _open(client: Client, address: str) -> float:
    started = time.perf_counter()
    answer = client.get(address)
    took = (time.perf_counter() - started) * 1000
    if answer.status_code != 200:
        raise RuntimeError(f"{address} answered {answer.status_code}")
    return took


def main() -> None:
    """On the database of the environment, with so many dead letters, for so many seconds; JSON on the last line."""
    call_command("migrate", verbosity=0)
    sys.stdout.write(f"\n{json.dumps(ask_all(int(sys.argv[1]), float(sys.argv[2])))}\n")
