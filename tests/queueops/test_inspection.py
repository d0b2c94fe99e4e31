"""Whatever was done to the lanes by hand: each disagreement is found, named, and put right once."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO

import django_rq
import pytest
from django import db
from django.core.management import call_command
from django.utils import timezone

from queueops import inspection, ledger, moves
from queueops.inspection import Finding
from queueops.jobs import Lane
from queueops.models import DeadLetter
from queueops.rq_jobs import rq_now
from tests.queueops import jobs_for_tests as jobs

pytestmark = pytest.mark.usefixtures("threads")


def claim(redis, slots: int = 100, vouched: float = 60) -> None:
    now = time.time()
    redis.eval(moves.EXCHANGE, 0, "w", rq_now(), now, now + vouched, "", slots, "", "", "execution-", 1, "", *Lane)


def settle(redis, how: str, *names: str, detail: str = "") -> None:
    members = {name: member for member in redis.zrange("rq:wip:high", 0, -1) for name in [member.split(b":")[0]]}
    rows = [(how, "high", name, members[name.encode()].split(b":")[1].decode(), 0, detail, 1) for name in names]
    redis.eval(moves.EXCHANGE, 0, "w", rq_now(), 1, 1, json.dumps(rows), 0, "", "", "", 1, "", *Lane)


def retrying(redis, put) -> None:
    put("note", "a")
    claim(redis)
    settle(redis, "retry", "a", detail="99999999999")


def dead(redis, put) -> None:
    put("note", "a")
    claim(redis)
    settle(redis, "dead", "a", detail="It broke.")


def waiting(redis, put) -> None:
    put("note", "a")


def started(redis, put) -> None:
    put("note", "a")
    claim(redis)


def nothing(redis, put) -> None:
    """No job at all."""


PLACES = ("waiting", "active", "retrying", "dead")
SECOND = "and in more than one place"


@pytest.mark.parametrize(
    ("begin", "damage", "what", "after"),
    [
        (nothing, ("RPUSH", "rq:queue:low", "a"), "no job behind the entry in rq:queue:low", None),
        (nothing, ("ZADD", "rq:wip:low", 1, "a:e"), "no job behind the entry in rq:wip:low", None),
        (nothing, ("ZADD", "rq:scheduled:low", 1, "a"), "no job behind the entry in rq:scheduled:low", None),
        (nothing, ("ZADD", "rq:failed:low", 1, "a"), "dead, with neither a job nor a letter", None),
        (waiting, ("RPUSH", "rq:queue:high", "a"), f"queued, {SECOND}: rq:queue:high, rq:queue:high", "waiting"),
        (waiting, ("RPUSH", "rq:queue:low", "a"), f"queued, {SECOND}: rq:queue:high, rq:queue:low", "waiting"),
        (waiting, ("ZADD", "rq:scheduled:high", 1, "a"), f"queued, {SECOND}: rq:queue:high, rq:scheduled", "waiting"),
        (waiting, ("LREM", "rq:queue:high", 0, "a"), "queued, and in no place", "waiting"),
        (waiting, ("HSET", "rq:job:a", "status", "started"), "started in lane high, and in rq:queue:high", "waiting"),
        (waiting, ("HSET", "rq:job:a", "origin", "low"), "queued in lane low, and in rq:queue:high", "waiting"),
        (started, ("RPUSH", "rq:queue:high", "a"), f"started, {SECOND}: rq:wip:high, rq:queue:high", "active"),
        (started, ("ZREM", "rq:wip:high", "a:execution-1"), "started, and in no place", "waiting"),
        (started, ("HSET", "rq:job:a", "status", "queued"), "queued in lane high, and in rq:wip:high", "active"),
        (retrying, ("ZREM", "rq:scheduled:high", "a"), "scheduled, and in no place", "waiting"),
        (retrying, ("RPUSH", "rq:queue:high", "a"), f"scheduled, {SECOND}: rq:queue:high, rq:sched", "retrying"),
        (retrying, ("HSET", "rq:job:a", "status", "failed"), "failed in lane high, and in rq:sched", "retrying"),
        (dead, ("EXISTS", "a"), "dead, without an open letter", "dead"),
        (dead, ("ZREM", "rq:failed:high", "a"), "failed, and in no place", "waiting"),
    ],
)
def test_what_disagrees_is_named_and_put_right(redis, put, begin, damage, what, after):
    begin(redis, put)
    redis.execute_command(*damage)

    found = inspection.walk(redis, repair=False)
    assert [one.job for one in found] == ["a"] * len(found)
    assert what in found[0].what
    inspection.walk(redis, repair=True)

    assert inspection.walk(redis, repair=True) == []
    counts = ledger.whole(redis)
    filled = {place: counts.total(place) for place in PLACES if counts.total(place)}
    assert filled == ({after: 1} if after else {})
    assert counts.unexplained == 0


def test_a_job_whose_data_is_gone_stays_unexplained_and_is_named(redis, put):
    put("note", "a", "b")
    redis.delete("rq:job:a")

    assert inspection.walk(redis, repair=True) == [Finding("a", "no job behind the entry in rq:queue:high")]

    assert ledger.whole(redis).unexplained == 1


def test_what_is_left_of_a_job_does_not_make_its_redelivery_a_duplicate(redis, put):
    put("note", "a")
    redis.hdel("rq:job:a", "data")
    redis.delete("cad:seen:a")

    inspection.walk(redis, repair=True)

    assert put("note", "a").accepted == 1


def test_a_job_that_runs_and_was_deleted_meanwhile_is_left_to_its_worker(redis, put):
    started(redis, put)
    redis.delete("rq:job:a")

    assert inspection.walk(redis, repair=True) == []

    assert redis.zcard("rq:wip:high") == 1


def test_nothing_is_wrong_with_jobs_in_their_places(redis, put, work):
    put("note", "done", "waiting")
    put("fail", "retrying")
    put("refuse", "dead")
    work(max_jobs=4)
    django_rq.get_queue("low").enqueue(jobs.add, 1, 2)
    django_rq.get_queue("low").enqueue(jobs.breaks)
    put("note", "more", "running")
    claim(redis, slots=1)

    assert inspection.walk(redis, repair=True) == []


def test_a_failed_job_of_rqs_own_needs_no_letter(redis, work):
    django_rq.get_queue("low").enqueue(jobs.breaks)
    work()
    assert redis.zcard("rq:failed:low") == 1

    assert inspection.walk(redis, repair=True) == []


def test_a_dead_job_gets_the_letter_that_is_missing_with_its_reason(redis, put):
    dead(redis, put)

    inspection.walk(redis, repair=True)

    letter = DeadLetter.objects.get()
    assert (letter.event, letter.error, letter.attempts, letter.status) == ("a", "It broke.", 1, "dead")
    assert letter.payload["args"][0] == {"name": "a"}


def test_a_letter_whose_discarding_was_cut_off_is_discarded(redis, put):
    dead(redis, put)
    DeadLetter.objects.create(event="a", func="f", payload={}, lane="high", error="e", status="discarded")

    assert inspection.walk(redis, repair=True) == [Finding("a", "discarded, and still among the dead")]

    counts = ledger.whole(redis)
    assert (counts.discarded, counts.total("dead"), counts.unexplained) == (1, 0, 0)


@pytest.mark.parametrize(("minutes", "found"), [(6, [Finding("a", "an open letter, and no job")]), (1, [])])
def test_an_open_letter_whose_job_is_nowhere_is_shown_and_kept(redis, minutes, found):
    at = timezone.now() - timedelta(minutes=minutes)
    DeadLetter.objects.create(event="a", func="f", payload={}, lane="high", error="e", created_at=at)

    assert inspection.walk(redis, repair=True) == found

    assert DeadLetter.objects.dead().count() == 1


def test_an_entry_that_came_twice_runs_once(redis, put, work):
    put("note", "a")
    redis.rpush("rq:queue:high", "a")

    work(concurrency=1)

    assert len(jobs.ran) == 1
    assert ledger.whole(redis).unexplained == 0


def test_several_inspections_at_once_put_each_right_once(redis, put):
    names = [f"job-{n}" for n in range(40)]
    put("note", *names)
    redis.delete("rq:queue:high")

    def inspect(_):
        try:
            return inspection.walk(redis, repair=True)
        finally:
            db.connections.close_all()

    with ThreadPoolExecutor(4) as threads:
        found = [one.job for findings in threads.map(inspect, range(4)) for one in findings]

    assert sorted(found) == sorted(names)
    assert sorted(redis.lrange("rq:queue:high", 0, -1)) == sorted(name.encode() for name in names)


def test_an_inspection_in_turns_comes_to_everything_and_remembers_what_it_found(redis, put, monkeypatch):
    monkeypatch.setattr(inspection, "LOOKS_A_TURN", 2)
    monkeypatch.setattr(inspection, "ENTRIES_A_LOOK", 3)
    put("note", *(f"job-{n}" for n in range(10)))
    redis.lpush("rq:queue:high", "ghost")
    redis.zadd("rq:scheduled:low", {"phantom": 1})

    found = []
    for _ in range(30):
        found += inspection.turn(redis, "worker-1")
        if redis.hget(inspection.KEY, "at"):
            break

    assert [one.job for one in found] == ["ghost", "phantom"]
    said = inspection.last(redis)
    assert said is not None
    assert (said.by, said.disagreements, list(said.findings)) == ("worker-1", 2, found)
    assert abs((timezone.now() - said.at).total_seconds()) < 60


def test_the_next_inspection_says_when_all_is_well_again_and_the_overview_shows_it(redis, admin_client):
    redis.rpush("rq:queue:high", "ghost")
    call_command("inspect_queue", stdout=StringIO())
    assert "ghost: no job behind the entry" in (page := admin_client.get("/admin/").content.decode())
    assert "by inspect_queue" in page

    call_command("inspect_queue", "--repair", stdout=StringIO())
    inspection.turn(redis, "worker-1")
    while inspection.turn(redis, "worker-1"):
        pass

    said = inspection.last(redis)
    assert said is not None
    assert (said.by, said.disagreements, said.findings) == ("worker-1", 0, ())
    assert "Every job was where it should be" in admin_client.get("/admin/").content.decode()


def test_before_the_first_inspection_there_is_nothing_to_say(redis, admin_client):
    assert inspection.last(redis) is None
    assert "No worker has inspected the whole queue yet." in admin_client.get("/admin/").content.decode()


def test_a_second_worker_does_not_inspect_meanwhile(redis):
    redis.set(inspection.LOCK_KEY, "another")
    redis.rpush("rq:queue:high", "ghost")

    assert inspection.turn(redis) == []
    redis.delete(inspection.LOCK_KEY)
    assert len(inspection.turn(redis)) == 1
    assert not redis.exists(inspection.LOCK_KEY)


def test_inspect_queue_prints_what_it_found_and_repairs_only_when_told(redis):
    redis.rpush("rq:queue:high", "ghost")
    said = StringIO()

    call_command("inspect_queue", stdout=said)
    assert "ghost: no job behind the entry in rq:queue:high" in said.getvalue()
    assert "1 disagreements found; unexplained in the ledger: -1." in said.getvalue()

    call_command("inspect_queue", "--repair", stdout=said)
    assert "1 disagreements put right; unexplained in the ledger: 0." in said.getvalue()

    said = StringIO()
    call_command("inspect_queue", "--json", stdout=said)
    assert json.loads(said.getvalue()) == {"findings": [], "unexplained": 0}
