"""RQ's scheduler, which puts due retries back into their lanes; here it lives exactly as long as its worker."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from multiprocessing.process import BaseProcess

from redis.exceptions import RedisError
from rq.scheduler import RQScheduler

TELL_SECONDS = 0.2


class LaneScheduler(RQScheduler):
    """A process of its own beside the worker. One scheduler at a time has a lane, by RQ's lock in Redis."""

    def keep_alive(self) -> bool:
        """Start the process if none runs and a lane's lock is free, or was ours; whether it did. Raises RedisError."""
        if self._process is not None and self._process.is_alive():
            return False
        return bool(self.acquire_locks(auto_start=True))

    def start(self) -> BaseProcess:
        self._worker_pid = os.getpid()
        process: BaseProcess = super().start()
        return process

    def end(self) -> None:
        """Stop the process and wait for it.

        It is told until it is gone: in a process that was just forked the signal still meets its parent's handlers.
        """
        while self._process is not None and self._process.is_alive():
            self._process.terminate()
            self._process.join(timeout=TELL_SECONDS)

    def work(self) -> None:
        """Until it is told to stop, or its worker is gone, which RQ's own does not notice.

        RQ's own ends at the first error of Redis, and its locks keep every other from the lanes for a minute.
        """
        self._install_signal_handlers()
        while not self._stop_requested and os.getppid() == self._worker_pid:
            try:
                self._turn()
            except (RedisError, OSError) as error:
                self.log.warning("action=scheduler_waits error=%s", error)
            time.sleep(self.interval)
        with contextlib.suppress(RedisError, OSError):  # then its locks end by themselves
            self.stop()

    def _turn(self) -> None:
        self.register_birth()
        if self.should_reacquire_locks:
            self.acquire_locks()
        self.heartbeat()
        self.enqueue_scheduled_jobs()

    def _install_signal_handlers(self) -> None:
        """In the new process: signals that reach it must not wake the worker's loop, whose pipe it inherits."""
        signal.set_wakeup_fd(-1)
        super()._install_signal_handlers()
