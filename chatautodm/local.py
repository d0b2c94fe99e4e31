"""Everything on one machine: web server, worker and fake Graph API as children of this process.

They are started in order and stopped in the opposite one: first the web server, so that nothing new comes in, then the
worker, which finishes what is in flight. Should this process be killed, the kernel tells the children to stop, too.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

STOP_SECONDS = 40.0
PR_SET_PDEATHSIG = 1
# Loaded here: between fork and exec nothing may be, beside other threads.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
MAX_PORT = 65_535


class LocalRunError(RuntimeError):
    """Why the run cannot start or go on, in one line, with the fix."""


@dataclass(frozen=True, slots=True)
class Child:
    """A running part; its output goes to `log`."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


@contextlib.contextmanager
def alone(path: Path) -> Iterator[IO[str]]:
    """Hold the lock of this folder's run. Raises LocalRunError when another run has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            who = lock.read().strip() or "starting"
            raise LocalRunError(
                f"`make run` already runs in this folder ({who}). Stop it with Ctrl-C there first."
            ) from error
        yield lock


def note(lock: IO[str], text: str) -> None:
    """Leave a line in the lock file for whoever finds it taken."""
    lock.seek(0)
    lock.truncate()
    lock.write(text)
    lock.flush()


def check_port(port: int) -> None:
    """Raises LocalRunError when something listens there already, or nothing can."""
    if port > MAX_PORT:
        raise LocalRunError(f"PORT={port} must be at most {MAX_PORT}; the default is 8000.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            why = (
                "is taken by another program"
                if error.errno == errno.EADDRINUSE
                else f"cannot be used: {error.strerror}"
            )
            raise LocalRunError(f"Port {port} {why}. Choose another one: PORT={free_port()} make run") from error


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start(name: str, command: list[str], env: Mapping[str, str], log_dir: Path) -> Child:
    """Start a part in a session of its own: Ctrl-C reaches only this process, which stops the parts in order.

    Raises OSError, also when the log cannot be written.
    """
    log_dir.mkdir(parents=True, exist_ok=True)
    log = log_dir / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own commands
            command,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=stop_with_parent,
        )
    return Child(name, process, log)


def stop_with_parent() -> None:
    """For `preexec_fn`: the child is told to end when the thread that started it does, however that happens."""
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def stop(child: Child) -> None:
    """Ask it to end, and wait; after STOP_SECONDS end it. Whatever it started and left behind ends with it."""
    if child.process.poll() is None:
        child.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.process.pid, signal.SIGKILL)  # its group, which nobody leaves who ends in order
    child.process.wait()
