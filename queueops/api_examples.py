"""What the API's schema and its page show as examples."""

from __future__ import annotations

from typing import Any

from queueops.jobs import Lane

_LANE = {"waiting": 0, "active": 0, "retrying": 0, "dead": 0, "oldest_waiting_seconds": 0.0, "paused": False}
_PERCENTILES = {"p50": 1.31, "p95": 3.92, "p99": 6.78}

SNAPSHOT: dict[str, Any] = {
    "mode": "queue",
    "queues": {lane.value: _LANE for lane in Lane},
    "totals": {"pending": 0, "processing": 0, "completed": 866, "failed": 0},
    "ledger": {
        "received": 1159,
        "duplicate": 34,
        "ignored": 259,
        "waiting": 0,
        "active": 0,
        "retrying": 0,
        "fallback": 0,
        "completed": 866,
        "dead": 0,
        "discarded": 0,
        "unexplained": 0,
    },
    "deferred": 0,
    "processing_rate": {"per_minute": 866.0, "per_hour": 866.0},
    "latency_ms": {"ack": _PERCENTILES, "wait": _PERCENTILES, "process": _PERCENTILES},
    "drain_eta_seconds": 0.0,
    "workers": [
        {
            "name": "9066e103",
            "state": "idle",
            "queues": ["high", "default", "low"],
            "in_flight": 0,
            "concurrency": 200,
            "heartbeat_age_seconds": 2.6,
        }
    ],
    "cache": {"hits": 1706, "misses": 15, "hit_rate": 0.9913},
    "redis": {"connected": True, "used_memory_bytes": 2411520, "durability": "always"},
}

PAGE: dict[str, Any] = {
    "next": None,
    "results": [
        {
            "id": "01a2004f-8a50-7315-ae2c-d3fa33aa47e9",
            "event": "45dfccfa56851926d80ea641a6914477",
            "lane": "high",
            "kind": "message",
            "account": "17841456778752687",
            "person": "8422491661125971",
            "source_id": "aWdfZAG1faXRlbToxOklHTWVzc2FnZAUlE",
            "automation": "01a2004f-8a50-7315-ae2c-d3fa33aa47e9",
            "automation_name": "Answer a DM with the link",
            "cause": {
                "code": 190,
                "subcode": 463,
                "title": "The account's access token has expired",
                "verdict": "needs_owner",
            },
            "error": "Error validating access token",
            "attempts": 1,
            "status": "dead",
            "created_at": "2026-11-21T22:53:42.300615Z",
        }
    ],
}

RETRY_MANY = {"account": "17841456778752687", "cause": "190", "reason": "the account was reconnected"}
