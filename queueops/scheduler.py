"""RQ's scheduler, which puts due retries back into their lanes; here it ends with the worker that started it."""

from __future__ import annotations

import os
from multiprocessing.process import BaseProcess

from rq.scheduler import RQScheduler


class LaneScheduler(RQScheduler):
    """A process of its own beside the worker. One scheduler at a time has a lane, by RQ's lock in Redis."""

    def start(self) -> BaseProcess:
        self._worker_pid = os.getpid()
        process: BaseProcess = super().start()
        return process

    def heartbeat(self) -> None:
        """Called once a second. RQ's own goes on for ever, locks and all, when its worker was killed."""
        if os.getppid() != self._worker_pid:
            self.request_stop()
        super().heartbeat()
