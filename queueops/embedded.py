"""The Valkey that comes with the product: for development, tests and one machine, when REDIS_URL is unset.

It lives as long as any process of this folder needs it. Every process that uses it holds a shared lock on
`users.lock` (the kernel lets go of it however the process ends). A keeper (`queueops.keeper`) starts the server, starts
it again should it die, and stops it cleanly once nobody holds the lock. The keeper holds `server.lock`; when it was
killed, the next user starts another one, which takes over the server that went on.
"""

from __future__ import annotations

import fcntl
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

START_SECONDS = 60  # an append-only file of some gigabytes takes that long to load
POLL_SECONDS = 0.25

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
    if is_there(socket) and not _is_kept(folder):
        _keepers.append(_start_keeper(folder, socket))
    deadline = time.monotonic() + seconds
    while is_there(socket) or _is_kept(folder):
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
        return not try_lock(lock)


def _answers(socket: Path) -> bool:
    try:
        with client_of(socket) as client:
            return bool(client.ping())
    except (RedisError, OSError):
        return False


def is_there(socket: Path) -> bool:
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


def client_of(socket: Path, seconds: float = 2) -> Redis:
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
        [sys.executable, "-m", "queueops.keeper", str(folder), str(socket)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,  # not a file: what it has to say may be that the disk is full
        text=True,
        start_new_session=True,
        cwd=Path(__file__).resolve().parent.parent,
    )


def try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
