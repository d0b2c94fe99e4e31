"""The one reader of the queue's state. API, console page and command all show this snapshot."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from queueops import connections, ledger, metrics, pace, recovery, switches
from queueops.embedded import EmbeddedValkeyError
from queueops.jobs import Lane
from queueops.switches import Switches

WORKER_FIELDS = (
    *("state", "queues", "in_flight", "concurrency", "alive_at", "last_heartbeat", "death", "database"),
    *("hostname", "pid", "release", "memory_bytes"),
)
LANE_FIELDS = ("waiting", "active", "retrying", "dead", "oldest_waiting_seconds", "paused")

HEADS_AND_WORKERS = """
-- ARGV: n, n x lane, fields of a worker's hash… Answers {when each lane's first job was enqueued, {worker, values…}…}
local heads, workers = {}, {}
for i = 2, tonumber(ARGV[1]) + 1 do
  heads[#heads + 1] = ''
  -- The first of ten: an id whose job was deleted while it waited stays in the list until it is its turn.
  for _, id in ipairs(redis.call('LRANGE', 'rq:queue:' .. ARGV[i], 0, 9)) do
    local at = redis.call('HGET', 'rq:job:' .. id, 'enqueued_at')
    if at then heads[#heads] = at break end
  end
end
for _, key in ipairs(redis.call('SMEMBERS', 'rq:workers')) do
  if redis.call('EXISTS', key) == 1 then
    workers[#workers + 1] = {key, unpack(redis.call('HMGET', key, unpack(ARGV, tonumber(ARGV[1]) + 2)))}
  end
end
return {heads, workers}
"""


@dataclass(frozen=True, slots=True)
class Looked:
    """What one pipelined round trip answered, as Redis keeps it. `durability` and `memory` are None when refused."""

    heads: list[bytes]
    workers: list[list[Any]]
    switches: Switches
    minutes: list[dict[bytes, bytes]]  # oldest first, 61 of them, the running one last
    durability: dict[str, str] | None
    memory: dict[str, Any] | None


def snapshot() -> dict[str, Any]:
    """The JSON of `GET /api/queue-stats`. While Redis is away everything that the database does not know is None."""
    try:
        return read(connections.client())
    except (RedisError, OSError, EmbeddedValkeyError):
        return away()


def read(redis: Redis) -> dict[str, Any]:
    """The snapshot, in two round trips. Raises RedisError or OSError."""
    counts = ledger.whole(redis)
    looked = _look(redis)
    now = time.time()
    return {
        "mode": looked.switches.mode.value,
        "queues": {
            lane.value: {
                **asdict(counts.lanes[lane]),
                "oldest_waiting_seconds": _age(head, now),
                "paused": looked.switches.is_paused(lane),
            }
            for lane, head in zip(Lane, looked.heads, strict=True)
        },
        "totals": {
            "pending": counts.total("waiting") + counts.total("retrying"),
            "processing": counts.total("active"),
            "completed": counts.completed,
            "failed": counts.total("dead"),
        },
        "ledger": counts.as_json(),
        "deferred": counts.deferred,
        **pace.measured(looked.minutes, counts.total("waiting"), now),
        "workers": sorted(_workers(looked.workers, now), key=lambda worker: str(worker["name"])),
        "redis": {
            "connected": True,
            "used_memory_bytes": None if looked.memory is None else looked.memory.get("used_memory"),
            "durability": _durability(looked.durability),
        },
    }


def away() -> dict[str, Any]:
    """The snapshot without Redis: every key of the contract, None where the database knows nothing."""
    nothing = dict.fromkeys
    counts = (*ledger.COUNTED, "fallback", "waiting", "active", "retrying", "dead", "unexplained")
    return {
        "mode": switches.current().mode.value,
        "queues": {lane.value: nothing(LANE_FIELDS) for lane in Lane},
        "totals": nothing(("pending", "processing", "completed", "failed")),
        "ledger": {**nothing(counts), "fallback": ledger.fallback()},
        "deferred": None,
        **pace.unmeasured(),
        "drain_eta_seconds": None,
        "workers": [],
        "redis": {"connected": False, "used_memory_bytes": None, "durability": "unknown"},
    }


def unattended(snapshot: dict[str, Any]) -> list[str]:
    """The lanes that no living worker listens to, unless nothing of them is to be claimed now."""
    listened = {name for worker in snapshot["workers"] if worker["state"] != "silent" for name in worker["queues"]}
    lanes = snapshot["queues"]
    return [lane.value for lane in Lane if lane.value not in listened and not lanes[lane]["paused"]]


def _look(redis: Redis) -> Looked:
    with redis.pipeline(transaction=False) as pipeline:
        pipeline.eval(HEADS_AND_WORKERS, 0, len(Lane), *Lane, *WORKER_FIELDS)
        switches.ask(pipeline)
        for key in metrics.minute_keys(61):
            pipeline.hgetall(key)
        pipeline.config_get("append*")
        pipeline.info("memory")
        answers = pipeline.execute(raise_on_error=False)
    *needed, durability, memory = answers
    for answer in needed:
        if isinstance(answer, Exception):
            raise answer
    (heads, workers), by_name, suspended, *minutes = needed
    held = switches.note(by_name, suspended)
    return Looked(heads, workers, held, minutes, _unless_refused(durability), _unless_refused(memory))


def _unless_refused(answer: Any) -> Any:
    """Managed servers refuse CONFIG, and some INFO: that is an answer too."""
    if isinstance(answer, ResponseError):
        return None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _workers(rows: Sequence[Sequence[Any]], now: float) -> list[dict[str, Any]]:
    """Those that have not said goodbye. One that stopped vouching for itself is `silent`, whatever it said last."""
    workers = []
    for key, *values in rows:
        row = {name: value.decode() for name, value in zip(WORKER_FIELDS, values, strict=True) if value is not None}
        if "death" in row:
            continue
        beat = float(row["alive_at"]) if "alive_at" in row else _epoch(row.get("last_heartbeat", ""))
        age = max(now - beat, 0.0)
        # RQ's stock workers beat far less often than ours, and run one job at a time.
        silent = "alive_at" in row and age > recovery.SILENT_SECONDS
        workers.append(
            {
                "name": key.decode().removeprefix("rq:worker:"),
                "state": "silent" if silent else _state(row),
                "queues": [name for name in row.get("queues", "").split(",") if name],
                "in_flight": int(row.get("in_flight", row.get("state") == "busy")),
                "concurrency": int(row.get("concurrency", 1)),
                "heartbeat_age_seconds": round(age, 1),
                "host": row.get("hostname", ""),
                "pid": int(row["pid"]) if row.get("pid", "").isdecimal() else None,
                "release": row.get("release", ""),
                "memory_bytes": int(row.get("memory_bytes", 0)) or None,
            }
        )
    return workers


def _state(row: dict[str, str]) -> str:
    return "no database" if row.get("database") else row.get("state", "unknown")


def _age(enqueued_at: bytes, now: float) -> float:
    """Seconds since then; 0.0 when nothing waits."""
    return round(max(now - _epoch(enqueued_at.decode()), 0.0), 3) if enqueued_at else 0.0


def _epoch(text: str) -> float:
    """RQ's written instant as seconds; one that nobody can read counts as never."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0


def _durability(config: dict[str, str] | None) -> str:
    if not config or "appendonly" not in config:
        return "unknown"
    return config.get("appendfsync", "unknown") if config["appendonly"] == "yes" else "off"
