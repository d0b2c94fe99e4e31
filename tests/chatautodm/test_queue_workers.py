"""QUEUE_WORKERS: workers beside the web server, as real processes of a real gunicorn."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chatautodm import supervisor
from chatautodm.local import free_port
from chatautodm.supervisor import Supervisor, backoff
from queueops import connections
from tests.chatautodm.test_web_server import lines_until, start

SECONDS = 30.0
STARTED = re.compile(r"action=queue_worker_started number=(\d+) pid=(\d+)")


def wait_until(condition: Callable[[], bool], said: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"it did not come about. {said()}"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


class Server:
    """A gunicorn with workers beside it, and all that it says."""

    def __init__(self, folder: Path, **environment: str) -> None:
        bind = f"127.0.0.1:{free_port()}"
        given = {"WEB_BIND": bind, "WEB_CONCURRENCY": "2", "LOG_FORMAT": "console", **environment}
        self.process = start(folder, **given)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        self.lines.extend(iter(self.process.stderr.readline, ""))

    def _seen(self, pattern: str) -> list[re.Match[str]]:
        return [found for line in self.lines if (found := re.search(pattern, line))]

    def wait_for(self, pattern: str, n: int = 1) -> list[re.Match[str]]:
        wait_until(lambda: len(self._seen(pattern)) >= n, lambda: f"{pattern}: {''.join(self.lines)[-3000:]}")
        return self._seen(pattern)

    def workers(self, n: int) -> list[int]:
        return [int(found[2]) for found in self.wait_for(STARTED.pattern, n)]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        assert not self._reader.is_alive(), "somebody of it still runs"
        self.process.stderr.close()


@pytest.fixture
def serve(tmp_path: Path, redis) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def serve(**environment: str) -> Server:
        servers.append(Server(tmp_path, **environment))
        return servers[-1]

    yield serve
    for server in servers:
        server.end()


def registered(n: int) -> bool:
    """Whether so many have signed on and beat, which they do once they listen to signals."""
    keys = connections.client().smembers("rq:workers")
    return len(keys) == n and all(connections.client().hexists(key, "alive_at") for key in keys)


def test_so_many_workers_run_beside_the_web_server_and_end_before_it_does(serve):
    server = serve(QUEUE_WORKERS="2")
    pids = server.workers(2)
    wait_until(lambda: registered(2))
    server.wait_for("startup complete", 2)

    server.end()

    said = "".join(server.lines)
    assert server.process.returncode == 0, said
    assert len(server.workers(2)) == 2, "more were started than asked for"
    assert registered(0), "they were not given the time to sign off"
    assert not any(is_alive(pid) for pid in pids)
    assert said.index("Shutting down: Master") < said.index("queue_workers_stopping") < said.index("workers_stopped")


def test_a_killed_worker_is_replaced_and_a_reload_starts_it_anew(serve):
    server = serve(QUEUE_WORKERS="1", WEB_CONCURRENCY="1")
    [first] = server.workers(1)
    wait_until(lambda: registered(1))
    server.wait_for("startup complete")

    os.kill(first, signal.SIGKILL)
    second = server.workers(2)[1]
    assert server.wait_for(f"queue_worker_died number=1 pid={first} .*restart_in=1")
    wait_until(lambda: connections.client().scard("rq:workers") >= 2)  # the dead one's registration outlives it

    server.process.send_signal(signal.SIGHUP)
    server.wait_for(f"queue_worker_ended number=1 pid={second}")
    third = server.workers(3)[2]
    assert is_alive(third)


def test_a_killed_web_server_leaves_no_process_behind(serve):
    server = serve(QUEUE_WORKERS="1", WEB_CONCURRENCY="1")
    [pid] = server.workers(1)
    wait_until(lambda: registered(1))
    server.wait_for("startup complete")

    server.process.kill()

    wait_until(lambda: not is_alive(pid))
    wait_until(lambda: registered(0))  # told to stop in order, and not cut off
    server.end()  # returns when nobody holds its standard error any more
    assert not is_alive(server.process.pid)
    assert server.workers(1) == [pid], "another was started meanwhile"


def test_without_it_there_is_none(tmp_path: Path, redis):
    server = start(tmp_path, WEB_BIND=f"127.0.0.1:{free_port()}", WEB_CONCURRENCY="1", QUEUE_WORKERS="0")
    lines = lines_until(server, "startup complete")
    server.terminate()
    _, rest = server.communicate(timeout=SECONDS)
    assert "queue_worker" not in "".join(lines) + rest


# --- The supervisor alone --------------------------------------------------------------------------------------------


def test_who_dies_young_is_started_again_later_and_later():
    assert [backoff(deaths) for deaths in (1, 2, 3, 6, 7, 1000)] == [1, 2, 4, 32, 60, 60]


def test_a_worker_that_cannot_start_does_not_spin(tmp_path: Path, caplog, monkeypatch):
    monkeypatch.setattr(supervisor, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(supervisor, "BACKOFF_SECONDS", 0.02)
    caplog.set_level("INFO", "gunicorn.error")
    started = tmp_path / "started"
    command = [sys.executable, "-S", "-c", f"open({str(started)!r}, 'a').write('x'); raise SystemExit(3)"]
    keeper = Supervisor(command, 1, str(tmp_path))
    with caplog.at_level("INFO", "gunicorn.error"):
        keeper.start()
        wait_until(lambda: caplog.text.count("action=queue_worker_died") >= 3)
        keeper.stop()
    waits = re.findall(r"restart_in=(\d+)", caplog.text)
    assert waits[:3] == ["0", "0", "0"]  # 0.02, 0.04, 0.08
    assert len(started.read_text()) == caplog.text.count("action=queue_worker_started")


def test_a_worker_that_does_not_end_is_ended_with_all_it_started(tmp_path: Path, monkeypatch, caplog):
    monkeypatch.setattr(supervisor, "STOP_SECONDS", 0.2)
    deaf = "import signal, subprocess, sys; signal.signal(15, signal.SIG_IGN);"
    deaf += (
        "child = subprocess.Popen(['sleep', '60']); print(child.pid, file=open('child', 'w'), flush=True); child.wait()"
    )
    keeper = Supervisor([sys.executable, "-S", "-c", deaf], 1, str(tmp_path))
    keeper.start()
    child = tmp_path / "child"
    wait_until(lambda: child.exists() and child.read_text().strip() != "")
    [pid] = keeper.pids()

    keeper.stop()

    assert keeper.pids() == []
    assert not is_alive(pid)
    wait_until(lambda: not is_alive(int(child.read_text())))


def test_a_command_that_is_not_there_is_said_and_tried_again(tmp_path: Path, caplog):
    keeper = Supervisor(["/nowhere/worker"], 1, str(tmp_path))
    keeper.start()
    wait_until(lambda: "action=queue_worker_not_started" in caplog.text)
    keeper.stop()
    assert "No such file" in caplog.text


FORKED_MEANWHILE = """
import os, signal, threading, time
from chatautodm.supervisor import Supervisor

begun = threading.Event()

def take_long():
    if threading.current_thread() is not threading.main_thread():
        begun.set()
        time.sleep(0.2)

os.register_at_fork(before=take_long)
keeper = Supervisor(["sleep", "60"], 1, "/")
keeper.start()
begun.wait()
web = os.fork()
if web == 0:
    signal.pause()
deadline = time.monotonic() + 5
while not keeper.pids() and time.monotonic() < deadline:
    time.sleep(0.01)
print("watched" if keeper.pids() else "not watched")
os.kill(web, signal.SIGKILL)
keeper.stop()
"""


def test_a_web_process_that_is_forked_while_a_worker_starts_does_not_hold_the_start_up():
    command = [sys.executable, "-c", FORKED_MEANWHILE]
    said = subprocess.run(command, check=False, capture_output=True, text=True, timeout=SECONDS)
    assert (said.stdout, said.stderr, said.returncode) == ("watched\n", "", 0)


def test_a_process_that_only_inherited_it_stops_nobody(tmp_path: Path):
    keeper = Supervisor(["sleep", "60"], 1, str(tmp_path))
    keeper.start()
    wait_until(lambda: len(keeper.pids()) == 1)
    [pid] = keeper.pids()
    code = subprocess.run([sys.executable, "-c", ""], check=False).returncode  # as any child of the master
    keeper._master += 1
    keeper.stop()
    keeper._master -= 1
    assert (code, is_alive(pid)) == (0, True)
    keeper.stop()
    assert not is_alive(pid)
