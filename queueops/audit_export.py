"""The audit log as files: CSV for spreadsheets, JSON lines for programs; oldest first, one entry a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import orjson
from django.db.models import QuerySet

from queueops.csv_export import CONTENT_TYPE, by_key, csv_line
from queueops.models import AuditEntry

COLUMNS = (
    "number",
    "at",
    "who",
    "who_id",
    "through",
    "action",
    "kind",
    "count",
    "reason",
    "details",
    "previous",
    "seal",
)


def csv_lines(entries: QuerySet[AuditEntry]) -> Iterator[str]:
    """A line of names, then one for each entry, with `targets` as `key name; …`."""
    yield csv_line([*COLUMNS, "targets"])
    for entry in _oldest_first(entries):
        values = [*(getattr(entry, name) for name in COLUMNS)]
        values[COLUMNS.index("at")] = entry.at.isoformat()
        values[COLUMNS.index("details")] = orjson.dumps(entry.details).decode()
        yield csv_line([*values, "; ".join(f"{target.key} {target.name}" for target in entry.targets.all())])


def json_lines(entries: QuerySet[AuditEntry]) -> Iterator[str]:
    """One object a line: everything that the seal covers, and the seal."""
    for entry in _oldest_first(entries):
        targets = [{"key": target.key, "name": target.name} for target in entry.targets.all()]
        line = {**{name: getattr(entry, name) for name in COLUMNS}, "targets": targets}
        yield orjson.dumps(line).decode() + "\n"


FORMATS: dict[str, tuple[str, Callable[[QuerySet[AuditEntry]], Iterator[str]]]] = {
    "csv": (CONTENT_TYPE, csv_lines),
    "jsonl": ("application/x-ndjson", json_lines),
}


def _oldest_first(entries: QuerySet[AuditEntry]) -> Iterator[AuditEntry]:
    for page in by_key(entries.prefetch_related("targets"), oldest_first=True):
        yield from page
