"""The jobs that lanes carry, by path: `automations.tasks.process_event`. A stock RQ worker can run them, too."""

from __future__ import annotations

from typing import Any

from automations import events, pipeline, records, settling
from queueops import context, database, scrubbing
from queueops.jobs import Done, Failure, Verb, task


async def note_failure(payload: dict[str, Any], receipt: dict[str, Any], failure: Failure) -> None:
    """Show the failed attempt on the event."""
    if (event := _readable(payload)) is not None:
        await database.run(records.note_failure, event, receipt, failure)


def note_operator(payload: dict[str, Any], receipt: dict[str, Any], verb: Verb) -> None:
    """Show on the event what an operator did with its dead letter."""
    if (event := _readable(payload)) is not None:
        records.note_operator(event, verb)


def _readable(payload: dict[str, Any]) -> events.Event | None:
    """None for what another version wrote: its dead letter is then all there is to see."""
    try:
        return events.from_payload(payload)
    except (KeyError, TypeError, ValueError):
        return None


@task(on_failure=note_failure, on_operator=note_operator)
async def process_event(payload: dict[str, Any], receipt: dict[str, Any]) -> Done:
    """Answer one event. payload: `Event.as_payload()`; receipt: {"id", "at"} of the delivery that brought it."""
    scrubbing.hide(str(payload.get("text", "")))
    run = context.current.get()
    return await pipeline.process(events.from_payload(payload), receipt, run.lane if run else "")


async def settle_by_echo(payload: dict[str, Any], receipt: dict[str, Any]) -> Done:
    """Settle the delivery that this is the echo of, if there is one. payload: `Echo.as_payload()`."""
    scrubbing.hide(str(payload.get("text", "")))
    await database.run(settling.settle, events.echo_from_payload(payload))
    return Done.COMPLETED
