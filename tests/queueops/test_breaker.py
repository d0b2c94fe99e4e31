"""Once Redis has failed nobody asks it until a probe says that it is back."""

from __future__ import annotations

import threading

import pytest

from queueops import breaker
from tests.queueops import outages


def test_it_stays_open_until_a_probe_succeeds():
    answers = iter([False, False, True])
    probed = threading.Event()

    def probe() -> bool:
        answer = next(answers)
        if answer:
            probed.set()
        return answer

    one = breaker.Breaker(probe, every=0.001)
    assert not one.is_open

    one.open("gone")
    assert probed.wait(outages.SECONDS)
    outages.until(lambda: not one.is_open, "closed by its probe")
    assert next(answers, None) is None


def test_it_says_once_that_redis_is_away_and_once_that_it_is_back(caplog):
    one = breaker.Breaker(probe=lambda: False, every=3600.0)
    for _ in range(3):
        one.open("gone")
    for _ in range(2):
        one.close()

    said = [record.getMessage() for record in caplog.records if record.name == "queueops.breaker"]
    assert said == ["action=redis_away reason=gone", "action=redis_back"]


@pytest.mark.parametrize(
    ("trouble", "mend"),
    [
        (lambda valkey: valkey.kill(), lambda valkey: valkey.start()),
        (lambda valkey: valkey.freeze(), lambda valkey: valkey.thaw()),
        (
            lambda valkey: valkey.client.config_set("maxmemory", 1),
            lambda valkey: valkey.client.config_set("maxmemory", 0),
        ),
        (
            lambda valkey: valkey.client.replicaof("127.0.0.1", "1"),
            lambda valkey: valkey.client.replicaof("NO", "ONE"),
        ),
        (lambda valkey: valkey.lose_disk(), lambda valkey: valkey.regain_disk()),
    ],
    ids=["killed", "frozen", "out of memory", "a replica", "without its disk"],
)
def test_the_probe_tells_whether_redis_can_work(valkey, trouble, mend):
    assert breaker.answers()
    trouble(valkey)
    assert not breaker.answers()
    mend(valkey)
    assert outages.until(breaker.answers, "an answer after it was mended")
