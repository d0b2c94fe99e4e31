"""The snapshot as tables for a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from queueops import stats, switches
from queueops.templatetags.queue_console import duration, megabytes, milliseconds, number, percent


def view(snapshot: dict[str, Any]) -> RenderableType:
    """Everything in the snapshot, the wrong in red."""
    return Group(
        headline(snapshot), *pauses(), lanes(snapshot), ledger(snapshot), latency(snapshot), *workers(snapshot)
    )


def headline(snapshot: dict[str, Any]) -> Text:
    rate, redis = snapshot["processing_rate"], snapshot["redis"]
    return Text(
        f"mode {snapshot['mode']} · {number(rate['per_minute'])} completed in the last minute, "
        f"{number(rate['per_hour'])} in the last hour · empty in {duration(snapshot['drain_eta_seconds'])} · "
        f"cache {percent(snapshot['cache']['hit_rate'])} · "
        f"Redis {megabytes(redis['used_memory_bytes'])}, written to disk: {redis['durability']}"
    )


def pauses() -> list[Text]:
    """Who switched what, and why; nothing while nothing is switched."""
    held = switches.current()
    mode = [held.mode_story()] if held.get(switches.MODE) else []
    return [Text(story, style="yellow") for story in [*mode, *held.pause_stories()]]


def lanes(snapshot: dict[str, Any]) -> Table:
    table = Table("lane", title="Lanes", title_justify="left")
    for name in ("waiting", "oldest", "active", "retrying", "dead"):
        table.add_column(name, justify="right")
    for name, lane in snapshot["queues"].items():
        counts = [number(lane[place]) for place in ("active", "retrying", "dead")]
        title = f"{name} (paused)" if lane["paused"] else name
        table.add_row(title, number(lane["waiting"]), duration(lane["oldest_waiting_seconds"]), *counts)
    return table


def ledger(snapshot: dict[str, Any]) -> Table:
    table = Table(title="Ledger", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, count in snapshot["ledger"].items():
        table.add_row(name, number(count), style="bold red" if name == "unexplained" and count else "")
    return table


def latency(snapshot: dict[str, Any]) -> Table:
    table = Table("latency, last hour", title="Latency", title_justify="left")
    for name in ("p50", "p95", "p99"):
        table.add_column(name, justify="right")
    for name, percentiles in snapshot["latency_ms"].items():
        table.add_row(name, *(milliseconds(percentiles[p]) for p in ("p50", "p95", "p99")))
    return table


def workers(snapshot: dict[str, Any]) -> list[RenderableType]:
    table = Table("worker", "state", "lanes", "in flight", "heartbeat", title="Workers", title_justify="left")
    for worker in snapshot["workers"]:
        table.add_row(
            worker["name"],
            worker["state"],
            ", ".join(worker["queues"]),
            f"{worker['in_flight']} of {worker['concurrency']}",
            f"{duration(worker['heartbeat_age_seconds'])} ago",
            style="red" if worker["state"] == "silent" else "",
        )
    warnings = [Text(f"No worker listens to lane {lane}.", style="yellow") for lane in stats.unattended(snapshot)]
    return [table, *warnings]
