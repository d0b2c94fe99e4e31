"""`make run`'s command in a copy of the tree: everything starts, goes on, says what is wrong, and leaves nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings

from chatautodm.local import free_port

SECONDS = 60.0
FOREIGN = ("REDIS_URL", "DATABASE_URL", "GRAPH_API_URL", "INSTAGRAM_", "SECRET_KEY", "FIELD_ENCRYPTION_KEYS")
SENT = "This direct message went out:   “Here you go: https://example.com/offer”"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code as it is checked out, and nothing that a run has left there."""
    copy = tmp_path_factory.mktemp("tree") / "chatautodm"
    generated = shutil.ignore_patterns(".*", "var", "tests", "__pycache__")
    shutil.copytree(settings.BASE_DIR, copy, ignore=generated)
    return copy


class Run:
    """`manage.py run` in a folder, with nothing of the suite's own servers in its environment."""

    def __init__(self, tree: Path, port: int | None = None) -> None:
        self.tree = tree
        self.port = port or free_port()
        self.lines: list[str] = []
        env = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "run"],
            cwd=tree,
            env={**env, "DEBUG": "true", "PORT": str(self.port)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def until_line(self, end: str) -> None:
        """Read its output up to this line, which must come when it is written and not when the run ends."""
        watchdog = threading.Timer(SECONDS, self.process.kill)
        watchdog.start()
        try:
            for line in self.process.stdout:
                self.lines.append(line)
                if end in line:
                    return
        finally:
            watchdog.cancel()
        pytest.fail("".join(self.lines))

    def rest(self) -> str:
        """All it said, once it has ended."""
        rest, _ = self.process.communicate(timeout=SECONDS)
        self.lines.append(rest)
        return "".join(self.lines)

    def children(self) -> dict[str, int]:
        """The process ids of its parts, and that of the keeper of Valkey, by name."""
        words = {"fake_graph": "fake_graph", "rqworker": "worker", "gunicorn": "web", "queueops.keeper": "keeper"}
        return {
            name: pid
            for pid, command in descendants(self.process.pid)
            for word, name in words.items()
            if word in command and parent(pid) == self.process.pid
        }

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.communicate(timeout=SECONDS)


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])


def descendants(root: int) -> list[tuple[int, str]]:
    """Every process below this one, and its command line."""
    found: dict[int, tuple[int, str]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found[int(folder.name)] = (parent(int(folder.name)), (folder / "cmdline").read_text().replace("\0", " "))
        except (OSError, UnicodeDecodeError):
            continue
    below = {root}
    while more := {pid for pid, (above, _) in found.items() if above in below} - below:
        below |= more
    return [(pid, found[pid][1]) for pid in below - {root}]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


@pytest.fixture
def start(tree: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def start(port: int | None = None) -> Run:
        runs.append(Run(tree, port))
        return runs[-1]

    yield start
    for run in runs:
        run.stop()


def events(tree: Path) -> int:
    with sqlite3.connect(tree / "var" / "chatautodm.sqlite3", timeout=SECONDS) as connection:
        count: int = connection.execute("select count(*) from automations_event where outcome = 'sent'").fetchone()[0]
    connection.close()
    return count


def received(run: Run) -> int:
    """The ledger's count of what came in, by the command beside the run."""
    done = subprocess.run(
        [sys.executable, "manage.py", "queue_status", "--json"],
        cwd=run.tree,
        env={**os.environ, "DEBUG": "true", "REDIS_URL": "", "DATABASE_URL": ""},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    count: int = json.loads(done.stdout)["ledger"]["received"]
    return count


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_the_sample_and_stops_everything_in_order_and_the_next_run_goes_on(start, tree, number):
    had = events(tree) if (tree / "var").exists() else 0
    run = start()
    run.until_line("Ctrl-C stops everything")
    assert SENT in "".join(run.lines)
    assert re.search(r"Taken in \d+\.\d ms, waited \d+\.\d ms, processed in \d+\.\d ms\.", "".join(run.lines))
    assert (events(tree), received(run)) == (had + 1, had + 1)
    processes = descendants(run.process.pid)
    assert set(run.children()) == {"fake_graph", "worker", "web", "keeper"}

    run.process.send_signal(number)
    said = run.rest()

    assert run.process.returncode == 0
    assert said.endswith("  stopping web\n  stopping worker\n  stopping fake_graph\n  Valkey stopped\nstopped\n")
    assert [command for pid, command in processes if is_running(pid)] == []
    assert not (tree / "var" / "valkey" / "valkey.sock").exists()


def test_what_stands_in_its_way_is_said_in_one_line(start):
    run = start()
    run.until_line("Valkey ready")

    beside = start()
    said = beside.rest()
    assert beside.process.returncode == 1
    assert said == (
        f"CommandError: `make run` already runs in this folder (process {run.process.pid}, "
        f"http://127.0.0.1:{run.port}). Stop it with Ctrl-C there first.\n"
    )

    run.until_line("Ctrl-C stops everything")
    run.process.send_signal(signal.SIGINT)
    run.rest()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        other = start(port)
        said = other.rest()
    assert other.process.returncode == 1
    assert said.startswith(f"CommandError: Port {port} is taken by another program. Choose another one: PORT=")
    assert said.count("\n") == 1


def test_a_part_that_dies_ends_the_run_with_its_name_and_log(start, tree):
    run = start()
    run.until_line("Ctrl-C stops everything")
    processes = descendants(run.process.pid)

    os.kill(run.children()["worker"], signal.SIGKILL)

    said = run.rest()
    assert run.process.returncode == 1
    assert re.search(
        rf"CommandError: worker stopped by itself \(exit code -9\): .* \(log: {tree}/var/log/worker\.log\)\n$", said
    )
    assert [command for pid, command in processes if is_running(pid)] == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
def test_a_run_that_is_killed_leaves_no_process_and_loses_nothing(start, tree):
    run = start()
    run.until_line("Ctrl-C stops everything")
    processes = descendants(run.process.pid)
    before = events(tree)

    run.process.kill()
    run.process.wait(SECONDS)

    until(lambda: not any(is_running(pid) for pid, _ in processes))
    again = start()
    again.until_line("Ctrl-C stops everything")
    assert events(tree) == before + 1
    assert SENT in "".join(again.lines)
