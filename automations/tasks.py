"""The jobs that lanes carry, by path: `automations.tasks.process_event`. A stock RQ worker can run them, too."""

from __future__ import annotations

from typing import Any

from automations import events, pipeline, records
from queueops import context, database
from queueops.jobs import Done, Failure, Verb, task


async def note_failure(payload: dict[str, Any], receipt: dict[str, Any], failure: Failure) -> None:
    """Show the failed attempt on the event."""
    await database.run(records.note_failure, events.from_payload(payload), receipt, failure)


def note_operator(payload: dict[str, Any], receipt: dict[str, Any], verb: Verb) -> None:
    """Show on the event what an operator did with its dead letter."""
    records.note_operator(events.from_payload(payload), verb)


@task(on_failure=note_failure, on_operator=note_operator)
async def process_event(payload: dict[str, Any], receipt: dict[str, Any]) -> Done:
    """Answer one event. payload: `Event.as_payload()`; receipt: {"id", "at"} of the delivery that brought it."""
    run = context.current.get()
    return await pipeline.process(events.from_payload(payload), receipt, run.lane if run else "")
