"""The ledger against a model of it, whatever happens in whatever order: nothing is ever unexplained."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings
from django.utils import timezone
from hypothesis import HealthCheck
from hypothesis import settings as tuned
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from rq.serializers import JSONSerializer

from queueops import connections, deadletters, dispatch, inspection, ledger, moves, recovery
from queueops.errors import Reject
from queueops.jobs import Batch, Failure, Job, Lane
from queueops.models import DeadLetter
from queueops.rq_jobs import rq_now
from queueops.scheduler import LaneScheduler
from tests.queueops import jobs_for_tests as jobs

LANES = st.sampled_from(list(Lane))
EVENTS = st.sampled_from([f"event-{n}" for n in range(8)])
PLACES = ("waiting", "active", "retrying", "dead")
FUNC = f"{jobs.HERE}.note"


compared: list[int] = []  # how many jobs were somewhere, each time when the ledger was compared with the model


class LedgerMachine(RuleBasedStateMachine):
    """place: where each job is, by the model. held: executions of the living worker; stale: of dead ones."""

    def __init__(self) -> None:
        super().__init__()
        self.redis = connections.client()
        self.redis.flushall()
        DeadLetter.objects.all().delete()
        self.place: dict[str, str] = {}
        self.deaths: Counter[str] = Counter()
        self.attempts: Counter[str] = Counter()
        self.over: Counter[str] = Counter()
        self.seen: set[str] = set()
        self.held: dict[str, tuple[str, str]] = {}
        self.stale: dict[str, tuple[str, str]] = {}
        self.lives = 0
        self.begin_life()

    def begin_life(self) -> None:
        self.lives += 1
        self.worker = f"worker-{self.lives}"
        self.redis.hset(f"rq:worker:{self.worker}", "alive_at", time.time() + 3600)

    def exchange(self, ended: list[tuple[Any, ...]], slots: int, number: int = 1):
        now = time.time()
        text = json.dumps(ended) if ended else ""
        prefix = f"{self.worker}-{self.redis.incr('executions')}-"
        return self.redis.eval(
            moves.EXCHANGE, 0, self.worker, rq_now(), now, now + 60, text, slots, "", "", prefix, number, "", *Lane
        )

    def at(self, place: str) -> list[str]:
        return sorted(name for name, where in self.place.items() if where == place)

    def finish(self, name: str, how: str) -> None:
        del self.place[name]
        self.over[how] += 1
        self.deaths.pop(name, None)
        self.attempts.pop(name, None)

    def write_letter(self, name: str, lane: str) -> None:
        failure = Failure(dead=True, at=timezone.now(), reason="It broke.", attempt=1)
        deadletters.write(name, FUNC, lane, [{}, {}], failure, Reject("It broke."))

    @rule(batch=st.lists(st.tuples(EVENTS, LANES), max_size=6), ignored=st.integers(0, 2))
    def take(self, batch, ignored):
        receipt = dispatch.dispatch_sync(
            Batch(
                jobs=tuple(Job(id=name, lane=lane, func=FUNC, payload={}) for name, lane in batch),
                ignored={"echo": ignored} if ignored else {},
            )
        )
        accepted = 0
        for name, _ in batch:
            if name in self.place or name in self.seen:
                self.over["duplicate"] += 1
            else:
                self.place[name] = "waiting"
                self.seen.add(name)
                accepted += 1
        self.over["ignored"] += ignored
        self.over["received"] += len(batch) + ignored
        assert (receipt.accepted, receipt.duplicate) == (accepted, len(batch) - accepted)

    @rule()
    def marks_expire(self):
        for name in self.seen:
            self.redis.delete(f"cad:seen:{name}")
        self.seen.clear()

    @rule(slots=st.integers(1, 5), number=st.integers(1, 20))
    def claim(self, slots, number):
        expected = min(slots, len(self.at("waiting")))
        _, _, rows = self.exchange([], slots, number)
        assert len(rows) == expected
        for lane, name, execution, *_ in rows:
            assert self.place[name.decode()] == "waiting"
            self.place[name.decode()] = "active"
            self.held[name.decode()] = (lane.decode(), execution.decode())

    @precondition(lambda self: self.held)
    @rule(data=st.data(), how=st.sampled_from(["completed", "duplicate", "retry", "dead", "stopped", "back"]))
    def settle(self, data, how):
        names = data.draw(st.lists(st.sampled_from(sorted(self.held)), unique=True, min_size=1))
        rows = []
        for name in names:
            lane, execution = self.held.pop(name)
            attempts = self.attempts[name] + 1
            detail = str(time.time() + 3600) if how == "retry" else "It broke."
            rows.append((how, lane, name, execution, 1, detail, attempts))
            if how in ("dead", "stopped"):
                self.write_letter(name, lane)
            if how in ("completed", "duplicate"):
                self.finish(name, how)
            else:
                self.place[name] = {"retry": "retrying", "back": "waiting"}.get(how, "dead")
                self.attempts[name] = attempts if how != "back" else attempts - 1
        assert self.exchange(rows, 0)[0] == 0

    @precondition(lambda self: self.stale)
    @rule(how=st.sampled_from(["completed", "retry", "dead", "back"]))
    def a_dead_one_settles_too_late(self, how):
        rows = [(how, lane, name, execution, 1, "1", 1) for name, (lane, execution) in self.stale.items()]
        assert self.exchange(rows, 0)[0] == len(rows)

    @rule()
    def retries_are_due(self):
        for lane in Lane:
            members: Any = self.redis.zrange(f"rq:scheduled:{lane}", 0, -1)
            for member in members:
                self.redis.zadd(f"rq:scheduled:{lane}", {member: 1})
        scheduler = LaneScheduler(list(Lane), connection=self.redis, serializer=JSONSerializer)
        scheduler.acquire_locks()
        scheduler.enqueue_scheduled_jobs()
        scheduler.release_locks()
        for name in self.at("retrying"):
            self.place[name] = "waiting"

    @rule()
    def the_worker_is_killed_and_its_jobs_recovered(self):
        self.redis.delete(f"rq:worker:{self.worker}")
        self.begin_life()
        found = recovery.recover(self.redis)
        back = given_up = 0
        for name in self.held:
            self.deaths[name] += 1
            if self.deaths[name] > 1:
                self.attempts[name] += 1
            if self.deaths[name] == 1:
                self.place[name] = "waiting"
            elif self.attempts[name] >= settings.QUEUE_MAX_ATTEMPTS:
                self.place[name] = "dead"
                given_up += 1
                continue
            else:
                self.place[name] = "retrying"
            back += 1
        self.stale = self.held
        self.held = {}
        assert (sum(found.back.values()), sum(found.given_up.values())) == (back, given_up)

    @rule(data=st.data(), again=st.booleans())
    @precondition(lambda self: self.at("dead"))
    def an_operator_acts(self, data, again):
        name = data.draw(st.sampled_from(self.at("dead")))
        letters = list(DeadLetter.objects.dead().filter(event=name))
        if again:
            assert deadletters.retry(letters) == 1
            self.place[name] = "waiting"
            self.deaths.pop(name, None)
            self.attempts.pop(name, None)
        else:
            assert deadletters.discard(letters) == 1
            self.finish(name, "discarded")

    @rule(data=st.data(), lane=LANES, status=st.sampled_from(["queued", "started", "scheduled", "failed"]))
    @precondition(lambda self: self.place)
    def somebody_does_damage_and_the_queue_is_inspected(self, data, lane, status):
        name = data.draw(st.sampled_from(sorted(self.place)))
        where = self.place[name]
        if data.draw(st.booleans(), label="an entry too many"):
            self.redis.rpush(f"rq:queue:{lane}", name)
        elif data.draw(st.booleans(), label="an entry without a job"):
            self.redis.rpush(f"rq:queue:{lane}", "nobody")
        else:
            self.redis.hset(f"rq:job:{name}", "status", status)
        inspection.walk(self.redis, repair=True)
        assert self.place[name] == where

    @invariant()
    def the_ledger_is_the_models(self):
        compared.append(len(self.place))
        counts = ledger.whole(self.redis)
        assert counts.unexplained == 0
        for place in PLACES:
            assert counts.total(place) == len(self.at(place)), place
        for name in ledger.COUNTED:
            assert getattr(counts, name) == self.over[name], name

    @invariant()
    def an_inspection_finds_nothing(self):
        assert inspection.walk(self.redis, repair=False) == []


@pytest.mark.usefixtures("threads", "redis")
@override_settings(QUEUE_DEDUP_WINDOW_SECONDS=3600)
def test_the_ledger_agrees_with_the_model_after_every_step():
    logging.getLogger("queueops").setLevel(logging.CRITICAL)
    try:
        run_state_machine_as_test(
            LedgerMachine,
            settings=tuned(
                max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )
    finally:
        logging.getLogger("queueops").setLevel(logging.NOTSET)
    assert max(compared) > 1, "no two jobs were ever anywhere at the same time"
    assert len(compared) > 100
