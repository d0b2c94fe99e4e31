"""The jobs that lanes carry, by path: `automations.tasks.process_event`. A stock RQ worker can run them, too."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from automations import events, given_up, measured, pipeline, records, settling, windows
from automations.models import Event
from queueops import context, database, scrubbing
from queueops.errors import RetryLater
from queueops.jobs import Done, Failure, Knows, Verb, task


async def note_failure(payload: dict[str, Any], receipt: dict[str, Any], failure: Failure) -> None:
    """Show the failed attempt on the event."""
    if (event := _readable(payload)) is not None:
        await database.run(records.note_failure, event, receipt, failure)
    if failure.dead:
        measured.ended(Event.Outcome.DEAD, failure.cause.verdict if failure.cause else "bug")


def note_operator(payload: dict[str, Any], receipt: dict[str, Any], verb: Verb) -> None:
    """Show on the event what an operator did with its dead letter."""
    if (event := _readable(payload)) is not None:
        records.note_operator(event, verb)


def expires_at(payload: dict[str, Any], receipt: dict[str, Any]) -> datetime | None:
    """When the last window for an answer to the event closes; None when it never was open, or cannot be known."""
    event = events.from_payload(payload)
    happened = windows.happened_at(event, datetime.fromisoformat(receipt["at"]))
    return windows.last_answer_at(event.kind, happened)


def validate_payload(payload: dict[str, Any], receipt: dict[str, Any]) -> None:
    """Raise ValueError, in words, when `process_event` could not read this."""
    try:
        event = events.from_payload(payload)
        datetime.fromisoformat(receipt["at"])
    except KeyError as error:
        raise ValueError(f"There is no {error} that can be used.") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"It is no event: {error}.") from error
    wrong = [name for name in events.FIELD_NAMES[type(event)] if not _fits(name, getattr(event, name))]
    if wrong:
        raise ValueError(f"Of another kind than it must be: {', '.join(wrong)}.")


def _fits(name: str, value: Any) -> bool:
    if name == "at_ms":
        return value is None or (isinstance(value, int) and not isinstance(value, bool))
    if name == "attachments":
        return all(isinstance(one, str) for one in value)
    return isinstance(value, str)


def _readable(payload: dict[str, Any]) -> events.Event | None:
    """None for what another version wrote: its dead letter is then all there is to see."""
    try:
        return events.from_payload(payload)
    except (KeyError, TypeError, ValueError):
        return None


@task(
    on_failure=note_failure,
    on_operator=note_operator,
    knows=Knows(
        expires_at=expires_at,
        delivered_at=records.delivered_at,
        validate_payload=validate_payload,
        automation_of=given_up.automation_of,
        waits=given_up.waits,
    ),
)
async def process_event(payload: dict[str, Any], receipt: dict[str, Any]) -> Done:
    """Answer one event. payload: `Event.as_payload()`; receipt: {"id", "at"} of the delivery that brought it."""
    scrubbing.hide(str(payload.get("text", "")))
    run = context.current.get()
    return await pipeline.process(events.from_payload(payload), receipt, run.lane if run else "")


async def settle_by_echo(payload: dict[str, Any], receipt: dict[str, Any]) -> Done:
    """Settle the delivery that this is the echo of, if there is one. payload: `Echo.as_payload()`."""
    scrubbing.hide(str(payload.get("text", "")))
    echo = events.echo_from_payload(payload)
    if wait := await database.run(settling.under_way, echo):
        raise RetryLater("The call that this may be the echo of is under way.", wait)
    await database.run(settling.settle, echo)
    return Done.COMPLETED
