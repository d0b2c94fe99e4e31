"""The master of a watched Valkey is killed under load: what was acknowledged is there, and everybody goes on."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from queueops import breaker, connections, dispatch, drain, tiers
from queueops.dispatch import Unavailable
from queueops.jobs import Batch, Job, Lane
from queueops.models import FallbackJob
from queueops.replicas import TooFewReplicas
from tests.product.stack import running
from tests.product.test_bad_days import Meta, answers, message, outcomes
from tests.product.test_traffic import made
from tests.queueops.outages import talking_to
from tests.queueops.watched import Watched, watched


@pytest.fixture(scope="module")
def cluster() -> Iterator[Watched]:
    folder = Path(tempfile.mkdtemp(prefix="cad-", dir="/tmp"))
    with watched(folder) as servers:
        yield servers
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def servers(cluster: Watched, settings: Any) -> Iterator[Watched]:
    """All of them up, empty, and this process' clients there; two replicas must have what is acknowledged."""
    settings.REDIS_REPLICAS_TO_WAIT_FOR = 2
    with talking_to(cluster.url):
        cluster.until(connections.client().flushall)  # just after a failover, the one asked may be the master before
        yield cluster
        cluster.mend()
        tiers.breaker.close()


def batch(name: str) -> Batch:
    return Batch(jobs=(Job(id=name, lane=Lane.LOW, func="tests.unheard_of", payload={"name": name}),))


async def take_until(enough: asyncio.Event, take: Any, name: str) -> set[str]:
    """One after the other; the names of those that were acknowledged."""
    acknowledged: set[str] = set()
    n = 0
    while not enough.is_set():
        n += 1
        try:
            await take(batch(f"{name}-{n}"))
        except Unavailable:
            await asyncio.sleep(0.01)
        else:
            acknowledged.add(f"{name}-{n}")
    return acknowledged


def test_nothing_that_was_acknowledged_is_lost_when_the_master_is_killed(servers, run):
    async def through_a_failover() -> set[str]:
        enough = asyncio.Event()
        senders = [asyncio.create_task(take_until(enough, dispatch.dispatch, str(n))) for n in range(20)]
        old = await asyncio.to_thread(servers.master)
        await asyncio.to_thread(servers.until, lambda: connections.client().llen("rq:queue:low") > 200)
        await asyncio.to_thread(servers.kill, old)
        await asyncio.to_thread(servers.until, lambda: servers.has_new_master(old))
        await asyncio.to_thread(servers.mend)
        before = await asyncio.to_thread(connections.client().llen, "rq:queue:low")
        await asyncio.to_thread(servers.until, lambda: connections.client().llen("rq:queue:low") > before)
        enough.set()
        return set().union(*await asyncio.gather(*senders))

    acknowledged = run(through_a_failover())

    there = {key.decode() for key in connections.client().lrange("rq:queue:low", 0, -1)}
    assert len(acknowledged) > 180  # each of the 20 may have had one under way
    assert acknowledged - there == set()


@pytest.mark.usefixtures("threads")
def test_what_too_few_replicas_have_is_kept_in_the_database_and_moves_back_with_them(servers, run):
    master = servers.master()
    servers.kill(next(port for port in servers.servers if port != master))

    with pytest.raises(Unavailable, match="1 of 2 replicas had it within 100 ms"):
        run(dispatch.dispatch(batch("a")))
    with pytest.raises(Unavailable, match="1 of 2 replicas"):
        dispatch.dispatch_sync(batch("b"))
    assert not breaker.answers()
    assert breaker.is_writable()
    assert run(tiers.dispatch(batch("c"))).accepted == 1
    with pytest.raises(TooFewReplicas):
        drain.drain(connections.client())
    assert FallbackJob.objects.get().job == "c"

    servers.mend()
    servers.until(breaker.answers)
    assert drain.drain(connections.client()) == 1
    assert not FallbackJob.objects.exists()
    assert run(dispatch.dispatch(batch("d"))).accepted == 1
    assert connections.client().lrange("rq:queue:low", 0, -1) == [b"a", b"b", b"c", b"d"]


def test_a_connection_to_a_master_that_became_a_replica_is_given_up(valkey, run):
    async def go() -> None:
        await dispatch.dispatch(batch("before"))
        valkey.client.replicaof("127.0.0.1", 1)
        opened = valkey.client.info("stats")["total_connections_received"]
        with pytest.raises(Unavailable, match="READONLY"):
            await dispatch.dispatch(batch("meanwhile"))
        valkey.client.replicaof("NO", "ONE")
        await dispatch.dispatch(batch("after"))
        assert valkey.client.info("stats")["total_connections_received"] == opened + 1

    run(go())
    assert valkey.client.lrange("rq:queue:low", 0, -1) == [b"before", b"after"]


def test_web_server_and_worker_go_on_by_themselves(servers, django_db_setup, django_db_blocker):
    environment = {"REDIS_URL": servers.url, "REDIS_REPLICAS_TO_WAIT_FOR": "2"}
    with django_db_blocker.unblock(), running(**environment) as stack:
        meta = Meta(stack, range(100))
        meta.start()
        stack.wait_until(lambda: meta.delivered > 30)
        old = servers.master()
        servers.kill(old)
        servers.until(lambda: servers.has_new_master(old))
        servers.mend()
        meta.join()
        stack.wait_until(lambda: outcomes() == Counter(sent=100))
        assert made(stack) == answers(range(100))

        # A retry comes back by RQ's scheduler, a process with a connection of its own.
        stack.fault(fault="transient1", times=1)
        servers.until(lambda: stack.post(message(100))[0] == 200)
        stack.wait_until(lambda: outcomes() == Counter(sent=101))
        servers.until(lambda: stack.settle().unexplained == 0)
