"""The whole product as separate processes on the suite's servers: web server, worker, fake Graph API."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.db import connection
from rq.utils import as_text

from automations import demo
from automations.models import Automation, Contact, Event, Workspace
from chatautodm.local import free_port
from queueops import connections, ledger
from queueops.models import DeadLetter
from tests.servers import APP_SECRET
from webhooks.signature import sign

ROOT = Path(__file__).resolve().parent.parent.parent
SECONDS = 30.0


@dataclass(frozen=True)
class Stack:
    """Where its parts listen."""

    web: str
    graph: str

    def post(self, body: bytes, signature: str | None = None) -> tuple[int, dict[str, Any]]:
        """Deliver a body as Meta does; status and answer."""
        request = urllib.request.Request(
            f"{self.web}/api/webhooks/instagram",
            data=body,
            headers={
                "X-Hub-Signature-256": sign(body, APP_SECRET) if signature is None else signature,
                "Content-Type": "application/json",
            },
        )
        return _json(request)

    def calls(self) -> list[tuple[str, dict[str, Any]]]:
        """What the Graph API received, oldest first: path without the version, and body."""
        _, received = _json(urllib.request.Request(f"{self.graph}/_fake/received"))
        calls = [(one["path"].split("/", 2)[2], one["body"]) for one in received]
        return calls[::-1] if received and received[0]["at"] > received[-1]["at"] else calls

    def settle(self) -> ledger.Ledger:
        """Wait until nothing moves any more."""
        redis = connections.client()
        deadline = time.monotonic() + SECONDS
        while True:
            counts = ledger.read(redis)
            if counts.total("waiting") + counts.total("active") == 0:
                return counts
            if time.monotonic() > deadline:
                raise AssertionError(f"still moving after {SECONDS} s: {counts}")

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for what another process is about to do."""
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, "it did not come about"
            time.sleep(0.02)

    def forget(self) -> None:
        """Start anew: accounts and rules stay, everything that happened goes."""
        self.settle()
        redis = connections.client()
        gone = [key for key in map(as_text, redis.keys("*")) if not key.startswith("rq:worker")]
        if gone:
            redis.delete(*gone)
        Event.objects.all().delete()
        Contact.objects.all().delete()
        DeadLetter.objects.all().delete()
        _json(urllib.request.Request(f"{self.graph}/_fake/received", method="DELETE"))
        _json(urllib.request.Request(f"{self.graph}/_fake/faults", method="DELETE"))

    def fault(self, **fault: Any) -> None:
        """Script the fake Graph API."""
        body = json.dumps([fault]).encode()
        status, answer = _json(urllib.request.Request(f"{self.graph}/_fake/faults", data=body, method="POST"))
        assert status < 300, answer


def _json(request: urllib.request.Request) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            content = response.read()
            return response.status, json.loads(content) if content else None
    except urllib.error.HTTPError as error:
        content = error.read()
        return error.code, json.loads(content) if content else None


def database_url() -> str:
    """The test database, for other processes."""
    database = connection.settings_dict
    return f"postgres://{database['USER']}:@{quote(database['HOST'], safe='')}/{database['NAME']}"


@contextlib.contextmanager
def running(**env: str) -> Iterator[Stack]:
    """Start everything on a seeded database, and end it by process id."""
    web, graph = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
    environment = {
        **os.environ,
        "DATABASE_URL": database_url(),
        "GRAPH_API_URL": graph,
        "WEB_BIND": web.removeprefix("http://"),
        "WEB_CONCURRENCY": "1",
        "QUEUE_BACKOFF_SECONDS": "0",
        **env,
    }
    connections.client().flushall()
    demo.seed()
    manage = [sys.executable, "-W", "ignore", "manage.py"]
    commands = [
        [*manage, "fake_graph", "--port", graph.rsplit(":", 1)[1], "--latency-ms", "1"],
        [*manage, "rqworker", *settings.LANES],
        [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py"],
    ]
    with contextlib.ExitStack() as cleanup:
        processes: list[Any] = []
        for command in commands:
            log = cleanup.enter_context((Path("/tmp") / f"cad-stack-{os.getpid()}-{len(processes)}.log").open("w+b"))
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
            processes.append((process, log))
        cleanup.callback(_end, processes)
        _wait(lambda: _up(f"{graph}/_fake/received"), processes)
        _wait(lambda: _up(f"{web}/healthz"), processes)
        _wait(lambda: bool(connections.client().exists("rq:workers")), processes)
        yield Stack(web, graph)
    Automation.objects.all().delete()
    Event.objects.all().delete()
    Workspace.objects.all().delete()
    DeadLetter.objects.all().delete()


def _up(url: str) -> bool:
    try:
        return _json(urllib.request.Request(url))[0] == 200
    except (urllib.error.URLError, OSError, json.JSONDecodeError) as error:
        return isinstance(error, json.JSONDecodeError)


def _wait(ready: Callable[[], bool], processes: list[Any]) -> None:
    deadline = time.monotonic() + SECONDS
    while not ready():
        for process, log in processes:
            log.seek(0)
            assert process.poll() is None, log.read().decode(errors="replace")[-3000:]
        assert time.monotonic() < deadline, "not ready in time"
        time.sleep(0.02)


def _end(processes: list[Any]) -> None:
    for process, _ in reversed(processes):
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for _, log in processes:
        Path(log.name).unlink()
