"""The database tier: takes batches while Redis is away or full, and keeps what was processed without Redis.

Rows, counts and kept pieces of a batch are one transaction, and batches of concurrent requests share one. A job's id is
unique in the table: a second one is a duplicate. One that is not in the table any more is recognised by what the job
itself writes down when it runs (docs/adr/0005-two-level-deduplication.md).
"""

from __future__ import annotations

import asyncio
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from django.db import DatabaseError, InterfaceError, transaction

from queueops import database, tally
from queueops.dispatch import Unavailable
from queueops.jobs import Batch, Job, Receipt
from queueops.keys import new_id
from queueops.models import FallbackJob, FallbackKept
from queueops.taking import KEPT_BYTES, encode

KEEP_SECONDS = 2.0  # Meta waits 5 seconds for its answer; the direct tier needs the rest
ROWS_A_STATEMENT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """One batch as it is written: rows for what is still to be done, counts for what has ended, the rest counted.

    `ended` counts by the ledger's names (`completed`, `duplicate`).
    """

    batch: Batch
    rows: list[FallbackJob]
    ended: Counter[str] = field(default_factory=Counter)


def rows(jobs: Sequence[Job]) -> list[FallbackJob]:
    """A row for each job, in their order, with a receipt of their own. Raises TypeError when a payload is not JSON."""
    receipt = {"id": str(new_id()), "at": datetime.now(UTC).isoformat()}
    keys = sorted(new_id() for _ in jobs)  # of one millisecond they come in any order
    return [
        FallbackJob(
            id=key,
            job=job.id,
            lane=job.lane.value,
            tenant=job.tenant,
            func=job.func,
            data=encode(job, receipt),
        )
        for key, job in zip(keys, jobs, strict=True)
    ]


async def take(batch: Batch) -> Receipt:
    """Keep the batch, together with those of concurrent callers. Raises Unavailable, or TypeError."""
    batch = batch.all_awaited()
    return await keep(Intake(batch=batch, rows=rows(batch.jobs)))


async def keep(intake: Intake) -> Receipt:
    """Write the intake; committed when it returns. Raises Unavailable: then its outcome is unknown."""
    try:
        async with asyncio.timeout(KEEP_SECONDS):
            return await database.writer(_write_together).submit(intake)
    except TimeoutError as error:
        raise Unavailable(f"the database did not answer within {KEEP_SECONDS:.0f} s") from error
    except (DatabaseError, InterfaceError) as error:
        raise Unavailable(f"the database: {error}") from error


async def _write_together(items: Sequence[Intake]) -> database.Results[Receipt]:
    return await database.write_in_thread(write, items)


def write(items: Sequence[Intake]) -> list[Receipt]:
    """Write the intakes in one transaction. Raises DatabaseError; then it may be done once more."""
    wanted = [row for item in items for row in item.rows]
    with transaction.atomic():
        # Not empty when an earlier commit of the same intake was not heard of: then it has been counted, too.
        written = _present(wanted)
        # In the order of the unique key, so that two transactions with the same jobs never wait for each other.
        FallbackJob.objects.bulk_create(
            sorted(wanted, key=lambda row: row.job), batch_size=ROWS_A_STATEMENT, ignore_conflicts=True
        )
        inserted = _present(wanted)
        receipts = [_receipt(item, sum(row.pk in inserted for row in item.rows)) for item in items]
        news = [
            (item, receipt)
            for item, receipt in zip(items, receipts, strict=True)
            if not any(row.pk in written for row in item.rows)
        ]
        FallbackKept.objects.bulk_create(
            FallbackKept(reason=reason[:200], raw=zlib.compress(raw[:KEPT_BYTES]))
            for item, _ in news
            for reason, raw in item.batch.kept
        )
        tally.add(_changes(news))
    return receipts


def _present(wanted: Sequence[FallbackJob]) -> set[UUID]:
    """The keys of those that are in the table as these rows, not only as the same jobs."""
    keys = [row.pk for row in wanted]
    groups = (keys[start : start + ROWS_A_STATEMENT] for start in range(0, len(keys), ROWS_A_STATEMENT))
    return {key for group in groups for key in FallbackJob.objects.filter(pk__in=group).values_list("pk", flat=True)}


def _receipt(item: Intake, inserted: int) -> Receipt:
    duplicate = item.ended["duplicate"] + len(item.rows) - inserted
    return Receipt(inserted + item.ended["completed"], duplicate, sum(item.batch.ignored.values()))


def _changes(taken: Sequence[tuple[Intake, Receipt]]) -> Counter[str]:
    changes: Counter[str] = Counter()
    for item, receipt in taken:
        changes["received"] += receipt.accepted + receipt.duplicate + receipt.ignored
        changes["completed"] += item.ended["completed"]
        changes["duplicate"] += receipt.duplicate
        changes["ignored"] += receipt.ignored
        for name, n in item.batch.ignored.items():
            changes[f"{tally.IGNORED}{name}"] += n
    return changes
