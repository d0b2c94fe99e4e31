"""A worker says at its start what its Redis may lose."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from queueops.jobs import Lane
from tests.product.stack import database_url
from tests.queueops import outages


@pytest.mark.django_db
def test_a_worker_says_at_its_start_what_may_be_lost(valkey: outages.OwnValkey):
    valkey.client.config_set("maxmemory-policy", "allkeys-lru")

    worker = subprocess.run(
        [sys.executable, "manage.py", "rqworker", *Lane, "--burst"],
        env={**os.environ, "REDIS_URL": valkey.url, "DATABASE_URL": database_url()},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert worker.returncode == 0, worker.stderr
    assert "queueops.W005" in worker.stderr
    assert "throws away waiting webhooks" in worker.stderr
