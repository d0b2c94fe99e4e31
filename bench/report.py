"""The figures as a table in Markdown: for the terminal, and as docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.results import Row

HEAD = "| measure | ours | peer | ratio (range) | |\n| --- | ---: | ---: | ---: | --- |"

METHOD = """\
`make bench` on one machine, everything on loopback, on a Valkey and a PostgreSQL that it starts and ends. Ours and
the peer are measured in turn (A B A B …); a ratio is the median of the pairs' ratios, and above 1 ours is ahead,
whatever the unit. Two identical stacks differ by 5 % from run to run: within that a row says *level*. Absolute figures
belong to this machine; both sides share its processors with the load generator and the fake Graph API.
[Where the time goes](where-the-time-goes.md) says what stands in the way where a target is missed.
"""

NOTES = {
    "ingest": "Signed bodies of one comment each, none repeated. Both sides verify the signature over the raw bytes, "
    "parse, and answer 200 when the event's job is in Valkey. Ours: gunicorn, two processes, `gunicorn.conf.py`. "
    "The peer: Fastify 5 in a cluster of two, logger off, keep-alive; BullMQ with `jobId` against duplicates, "
    "`removeOnComplete`; ioredis on the socket, auto-pipelining off.",
    "worker": "Jobs wait in the queue before the worker starts; timed from the first one's start to the last's end. "
    "Ours: `manage.py rqworker high default low`, 200 slots, jobs spread over the three lanes. BullMQ: one queue, "
    "one worker, concurrency 200, `removeOnComplete`. RQ and Dramatiq: one process, as their own commands start it.",
    "pipeline": "Every event is answered by the demo rules: 1.25 calls of 50 ms an event to the same fake Graph API, "
    "the delivery's row committed before the call. The peer: BullMQ, concurrency 200, look-up and match in memory, "
    "prepared statements over a `pg` pool of 20; delivery row, call, then the result and the event's row in one "
    "statement. Ours writes contact, conversation and the looks at every rule besides.",
    "latency": "Web servers as in `ingest`, workers as in `pipeline`, on `everysec`; direct messages that are answered "
    "with one call, 500 a second, each due at its moment however slow the answers are.",
    "growth": "Ours against ourselves.",
    "console": "The 95th percentile of each list, filter, search and page, the slowest first, by Django's test client "
    "with a session: on PostgreSQL with 1,000,000 dead letters and 5,000,000 events and deliveries, on SQLite with a "
    "tenth of that.",
    "memory": "One worker process, 200 jobs in flight; events as in the pipeline benchmark.",
}


@dataclass(frozen=True, slots=True)
class Section:
    """One benchmark; others: the share of the processors that other programs took meanwhile (0 to 1)."""

    name: str
    rows: Sequence[Row]
    others: float
    date: str
    pairs: int

    def as_markdown(self) -> str:
        when = f"{self.date}, {self.pairs} pairs; other programs took {self.others:.0%} of the processors meanwhile."
        return f"## {self.name}\n\n{NOTES[self.name]}\n\n{when}\n\n{HEAD}\n" + "\n".join(map(_line, self.rows))


@dataclass(frozen=True, slots=True)
class Report:
    """All that was measured, and where."""

    sections: Sequence[Section]
    machine: str
    peers: str

    def as_markdown(self, kept: str = "", order: Sequence[str] = ()) -> str:
        """kept: an earlier report, whose other sections stay as they are; order: of the sections' names."""
        head = ["# Benchmarks", METHOD, f"{self.machine}.", f"Peers: {self.peers}."]
        found = sections_of(kept) | {section.name: section.as_markdown() for section in self.sections}
        names = [name for name in order if name in found] or list(found)
        return "\n\n".join([*(part.strip() for part in head), *(found[name] for name in names)]) + "\n"


def sections_of(report: str) -> dict[str, str]:
    """A report's sections by their names."""
    parts = ("\n" + report).split("\n## ")[1:]
    return {part.partition("\n")[0].strip(): f"## {part.strip()}" for part in parts}


def _line(row: Row) -> str:
    measure = f"{row.measure}, against {row.peer_name}" if row.peer_name else row.measure
    peer = _figure(row.peer, row.unit) if row.peer else "-"
    return f"| {measure} | {_figure(row.ours, row.unit)} | {peer} | {_ratio(row)} | {row.verdict} |"


def _figure(values: Sequence[float], unit: str) -> str:
    value = median(values)
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}"


def _ratio(row: Row) -> str:
    if row.ratio is None:
        return "-"
    return f"{row.ratio:.2f} x ({min(row.ratios):.2f} to {max(row.ratios):.2f})"
