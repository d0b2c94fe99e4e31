"""Dead letters as the runner leaves them: a row, and its job among Redis's failed ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import connection

from queueops import connections, dispatch
from queueops.jobs import Batch, Job, Lane
from queueops.models import DeadLetter
from tests.queueops import jobs_for_tests as jobs


def dead(event: str, **fields: Any) -> DeadLetter:
    """A job that was taken in, failed for good and waits for an operator."""
    lane = Lane(fields.get("lane", "high"))
    func = f"{jobs.HERE}.note"
    payload = {"name": event, "kind": "message"}
    dispatch.dispatch_sync(Batch(jobs=(Job(id=event, lane=lane, func=func, payload=payload),)))
    redis = connections.client()
    redis.lrem(f"rq:queue:{lane}", 0, event)
    redis.zadd(f"rq:failed:{lane}", {event: "+inf"})
    redis.hset(f"rq:job:{event}", "status", "failed")
    return row(event, func=func, payload={"args": [payload, {"id": "r", "at": "2026-01-01T00:00:00+00:00"}]}, **fields)


def row(event: str, **fields: Any) -> DeadLetter:
    """Only the row."""
    defaults = {
        "func": "x",
        "payload": {"args": [{}, {}]},
        "lane": "high",
        "kind": "message",
        "account": "17841456778752687",
        "person": "8422491661125971",
        "source_id": f"m_{event}",
        "cause_code": 190,
        "cause_subcode": 463,
        "cause_title": "The account's access token has expired",
        "cause_verdict": "needs_owner",
        "error": "Error validating access token",
        "traceback": "Traceback <b>",
        "attempts": 1,
    }
    return DeadLetter.objects.create(event=event, **{**defaults, **fields})


READ_WHOLE = "Seq Scan on queueops_deadletter"


def plans_about_letters(asked: Iterable[dict[str, str]]) -> list[tuple[str, str]]:
    """Each query of dead letters that was captured, with PostgreSQL's plan for it."""
    plans = []
    with connection.cursor() as cursor:
        for sql in [query["sql"] for query in asked if 'FROM "queueops_deadletter"' in query["sql"]]:
            cursor.execute(f"EXPLAIN {sql}")
            plans.append((sql, "\n".join(line for (line,) in cursor.fetchall())))
    return plans
