"""The embedded Valkey: the real server in a folder of its own, used and left by separate processes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from chatautodm.settings import valkey_socket

SECONDS = 20.0
USER = """
import sys
from pathlib import Path
from queueops import embedded
try:
    embedded.ensure(Path(sys.argv[1]), Path(sys.argv[2]))
except embedded.EmbeddedValkeyError as error:
    sys.exit(str(error))
print(*(keeper.pid for keeper in embedded._keepers), flush=True)
sys.stdin.read()
if sys.argv[3:]:
    print(embedded.wait_until_stopped(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])), flush=True)
"""


@dataclass
class Place:
    """A folder for the server's data, and the processes that were started on it."""

    folder: Path
    users: list[subprocess.Popen[str]] = field(default_factory=list)
    keepers: list[int] = field(default_factory=list)

    @property
    def socket(self) -> Path:
        return valkey_socket(self.folder)

    @property
    def log(self) -> str:
        return (self.folder / "valkey.log").read_text()

    def start_user(self, *arguments: str) -> subprocess.Popen[str]:
        """A process that uses the server until its standard input ends."""
        user = subprocess.Popen(
            [sys.executable, "-c", USER, str(self.folder), str(self.socket), *arguments],
            env={**os.environ, "PYTHONPATH": str(settings.BASE_DIR)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.users.append(user)
        return user

    def wait_for(self, user: subprocess.Popen[str]) -> list[int]:
        """Until it has its server; the keepers that it started for that."""
        line = user.stdout.readline()
        assert line, user.stderr.read()
        started = [int(pid) for pid in line.split()]
        self.keepers += started
        return started

    def user(self) -> subprocess.Popen[str]:
        user = self.start_user()
        self.wait_for(user)
        return user

    def ask(self) -> Redis:
        return Redis(unix_socket_path=str(self.socket), socket_timeout=SECONDS, retry=Retry(NoBackoff(), 0))

    def server_pid(self) -> int:
        with self.ask() as client:
            return int(client.info("server")["process_id"])

    def complaint(self) -> str:
        """What a process says that cannot have its server."""
        user = self.start_user()
        _, said = user.communicate(timeout=SECONDS)
        assert user.returncode == 1, said
        return said

    def wait_until_stopped(self) -> None:
        until(lambda: not self.answers() and not self.is_kept())

    def answers(self) -> bool:
        with self.ask() as client:
            try:
                return bool(client.ping())
            except RedisError:
                return False

    def is_kept(self) -> bool:
        with (self.folder / "server.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def clear(self) -> None:
        for user in self.users:
            user.kill()
            user.communicate(timeout=SECONDS)
        for keeper in self.keepers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(keeper, signal.SIGTERM)
        if self.folder.is_dir():
            self.wait_until_stopped()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def leave(user: subprocess.Popen[str]) -> str:
    """End it in the ordinary way; what it said last."""
    said, complaint = user.communicate(timeout=SECONDS)
    assert user.returncode == 0, complaint
    return said


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp("valkey"))
    yield place
    place.clear()


def test_one_server_starts_for_two_processes_and_ends_with_the_second(place: Place):
    first, second = place.start_user(), place.start_user()
    place.wait_for(first)
    place.wait_for(second)
    assert place.log.count("Valkey is starting") == 1
    with place.ask() as client:
        client.set("kept", "yes")

    leave(first)
    second.kill()  # its lock ends with it, however it ends
    place.wait_until_stopped()

    assert "Valkey is now ready to exit" in place.log
    assert not place.socket.exists()
    user = place.user()
    with place.ask() as client:
        assert client.get("kept") == b"yes"
        assert client.config_get("appendonly", "appendfsync") == {"appendonly": "yes", "appendfsync": "always"}
    leave(user)


def test_it_stays_while_one_process_uses_it_and_the_last_can_wait_for_its_end(place: Place):
    first, last = place.user(), place.start_user("20")
    place.wait_for(last)
    server = place.server_pid()
    leave(first)

    said = leave(place.start_user("2"))  # seconds, longer than the keeper waits for further users

    assert said.splitlines()[-1] == "False"
    assert place.server_pid() == server
    assert leave(last).strip() == "True"
    assert not place.answers()


def test_a_server_whose_keeper_was_killed_goes_on_and_is_taken_over_by_the_next_user(place: Place):
    first = place.start_user()
    (keeper,) = place.wait_for(first)
    server = place.server_pid()
    os.kill(keeper, signal.SIGKILL)
    until(lambda: not place.is_kept())
    assert place.server_pid() == server

    second = place.start_user()
    assert len(place.wait_for(second)) == 1
    until(place.is_kept)
    assert place.server_pid() == server

    leave(first)
    leave(second)
    place.wait_until_stopped()
    assert place.log.count("Valkey is starting") == 1
    assert "Valkey is now ready to exit" in place.log


def test_a_server_that_dies_is_started_again_with_what_it_had_answered(place: Place):
    user = place.user()
    with place.ask() as client:
        client.set("kept", "yes")
        before = client.info("stats")["total_connections_received"]
        until(lambda: client.info("stats")["total_connections_received"] >= before + 3)  # its keeper looks after it
    server = place.server_pid()

    os.kill(server, signal.SIGKILL)

    until(lambda: place.answers() and place.server_pid() != server)
    with place.ask() as client:
        assert client.get("kept") == b"yes"
    assert user.poll() is None


def test_a_path_too_long_for_a_socket_works(tmp_path: Path):
    place = Place(tmp_path / ("x" * 120) / "valkey")
    try:
        user = place.user()
        assert place.socket.is_relative_to("/tmp")
        assert place.server_pid()
        leave(user)
    finally:
        place.clear()


# --- One clear line ------------------------------------------------------------------------------------------------


def one_line(said: str) -> str:
    assert said.count("\n") == 1, said
    assert "REDIS_URL" in said
    return said


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path):
    (tmp_path / "var").write_text("a file where the folder should be")
    place = Place(tmp_path / "var" / "valkey")

    said = one_line(place.complaint())

    assert said.startswith(f"The embedded Valkey cannot use {place.folder}: Not a directory.")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path):
    with mounted(tmp_path, "ro"):
        assert "Read-only file system" in one_line(Place(tmp_path).complaint())


def test_damaged_data_is_one_line_that_says_what_is_damaged(place: Place):
    place.user()
    place.clear()
    (appended,) = (place.folder / "appendonlydir").glob("*.incr.aof")
    appended.write_bytes(b"no command of anybody's\r\n")

    said = one_line(place.complaint())

    assert "Bad file format reading the append only file" in said
    assert f"move {place.folder} away" in said


@pytest.mark.parametrize("size", ["4k", "8k"])  # too little for the log; enough for it, but not for the data
def test_a_full_disk_is_one_line(tmp_path: Path, size: str):
    with mounted(tmp_path, f"size={size}"):
        place = Place(tmp_path / "valkey")
        assert "No space left on device" in one_line(place.complaint())
        assert not place.is_kept()


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A file system of its own in the folder, or no test where only root may do that."""
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_second_process_does_not_wait_for_a_start_that_failed(place: Place):
    (place.folder / "appendonlydir").mkdir()
    (place.folder / "appendonlydir" / "appendonly.aof.manifest").write_text("no manifest\n")
    users = [place.start_user(), place.start_user()]

    said = [user.communicate(timeout=SECONDS)[1] for user in users]

    for line in said:
        assert "Invalid AOF manifest file format" in one_line(line)
