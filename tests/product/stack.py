"""The whole product as separate processes on the suite's servers: web server, worker, fake Graph API."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
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
from queueops import connections, ledger, switches
from queueops.models import Alert, Cause, DeadLetter, FallbackCount, Operation, Rollup
from tests.servers import APP_SECRET
from webhooks.signature import sign

ROOT = Path(__file__).resolve().parent.parent.parent
# What the answer of a lost connection had claimed comes back after a minute, and a round of upkeep.
SECONDS = 150.0


class Parts:
    """The processes by name: `graph`, `worker`, `web`."""

    def __init__(self, commands: dict[str, list[str]], environment: dict[str, str], folder: Path) -> None:
        self._commands = commands
        self._environment = environment
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                self._commands[name], cwd=ROOT, env=self._environment, stdout=log, stderr=subprocess.STDOUT
            )

    def kill(self, name: str) -> None:
        self._processes[name].kill()
        self._processes.pop(name).wait()

    def stop(self, name: str) -> int:
        """Tell it to stop, and wait; the exit code."""
        self._processes[name].terminate()
        try:
            return self._processes[name].wait(SECONDS)
        finally:
            self.kill(name)

    def said(self, name: str) -> str:
        """What it has logged so far."""
        return (self._folder / f"{name}.log").read_text(errors="replace")

    def end(self) -> None:
        for name in reversed(list(self._processes)):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.stop(name)

    def wait(self, ready: Callable[[], bool]) -> None:
        """Until then; fails with what a part said that ended by itself."""
        deadline = time.monotonic() + SECONDS
        while not ready():
            for name, process in self._processes.items():
                assert process.poll() is None, (self._folder / f"{name}.log").read_text(errors="replace")[-3000:]
            assert time.monotonic() < deadline, "not ready in time"
            time.sleep(0.02)


@dataclass(frozen=True)
class Stack:
    """Where its parts listen, and the parts themselves."""

    web: str
    graph: str
    parts: Parts

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
            counts = ledger.whole(redis)
            if counts.total("waiting") + counts.total("active") + (counts.fallback or 0) == 0:
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
        connections.client().delete(switches.KEY)  # a test that broke off may have left a lane paused
        self.settle()
        FallbackCount.objects.all().delete()
        redis = connections.client()
        gone = [key for key in map(as_text, redis.keys("*")) if not key.startswith("rq:worker")]
        if gone:
            redis.delete(*gone)
        Event.objects.all().delete()
        Contact.objects.all().delete()
        for model in (DeadLetter, Operation, Cause, Alert, Rollup):
            model.objects.all().delete()
        _json(urllib.request.Request(f"{self.graph}/_fake/received", method="DELETE"))
        self.mend()

    def restart(self, name: str) -> None:
        """Start `web` or `worker` again, and wait until it is there."""
        seen = set(connections.client().smembers("rq:workers"))
        self.parts.start(name)
        if name == "web":
            self.parts.wait(lambda: _up(f"{self.web}/healthz"))
        else:
            self.parts.wait(lambda: bool(set(connections.client().smembers("rq:workers")) - seen))

    def fault(self, **fault: Any) -> None:
        """Script the fake Graph API."""
        body = json.dumps([fault]).encode()
        status, answer = _json(urllib.request.Request(f"{self.graph}/_fake/faults", data=body, method="POST"))
        assert status < 300, answer

    def mend(self) -> None:
        """Let the fake Graph API answer everybody again."""
        _json(urllib.request.Request(f"{self.graph}/_fake/faults", method="DELETE"))


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
        # Some tests send more in a minute than an account may in an hour.
        "PACING_PRIVATE_REPLIES_PER_HOUR": "0",
        "PACING_MESSAGES_PER_SECOND": "0",
        **env,
    }
    connections.client().flushall()
    FallbackCount.objects.all().delete()
    demo.seed()
    manage = [sys.executable, "-W", "ignore", "manage.py"]
    commands = {
        "graph": [*manage, "fake_graph", "--port", graph.rsplit(":", 1)[1], "--latency-ms", "1"],
        "worker": [*manage, "rqworker", *settings.LANES],
        "web": [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py"],
    }
    with tempfile.TemporaryDirectory(prefix="cad-stack-") as folder:
        parts = Parts(commands, environment, Path(folder))
        try:
            for name in commands:
                parts.start(name)
            parts.wait(lambda: _up(f"{graph}/_fake/received"))
            parts.wait(lambda: _up(f"{web}/healthz"))
            parts.wait(lambda: bool(connections.client().exists("rq:workers")))
            yield Stack(web, graph, parts)
        finally:
            parts.end()
    Automation.objects.all().delete()
    Event.objects.all().delete()
    Workspace.objects.all().delete()
    DeadLetter.objects.all().delete()
    FallbackCount.objects.all().delete()


def _up(url: str) -> bool:
    try:
        return _json(urllib.request.Request(url))[0] == 200
    except (urllib.error.URLError, OSError, json.JSONDecodeError) as error:
        return isinstance(error, json.JSONDecodeError)
