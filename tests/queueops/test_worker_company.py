"""RQ's own tools see the truth while our worker runs, and RQ's own workers may work beside it on the same lanes."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import django_rq
import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django_rq.settings import get_queues_list
from rq import SimpleWorker, Worker
from rq.suspension import resume, suspend

from queueops import ledger
from queueops.jobs import Lane
from tests.people import superuser
from tests.queueops import jobs_for_tests as jobs
from tests.queueops.conftest import until

INDEX = {queue["name"]: number for number, queue in enumerate(get_queues_list())}


def states(redis) -> list[str]:
    return [redis.hget(key, "state").decode() for key in redis.smembers("rq:workers")]


@pytest.fixture
def page(threads):
    """The text of a page of django-rq: page("started_jobs", "high")."""
    client = Client()
    client.force_login(superuser())

    def page(name, lane="high", *more):
        response = client.get(reverse(f"admin:django_rq_{name}", args=[INDEX[lane], *more]))
        assert response.status_code == 200
        return response.content.decode()

    return page


def test_django_rqs_pages_show_where_each_job_is(redis, put, page, while_working):
    put("hold", "in-flight")
    put("fail", "to-be-retried", lane=Lane.DEFAULT)
    put("refuse", "refused", lane=Lane.LOW)
    finished = django_rq.get_queue("default").enqueue(jobs.add, 2, 3)

    def act():
        until(lambda: ledger.read(redis).total("dead") == 1 and finished.get_status() == "finished")
        suspend(redis)
        until(lambda: "suspended" in states(redis), "its suspension")
        put("note", "waiting")
        until(lambda: "in-flight" in page("started_jobs"), "its execution's hash")
        assert finished.fetch("in-flight", connection=redis).last_heartbeat is not None
        assert "waiting" in page("jobs")
        assert "to-be-retried" in page("scheduled_jobs", "default")
        assert "refused" in page("failed_jobs", "low")
        assert finished.id in page("finished_jobs", "default")
        (key,) = redis.smembers("rq:workers")
        name = key.decode().removeprefix("rq:worker:")
        assert name in page("workers")
        assert "suspended" in page("workers")
        assert "in-flight" not in page("jobs")
        resume(redis)
        jobs.released.set()
        until(lambda: ledger.read(redis).completed == 2, "their end")
        assert "in-flight" not in page("started_jobs")
        assert "waiting" not in page("jobs")

    while_working(act)


def test_its_stop_button_stops_a_job_of_ours(redis, put, page, while_working):
    put("hold", "in-flight")
    client = Client()
    client.force_login(superuser("grace"))

    def act():
        until(lambda: jobs.ran, "the job")
        client.post(reverse("admin:django_rq_stop_job", args=[INDEX["high"], "in-flight"]))
        until(lambda: ledger.read(redis).total("dead") == 1, "its end")
        assert "in-flight" in page("failed_jobs")

    while_working(act)


def test_rq_info_lists_the_worker_and_what_waits(redis, put, while_working):
    put("hold", "in-flight")
    said = []

    def act():
        until(lambda: jobs.ran, "the job")
        put("note", "waiting")
        # A heartbeat that crossed the claim may have said "idle" once more.
        until(lambda: redis.hget(next(iter(redis.smembers("rq:workers"))), "state") == b"busy", "its state")
        rq = str(Path(sys.executable).with_name("rq"))
        command = [rq, "info", "--raw", "--url", settings.QUEUE_REDIS_URL]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        said.append(done.stdout)
        jobs.released.set()

    while_working(act, concurrency=1)

    lines = said[0].splitlines()
    assert any(line.startswith("queue high 1") for line in lines)
    assert any(line.startswith("worker") and "busy" in line for line in lines)


@pytest.mark.parametrize("stock", [SimpleWorker, Worker])
def test_a_stock_worker_may_work_beside_it(redis, put, threads, while_working, stock):
    ours = [f"ours-{n}" for n in range(12)]
    put("note", *ours, lane=Lane.LOW, seconds=0.002)
    queue = django_rq.get_queue("low")
    theirs = [queue.enqueue(jobs.add, n, n) for n in range(12)]
    rq = str(Path(sys.executable).with_name("rq"))
    command = [rq, "worker", "--url", settings.QUEUE_REDIS_URL, "--worker-class", f"rq.{stock.__name__}", "low"]
    beside = subprocess.Popen(
        [*command, "--serializer", "rq.serializers.JSONSerializer", "--burst"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while_working(
            lambda: until(
                lambda: (
                    all(job.get_status() == "finished" for job in theirs)
                    and not any(redis.exists(f"rq:job:{name}") for name in ours)
                    and beside.poll() is not None
                ),
                "the end of all",
            ),
            concurrency=2,
        )
    finally:
        beside.kill()
        beside.wait()

    assert [job.return_value() for job in theirs] == [2 * n for n in range(12)]
    assert redis.zcard("rq:wip:low") == redis.zcard("rq:failed:low") == 0


def test_a_job_due_later_runs_when_it_is_due(redis, while_working):
    job = django_rq.get_queue("low").enqueue_in(timedelta(seconds=0), jobs.add, 2, 3)

    while_working(lambda: until(lambda: job.get_status() == "finished", "its end"), with_scheduler=True)

    assert job.return_value() == 5
