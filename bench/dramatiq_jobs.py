"""Dramatiq's side of the worker benchmark; runs in an environment of its own. `-m bench.dramatiq_jobs COUNT` fills."""

from __future__ import annotations

import os
import sys

import dramatiq  # type: ignore[import-not-found]
from dramatiq.brokers.redis import RedisBroker  # type: ignore[import-not-found]

from bench.jobs import noop_sync

PAYLOAD = {"kind": "message", "account": "17841456778752687", "person": "8422491661125971", "text": "link please"}

dramatiq.set_broker(RedisBroker(url=f"unix://{os.environ['VALKEY_SOCKET']}"))
noop = dramatiq.actor(noop_sync, actor_name="noop", max_retries=3)

if __name__ == "__main__":
    for _ in range(int(sys.argv[1])):
        noop.send(PAYLOAD)
