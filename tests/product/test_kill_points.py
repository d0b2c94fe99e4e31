"""A worker that is killed at any await of claim, run, confirm and complete loses nothing and sends nothing twice.

The awaits are walked one by one: each event has a worker of its own, a forked process that ends as by `kill -9` at its
n-th stop, just before it waits or just after it was woken, or right before or after a commit. One worker more then
finishes what they left behind.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import traceback
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from typing import Any
from unittest import mock

import django_rq
import orjson
import pytest
from django import db
from django.test import override_settings

from automations import demo, records
from automations.events import Comment, Event
from automations.fake_graph import FakeGraph
from automations.models import Delivery
from automations.models import Event as EventRow
from automations.task_paths import PROCESS_EVENT
from chatautodm.local import free_port
from queueops import claims, connections, database, dispatch, ledger, recovery, runner, slots, upkeep
from queueops.jobs import Batch, Job, Lane
from tests.product.stack import Stack
from tests.product.test_payload_calls import SHOP

KILLED = 9
AT_LEAST = 50  # stops, or this test does not look where it should
AT_MOST = 300


class Fuse:
    """Ends the process at its n-th stop; never, for 0."""

    def __init__(self, stops: int) -> None:
        self._left = stops

    def stop(self) -> None:
        self._left -= 1
        if self._left == 0:
            os._exit(KILLED)

    def walked(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The coroutine function, with a stop on either side of each of its awaits."""

        async def walked(*args: Any, **kwargs: Any) -> Any:
            return await Steps(function(*args, **kwargs), self.stop)

        return walked


class Steps:
    """Awaits the coroutine, and calls `stop` whenever it begins or ends to wait."""

    def __init__(self, coroutine: Any, stop: Callable[[], None]) -> None:
        self._inner = coroutine.__await__()
        self._stop = stop

    def __await__(self) -> Generator[Any, Any, Any]:
        step, value = self._inner.send, None
        while True:
            try:
                waits_for = step(value)
            except StopIteration as end:
                return end.value
            self._stop()
            try:
                step, value = self._inner.send, (yield waits_for)
            except BaseException as error:  # noqa: BLE001 - whatever the loop throws in
                step, value = self._inner.throw, error
            self._stop()


def in_a_process(work: Callable[[], None]) -> int:
    """Fork, and do it there; the process's id."""
    db.connections.close_all()
    database.close()
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    except BaseException:  # noqa: BLE001 - nothing may reach the parent's code
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def worker_with(fuse: Fuse) -> None:
    async def nothing(*args: Any) -> None:
        """Others' jobs stay where they are."""

    with (
        mock.patch.object(claims.Claims, "exchange", fuse.walked(claims.Claims.exchange)),
        mock.patch.object(slots, "run_untimed", fuse.walked(runner.run_untimed)),
        mock.patch.object(records, "start", fuse.walked(records.start)),
        mock.patch.object(records, "advance", fuse.walked(records.advance)),
        mock.patch.object(upkeep.Upkeep, "maintenance", nothing),
    ):
        django_rq.get_worker(*Lane).work(burst=True, with_scheduler=False, logging_level="ERROR")


def run_a_worker(stops: int = 0) -> bool:
    """Whether it was killed."""
    _, status = os.waitpid(in_a_process(lambda: worker_with(Fuse(stops))), 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, KILLED)
    return code == KILLED


def is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def graph(threads: None) -> Iterator[Stack]:
    """A fake Graph API in a process of its own, for one that is only asked what it received."""
    port = free_port()

    async def serve() -> None:
        await FakeGraph().start(port)
        await asyncio.Event().wait()

    pid = in_a_process(lambda: asyncio.run(serve()))
    try:
        while not is_open(port):
            assert os.waitpid(pid, os.WNOHANG) == (0, 0)
        with override_settings(GRAPH_API_URL=f"http://127.0.0.1:{port}"):
            yield Stack("", f"http://127.0.0.1:{port}", mock.Mock())
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def comment(n: int) -> Event:
    """One that is answered by two calls: a private reply and a public one."""
    who = {"person": f"84224{n:08d}", "username": "maria.example"}
    return Comment(account=SHOP, source_id=f"1790{n:08d}", at_ms=None, text="link", **who)


def take(event: Event) -> None:
    job = Job(id=event.key, lane=Lane.HIGH, func=PROCESS_EVENT, payload=event.as_payload())
    assert dispatch.dispatch_sync(Batch(jobs=(job,))).accepted == 1


def made(graph: Stack) -> Counter[str]:
    """Calls by the event they are of."""
    calls: Counter[str] = Counter()
    for path, body in graph.calls():
        recipient = path.removesuffix("/replies") if path.endswith("/replies") else orjson.dumps(body["recipient"])
        calls[f"{recipient!r} {path.rpartition('/')[2]}"] += 1
    return calls


def test_a_worker_may_be_killed_at_any_await(redis, graph):
    demo.seed()
    stops = 0
    aside: list[Any] = []
    is_killed: Any = True
    while is_killed and stops < AT_MOST:
        stops += 1
        take(comment(stops))
        # One that was not killed, and yet has not finished its event, met something else on its way.
        is_killed = run_a_worker(stops) or redis.exists(f"rq:job:{comment(stops).key}")
        aside += redis.lpop("rq:queue:high", 1) or []  # an event whose worker never came to its claim
    assert AT_LEAST < stops < AT_MOST

    for job in aside:
        redis.rpush("rq:queue:high", job)
    recovery.recover(redis)
    assert not run_a_worker()

    counts = ledger.whole(connections.client())
    assert (counts.received, counts.completed, counts.unexplained) == (stops, stops, 0)
    assert max(made(graph).values()) == 1
    outcomes = dict(EventRow.objects.values_list("key", "outcome"))
    assert sorted(outcomes) == sorted(comment(n).key for n in range(1, stops + 1))
    assert set(outcomes.values()) == {"sent", "unconfirmed"}
    deliveries = Counter(Delivery.objects.values_list("status", flat=True))
    assert set(deliveries) == {"sent", "unconfirmed"}
    assert deliveries["sent"] <= made(graph).total() <= deliveries.total()
