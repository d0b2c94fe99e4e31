"""The ledger against a model of both tiers: whatever takes, works, moves and is killed, every event is counted once."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections import Counter
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.test import override_settings
from django.utils import timezone
from hypothesis import HealthCheck
from hypothesis import settings as tuned
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from queueops import connections, dispatch, drain, fallback, leases, ledger, moves
from queueops.jobs import Batch, Job, Lane
from queueops.models import FallbackCount, FallbackJob
from queueops.rq_jobs import rq_now
from queueops.runner import Claimed, Settled

EVENTS = st.lists(st.tuples(st.sampled_from([f"event-{n}" for n in range(8)]), st.sampled_from(list(Lane))), max_size=5)
FUNC = "tests.queueops.jobs_for_tests.note"
LATER = str(time.time() + 7200)
# Where a mover is killed, and what it has done by then: rows are marked, in Redis as well, or deleted.
KILLS = {("_put", False): "marked", ("_put", True): "in both", ("_delete", False): "in both", ("_delete", True): "gone"}

in_both: list[int] = []  # how many rows Redis had as well, each time when the ledger was compared with the model


class Killed(Exception):
    """A mover's process ended here."""


def batch(events: list[tuple[str, Lane]], ignored: int) -> Batch:
    jobs = tuple(Job(id=name, lane=lane, func=FUNC, payload={}) for name, lane in events)
    return Batch(jobs=jobs, ignored={"echo": ignored} if ignored else {})


class TiersMachine(RuleBasedStateMachine):
    """redis, rows: what each tier has, and in which state; `dead` rows are also in their mover's hands.

    marked, in_both: rows that a killed mover left so. held: what a worker has of the database; stale: what one had that
    was taken for dead.
    """

    def __init__(self) -> None:
        super().__init__()
        self.client = connections.client()
        self.client.flushall()
        for model in (FallbackJob, FallbackCount):
            model.objects.all().delete()
        self.redis: dict[str, str] = {}
        self.rows: dict[str, str] = {}
        self.seen: set[str] = set()
        self.marked: set[str] = set()
        self.in_both: set[str] = set()
        self.held: list[Claimed] = []
        self.stale: list[Claimed] = []
        self.over: Counter[str] = Counter()

    # --- Taking ------------------------------------------------------------------------------------------------------

    @rule(events=EVENTS, ignored=st.integers(0, 2))
    def redis_takes(self, events, ignored):
        dispatch.dispatch_sync(batch(events, ignored))
        self._received(len(events), ignored)
        for name, _ in events:
            if self._is_known(name):
                self.over["duplicate"] += 1
            else:
                self._put(name, "waiting")

    @rule(events=EVENTS, ignored=st.integers(0, 2))
    def the_database_takes(self, events, ignored):
        taken = batch(events, ignored)
        fallback.write([fallback.Intake(batch=taken, rows=fallback.rows(taken.jobs))])
        self._received(len(events), ignored)
        for name, _ in events:
            if name in self.rows:
                self.over["duplicate"] += 1
            else:
                self.rows[name] = "waiting"

    def _received(self, events: int, ignored: int) -> None:
        self.over["received"] += events + ignored
        self.over["ignored"] += ignored

    def _is_known(self, name: str) -> bool:
        return name in self.redis or name in self.seen

    def _put(self, name: str, place: str) -> None:
        self.redis[name] = place
        self.seen.add(name)

    @rule()
    def marks_expire(self):
        for name in self.seen:
            self.client.delete(f"cad:seen:{name}")
        self.seen.clear()

    # --- Working -----------------------------------------------------------------------------------------------------

    @rule(slots=st.integers(1, 4), how=st.sampled_from(["completed", "duplicate", "back"]))
    def redis_is_worked_from(self, slots, how):
        found = self._exchange([], slots)
        self._exchange([(how, lane, name, execution, 1, "", 1) for lane, name, execution in found], 0)
        for _, name, _ in found:
            assert self.redis[name] == "waiting"
            if how != "back":
                del self.redis[name]
                self.over[how] += 1

    def _exchange(self, ended: list[tuple[Any, ...]], slots: int) -> list[tuple[str, str, str]]:
        now, text = time.time(), json.dumps(ended) if ended else ""
        prefix = f"execution-{self.client.incr('executions')}-"
        rows = self.client.eval(
            moves.EXCHANGE, 0, "w", rq_now(), now, now + 60, text, slots, "", "", prefix, 1, "", *Lane
        )
        return [(lane.decode(), name.decode(), execution.decode()) for lane, name, execution, *_ in rows[2]]

    @rule(slots=st.integers(1, 4))
    def rows_are_claimed(self, slots):
        claimed = leases.claim(list(Lane), slots)
        assert len(claimed) == min(slots, len(self._rows_in("waiting")))
        for one in claimed:
            assert self.rows[one.id] == "waiting"
            self.rows[one.id] = "held"
        self.held += claimed

    @precondition(lambda self: self.held)
    @rule(how=st.sampled_from(["completed", "duplicate", "retry", "dead", "back"]))
    def rows_are_settled(self, how):
        ended, self.held = self.held, []
        detail = {"retry": LATER, "dead": "It broke."}.get(how, "")
        assert leases.settle([Settled(one, how, detail, 1) for one in ended]) == 0
        for one in ended:
            if how in ("completed", "duplicate"):
                del self.rows[one.id]
                self.over[how] += 1
            else:
                self.rows[one.id] = {"retry": "retrying", "dead": "dead"}.get(how, "waiting")

    @precondition(lambda self: self.held)
    @rule()
    def a_worker_is_taken_for_dead(self):
        FallbackJob.objects.filter(leased_by__gt="").update(lease_until=timezone.now() - timedelta(seconds=1))
        self.stale, self.held = self.held, []
        for one in self.stale:
            self.rows[one.id] = "waiting"

    @precondition(lambda self: self.stale and not self._rows_in("waiting"))
    @rule(how=st.sampled_from(["completed", "retry", "dead"]))
    def it_settles_too_late(self, how):
        assert leases.settle([Settled(one, how, LATER, 1) for one in self.stale]) == len(self.stale)

    def _rows_in(self, state: str) -> list[str]:
        return [name for name, now in self.rows.items() if now == state and name not in self.marked | self.in_both]

    # --- Moving ------------------------------------------------------------------------------------------------------

    @rule()
    def what_is_left_is_moved(self):
        drain.drain(self.client)
        self._moved(self._to_move())

    @rule(where=st.sampled_from(sorted(KILLS)))
    def a_mover_is_killed(self, where):
        moving = self._to_move()
        with contextlib.suppress(Killed), killed(*where):
            drain.drain(self.client)
        self.client.delete("cad:draining")  # it ends by itself
        done = KILLS[where] if moving else "nothing"
        if done == "marked":
            self.marked |= moving - self.in_both
        elif done == "in both":
            self._come_to_redis(moving)
            self.in_both |= moving
            self.marked -= moving
        elif done == "gone":
            self._moved(moving)

    def _to_move(self) -> set[str]:
        return {name for name, state in self.rows.items() if state != "held"}

    def _moved(self, moving: set[str]) -> None:
        self._come_to_redis(moving)
        for name in moving:
            del self.rows[name]
        self.marked -= moving
        self.in_both -= moving

    def _come_to_redis(self, moving: set[str]) -> None:
        for name in moving - self.in_both:
            if self._is_known(name):
                self.over["duplicate"] += 1
            else:
                self._put(name, self.rows[name])

    # --- The ledger --------------------------------------------------------------------------------------------------

    @invariant()
    def the_ledger_is_the_models(self):
        in_both.append(len(self.in_both))
        counts = ledger.whole(self.client)
        rows = Counter(state == "dead" for name, state in self.rows.items() if name not in self.in_both)
        places = Counter(self.redis.values())
        assert counts.unexplained == 0
        assert (counts.fallback, counts.total("dead")) == (rows[False], rows[True] + places["dead"])
        assert (counts.total("waiting"), counts.total("retrying")) == (places["waiting"], places["retrying"])
        for name in ledger.COUNTED:
            assert getattr(counts, name) == self.over[name], name


@contextlib.contextmanager
def killed(step: str, is_done: bool) -> Any:
    real = getattr(drain, step)

    def killed_there(*args: Any) -> None:
        if is_done:
            real(*args)
        raise Killed

    with mock.patch.object(drain, step, killed_there):
        yield


@pytest.mark.usefixtures("threads", "redis")
@override_settings(QUEUE_DEDUP_WINDOW_SECONDS=3600)
def test_the_ledger_of_both_tiers_agrees_with_the_model_after_every_step():
    logging.getLogger("queueops").setLevel(logging.CRITICAL)
    try:
        run_state_machine_as_test(
            TiersMachine,
            settings=tuned(
                max_examples=12,
                stateful_step_count=30,
                deadline=None,
                derandomize=True,  # so that what is asked for below is the same each time
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        logging.getLogger("queueops").setLevel(logging.NOTSET)
    assert max(in_both) > 0, "no mover was ever killed with rows in both tiers"
