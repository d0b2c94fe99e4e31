"""A Redis that neither answers nor closes its connections: workers wait for it for a stated time, and no longer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from queueops import ledger, tally, tiers
from queueops.breaker import Breaker
from queueops.claims import ANSWER_SECONDS
from queueops.jobs import Batch, Job, Lane
from tests.product.stack import database_url
from tests.queueops import outages

pytestmark = pytest.mark.usefixtures("threads")

NOTE = "tests.queueops.jobs_for_tests.note"


@pytest.fixture(autouse=True)
def _breaker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A new one, which only the test closes."""
    breaker = Breaker(probe=lambda: False, every=3600.0)
    monkeypatch.setattr(tiers, "breaker", breaker)
    yield
    breaker.close()


@pytest.fixture
def log(valkey: outages.OwnValkey, tmp_path: Path) -> Iterator[Path]:
    """Of a worker on the test's own Valkey."""
    path = tmp_path / "worker.log"
    with path.open("wb") as written:
        worker = subprocess.Popen(
            [sys.executable, "manage.py", "rqworker", *Lane],
            env={**os.environ, "REDIS_URL": valkey.url, "DATABASE_URL": database_url()},
            stdout=written,
            stderr=written,
        )
    yield path
    worker.kill()
    worker.wait()


def test_a_worker_beside_a_frozen_redis_goes_over_to_the_database_and_back(valkey, run, log):
    def take(name: str) -> None:
        run(tiers.dispatch(Batch(jobs=(Job(id=name, lane=Lane.HIGH, func=NOTE, payload={"name": name}),))))

    take("first")
    outages.until(lambda: ledger.read(valkey.client).completed == 1, "the first job, from Redis")

    valkey.freeze()  # an idle worker looks every second: an exchange is, or will be, under way
    take("second")
    outages.until(lambda: tally.read().counts["completed"] == 1, "the second, from the database")
    outages.until(lambda: f"did not answer within {ANSWER_SECONDS:g} s" in log.read_text(), "its line in the log")

    valkey.thaw()
    tiers.breaker.close()
    take("third")
    outages.until(lambda: ledger.read(valkey.client).completed == 2, "the third, from Redis again")
    # Redis took the second as well, when it went on.
    outages.until(lambda: ledger.read(valkey.client).total("waiting") == 0, "the end of what Redis had taken")
    counts = ledger.whole(valkey.client)
    assert (counts.received - counts.duplicate, counts.completed, counts.unexplained) == (3, 3, 0)
