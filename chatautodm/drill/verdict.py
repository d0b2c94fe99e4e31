"""What was acknowledged against what was sent: every expected call, and every event that was kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from automations.fake_graph.calls import Call as Received
from automations.models import Delivery, Event
from chatautodm.drill import expected
from webhooks.simulated_events import Content

MOVING = ("waiting", "active", "retrying", "fallback")


@dataclass(slots=True)
class Verdict:
    """Lists are of lines for people. `unconfirmed` and `dead` are accounted for; everything after `dead` must be empty.

    settled: how many calls of which nobody knew whether they were sent were found, by their echo, to have been.
    longest_seconds: the longest that an acknowledged event waited for its first call, whatever happened meanwhile;
    without those of an account that Meta told to wait.
    """

    acknowledged: int = 0
    unanswered: int = 0  # acknowledged, and no rule asks for a call
    sent_once: int = 0
    settled: int = 0
    unconfirmed: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    longest_seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.doubled or self.unexplained or self.unfinished)


def effective(received: Iterable[Received]) -> dict[expected.Call, list[float]]:
    """When each call reached Meta and had its effect: not those that a scripted fault refused.

    What Meta refused of itself counts: a second private reply to one comment is a call made twice.
    """
    calls: dict[expected.Call, list[float]] = {}
    for call in received:
        if call.status == 200 or not call.fault:
            calls.setdefault((call.recipient, call.text), []).append(call.at)
    return calls


def echoed(received: Iterable[Received], taken: Set[str]) -> Set[expected.Call]:
    """The calls whose echo was acknowledged; taken: the message ids of those."""
    return {(call.recipient, call.text) for call in received if call.message_id in taken}


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is to judge by.

    acknowledged: when, by source id. calls: when each was made. rows: events by source id, with their deliveries.
    ledger: as the statistics have it, at the end. throttled: the account that Meta told to wait, or "". echoed: the
    calls that nobody needs to wonder about.
    """

    acknowledged: Mapping[str, float]
    calls: Mapping[expected.Call, Sequence[float]]
    rows: Mapping[str, Event]
    ledger: Mapping[str, Any]
    throttled: str = ""
    echoed: Set[expected.Call] = frozenset()


def compare(contents: Iterable[Content], seen: Seen) -> Verdict:
    """Every event and every call, each against what it must have come to."""
    verdict = Verdict()
    wanted: Counter[expected.Call] = Counter()
    for content in contents:
        due = expected.calls(content)
        wanted.update(due)
        if content.source_id in seen.acknowledged:
            _judge_event(verdict, content, due, seen)
        else:
            verdict.unfinished.append(f"never acknowledged: {_named(content)}")
    verdict.doubled += [f"{_said(call)}: {len(times)} times" for call, times in seen.calls.items() if len(times) > 1]
    verdict.unexplained += [f"nobody asked for {_said(call)}" for call in seen.calls if call not in wanted]
    verdict.unexplained += [f"two events ask for {_said(call)}" for call, n in wanted.items() if n > 1]
    if seen.ledger["unexplained"]:
        verdict.unexplained.append(f"the ledger: {dict(seen.ledger)}")
    still = [f"still {place}: {seen.ledger[place]}" for place in MOVING if seen.ledger[place]]
    if still:  # what is missing may be among it
        verdict.unfinished, verdict.lost = [*still, *verdict.unfinished, *verdict.lost], []
    return verdict


def _judge_event(verdict: Verdict, content: Content, due: Sequence[expected.Call], seen: Seen) -> None:
    at, row = seen.acknowledged[content.source_id], seen.rows.get(content.source_id)
    verdict.acknowledged += 1
    verdict.unanswered += not due
    if content.kind in expected.NOTICES:
        return
    _judge_outcome(verdict, content, row, is_answered=bool(due))
    for step, call in enumerate(due, start=1):
        _judge_call(verdict, call, seen, row, step)
    first = min((seen.calls[call][0] for call in due if call in seen.calls), default=at)
    if content.account != seen.throttled:
        verdict.longest_seconds = max(verdict.longest_seconds, first - at)


def _judge_outcome(verdict: Verdict, content: Content, row: Event | None, *, is_answered: bool) -> None:
    """What no rule answers must have come to an end, too."""
    if row is None:
        verdict.lost.append(f"no trace of {_named(content)}")
    elif row.outcome == Event.Outcome.DEAD:
        verdict.dead.append(f"{_named(content)}: {row.reason}")
    elif not row.is_final:
        verdict.unfinished.append(f"{row.outcome}: {_named(content)}")
    elif not is_answered and row.outcome != Event.Outcome.NO_MATCH:
        verdict.unexplained.append(f"{row.outcome} instead of no_match: {_named(content)}")


def _judge_call(verdict: Verdict, call: expected.Call, seen: Seen, row: Event | None, step: int) -> None:
    times = seen.calls.get(call, ())
    found = [delivery for delivery in row.deliveries.all() if delivery.step == step] if row else []
    status = found[0].status if found else "not begun"
    verdict.sent_once += len(times) == 1
    if status == Delivery.Status.UNCONFIRMED:
        why = (found[0].error or {}).get("title", "")
        verdict.unconfirmed.append(f"{_said(call)}: {why} ({'it was' if times else 'it was not'})")
        if call in seen.echoed:
            verdict.unexplained.append(f"{_said(call)} was echoed, and is written down as {status}")
    elif times and status != Delivery.Status.SENT:
        verdict.unexplained.append(f"{_said(call)} was sent, and is written down as {status}")
    elif not times and not (row and row.outcome == Event.Outcome.DEAD):
        verdict.lost.append(f"{_said(call)}: {status}")


def _named(content: Content) -> str:
    return f"{content.kind} {content.source_id[-24:]} of {content.person}"


def _said(call: expected.Call) -> str:
    return f"“{call[1]}” to {call[0]}"
