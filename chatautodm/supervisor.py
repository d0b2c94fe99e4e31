"""QUEUE_WORKERS: worker processes that the web server's master starts, watches, restarts and stops beside itself.

One thread in gunicorn's master does it (see gunicorn.conf.py), so that there are as many workers as QUEUE_WORKERS says
however many web processes serve. In steps, ten times a second:

1. Say of each worker that ended how it ended; start it again after a back-off that grows while it dies young.
2. Told to reload: one worker after the other is asked to end, and starts anew with the new code.
3. Told to stop: ask all to end, wait, end what is left after STOP_SECONDS.

Should the master be killed, the kernel tells the workers to stop in order (PR_SET_PDEATHSIG, Linux).
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from functools import partial

from chatautodm.local import stop_with_parent

logger = logging.getLogger("gunicorn.error")

LOOK_SECONDS = 0.1
# More than a worker gives its jobs in flight (queueops.worker.STOP_SECONDS).
STOP_SECONDS = 40.0
BACKOFF_SECONDS = 1.0
BACKOFF_MAX_SECONDS = 60.0
# Who lived so long has not died of what it was started with.
PROVEN_SECONDS = 60.0

# Held while a worker is started and while anybody forks. A web process that is forked between the two steps of a start
# inherits the pipe on which `Popen` waits for the second, and keeps it open: nothing would be watched until it ends.
# Of the same thread's own fork, within a start, it is taken a second time.
_FORKING = threading.RLock()
os.register_at_fork(before=_FORKING.acquire, after_in_parent=_FORKING.release, after_in_child=_FORKING.release)


def backoff(deaths: int) -> float:
    """Seconds until the start after so many early deaths in a row: 1, 2, 4 … 60."""
    return min(BACKOFF_SECONDS * 2.0 ** min(deaths - 1, 10), BACKOFF_MAX_SECONDS)


@dataclass(slots=True)
class _Place:
    """One of the n workers: its process now, how often in a row it died young, and when it is to be started."""

    number: int
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    deaths: int = 0
    asked_to_end: bool = False


@dataclass(slots=True)
class Supervisor:
    """Keeps `count` processes of `command` running in `folder`, from `start()` to `stop()`."""

    command: list[str]
    count: int
    folder: str
    _places: list[_Place] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _reloading: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _master: int = 0

    def start(self) -> None:
        """Start the workers; nothing when there are to be none."""
        if self.count == 0 or self._thread is not None:
            return
        self._master = os.getpid()
        self._places = [_Place(number) for number in range(1, self.count + 1)]
        # A daemon: a master that dies of an error must not wait for it. The thread's end tells the workers to stop.
        self._thread = threading.Thread(target=self._watch, name="queue-workers", daemon=True)
        self._thread.start()

    def reload(self) -> None:
        """Have every worker end in order and start anew, one after the other."""
        self._reloading.set()

    def stop(self) -> None:
        """Ask the workers to end, and return when none is left. Nothing in a process that only inherited this."""
        if self._thread is None or self._master != os.getpid():
            return
        self._stopping.set()
        self._thread.join()

    def pids(self) -> list[int]:
        """Of the workers that run now."""
        return [place.process.pid for place in self._places if place.process is not None]

    # --- The thread --------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        to_reload: list[_Place] = []
        while not self._stopping.wait(LOOK_SECONDS):
            if self._reloading.is_set():
                self._reloading.clear()
                to_reload = list(self._places)
            self._look(time.monotonic())
            if to_reload and not any(place.asked_to_end for place in self._places):
                _ask_to_end(to_reload.pop(0))
        self._end_all()

    def _look(self, now: float) -> None:
        for place in self._places:
            if place.process is not None and place.process.poll() is not None:
                _note_end(place, now)
            if place.process is None and now >= place.start_at:
                self._start(place, now)

    def _start(self, place: _Place, now: float) -> None:
        try:
            with _FORKING:
                place.process = subprocess.Popen(  # noqa: S603 - our own command
                    self.command,
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C reaches the master only, which stops the workers after the web
                    preexec_fn=partial(_before_exec, self._master),
                )
        except OSError as error:
            place.deaths += 1
            place.start_at = now + backoff(place.deaths)
            logger.error("action=queue_worker_not_started number=%d error=%s", place.number, error)
            return
        place.started_at = now
        logger.info("action=queue_worker_started number=%d pid=%d", place.number, place.process.pid)

    def _end_all(self) -> None:
        running = [place for place in self._places if place.process is not None]
        logger.info("action=queue_workers_stopping n=%d", len(running))
        for place in running:
            _ask_to_end(place)
        deadline = time.monotonic() + STOP_SECONDS
        for place in running:
            _wait_or_kill(place, deadline)
        logger.info("action=queue_workers_stopped")


def _before_exec(master: int) -> None:
    stop_with_parent()
    if os.getppid() != master:
        os._exit(1)  # it ended before the kernel knew of our wish


def _ask_to_end(place: _Place) -> None:
    if place.process is None:
        return
    place.asked_to_end = True
    with contextlib.suppress(ProcessLookupError):
        place.process.terminate()


def _note_end(place: _Place, now: float) -> None:
    if place.process is None:
        return
    lived = now - place.started_at
    pid, asked = place.process.pid, place.asked_to_end
    place.process, place.asked_to_end = None, False
    if asked:
        place.deaths, place.start_at = 0, now
        logger.info("action=queue_worker_ended number=%d pid=%d", place.number, pid)
        return
    place.deaths = 1 if lived >= PROVEN_SECONDS else place.deaths + 1
    place.start_at = now + backoff(place.deaths)
    # Without its exit code: gunicorn, which waits for all children, may have taken it.
    logger.warning(
        "action=queue_worker_died number=%d pid=%d lived=%.1f restart_in=%.0f",
        place.number,
        pid,
        lived,
        backoff(place.deaths),
    )


def _wait_or_kill(place: _Place, deadline: float) -> None:
    process = place.process
    if process is None:
        return
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        logger.error("action=queue_worker_killed number=%d pid=%d after=%.0f", place.number, process.pid, STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # with what it started and left behind; nobody who ended in order
    process.wait()
    place.process = None
