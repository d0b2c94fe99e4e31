"""Which columns a list of events has when it is taken away, and how each is read from a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from queueops.csv_export import moment

EVENT_COLUMNS: dict[str, Callable[[Any], object]] = {
    "key": lambda event: event.key,
    "kind": lambda event: event.kind,
    "lane": lambda event: event.lane,
    "account": lambda event: event.account,
    "person": lambda event: event.person,
    "source_id": lambda event: event.source_id,
    "outcome": lambda event: event.outcome,
    "reason": lambda event: event.reason,
    "automation": lambda event: str(event.automation_id or ""),
    "automation_name": lambda event: str(event.automation or ""),
    "happened_at": lambda event: moment(event.happened_at),
    "received_at": lambda event: moment(event.received_at),
    "finished_at": lambda event: moment(event.finished_at),
    "text": lambda event: event.text,
}
