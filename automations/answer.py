"""Why a message did, or did not, go out: one sentence about one event."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from automations import looks
from automations.models import Delivery, Event

Outcome = Event.Outcome
Status = Delivery.Status


def answer(event: Event, deliveries: Sequence[Delivery]) -> str:
    """The sentence, for any event that is written down; `deliveries` are its own."""
    said = ANSWERS[Outcome(event.outcome)](event, deliveries)
    return said if said.endswith((".", "!", "?")) else f"{said}."


def stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def next_attempt(event: Event) -> datetime | None:
    """When the event is tried again, as its last attempt said; None when it is not put off."""
    last: dict[str, Any] = event.attempts[-1] if event.attempts else {}
    return datetime.fromisoformat(last["retry_at"]) if last.get("retry_at") else None


def _sent(event: Event, deliveries: Sequence[Delivery]) -> str:
    sent = [delivery for delivery in deliveries if delivery.status == Status.SENT]
    kinds = " and ".join(dict.fromkeys(str(delivery.get_kind_display()) for delivery in sent)) or "its answer"
    at = max((delivery.finished_at for delivery in sent if delivery.finished_at), default=event.finished_at)
    rest = len(deliveries) - len(sent)
    begun = f"Sent: {kinds}, at {stamp(at)}." if at else f"Sent: {kinds}."
    return f"{begun} {rest} of {len(deliveries)} steps did not go: {event.reason or 'see below'}" if rest else begun


def _no_match(event: Event, deliveries: Sequence[Delivery]) -> str:
    if event.reason:
        return f"Not sent: {event.reason}"
    nearest = looks.nearest(event.rules)
    if nearest is None:
        return f"Not sent: the account has no active rule for this kind of event ({event.get_kind_display()})."
    name = nearest.get("name") or nearest.get("automation")
    return f"Not sent: no rule matched. The nearest was “{name}”: {looks.in_words(nearest['failed'])}."


def _skipped(event: Event, deliveries: Sequence[Delivery]) -> str:
    return f"Not sent: {event.reason or 'its first step could not be attempted.'}"


def _unknown_account(event: Event, deliveries: Sequence[Delivery]) -> str:
    return f"Not sent: no account with the id {event.account} was connected here when it came."


def _unconfirmed(event: Event, deliveries: Sequence[Delivery]) -> str:
    return f"Perhaps sent: nobody knows whether Meta delivered it. {event.reason}".strip()


def _dead(event: Event, deliveries: Sequence[Delivery]) -> str:
    tries = len(event.attempts)
    return f"Not sent: given up after {tries} failed attempt{'' if tries == 1 else 's'}. {event.reason}".strip()


def _discarded(event: Event, deliveries: Sequence[Delivery]) -> str:
    return f"Not sent: it had failed, and an operator discarded it. It had failed because: {event.reason or 'unknown'}"


def _retrying(event: Event, deliveries: Sequence[Delivery]) -> str:
    at = next_attempt(event)
    reason = event.reason.removesuffix(".") or "its last attempt failed"
    return f"Not sent yet: {reason}. Next attempt {f'at {stamp(at)}' if at else 'soon'}."


def _waiting(event: Event, deliveries: Sequence[Delivery]) -> str:
    return f"Not sent yet: it waits in lane {event.lane or 'default'} to be tried once more."


def _processing(event: Event, deliveries: Sequence[Delivery]) -> str:
    since = f" since {stamp(event.started_at)}" if event.started_at else ""
    return f"Not sent yet: a worker has had it{since}."


ANSWERS: dict[Event.Outcome, Callable[[Event, Sequence[Delivery]], str]] = {
    Outcome.SENT: _sent,
    Outcome.NO_MATCH: _no_match,
    Outcome.SKIPPED: _skipped,
    Outcome.UNKNOWN_ACCOUNT: _unknown_account,
    Outcome.UNCONFIRMED: _unconfirmed,
    Outcome.DEAD: _dead,
    Outcome.DISCARDED: _discarded,
    Outcome.RETRYING: _retrying,
    Outcome.WAITING: _waiting,
    Outcome.PROCESSING: _processing,
}
