"""From an event to its answers: account, rule, windows, delivery recorded, Graph API, confirmed.

1. Look up the account; an unknown one is written down and that is all.
2. Decide: which rule answers, and why the others do not.
3. Open the event's row with the decision. A redelivery of an event that is over ends here. Contact and conversation
   are written meanwhile: only a later step needs to know when the person last wrote, and the event's end waits for it.
4. For each step: is the window open, may the account send, is it its turn; record the delivery as `sending` and
   commit; call; record.
   A step that an earlier run sent is passed over; one that it left as `sending` was cut off in the middle and becomes
   `unconfirmed`, which is never sent again by itself; its echo settles it (`automations.settling`), or an operator.
5. Close the event with what became of its steps.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from automations import (
    deliveries,
    entries,
    graph,
    measured,
    pacing,
    people,
    planning,
    records,
    settling,
    turns,
    windows,
)
from automations.cache import AccountInfo, cache
from automations.events import Event, Kind
from automations.graph_errors import Verdict
from automations.matching import Decision, Rule, RuleSet
from automations.models import Delivery
from automations.models import Event as EventRow
from automations.reasons import NOTHING, Reason, Why
from automations.replies import Call, Refused
from automations.runs import LastInbound, Run, Sending
from automations.turns import Limit, TooLate
from queueops import awaited, context, database, metrics, objectives
from queueops.errors import Reject, RetryLater, TryAgain
from queueops.jobs import Done
from queueops.keys import new_id_of

Outcome = EventRow.Outcome
Status = Delivery.Status

# Steps in these states are over; later steps go on after the first two, and are skipped after the others.
GOES_ON = {Status.SENT, Status.UNCONFIRMED}

CUT_OFF = {
    "title": "The process stopped during the call: it may have been sent",
    "verdict": Verdict.PROBABLY_SENT.value,
}

# Why a recorded delivery may not be sent, by whether the comment's one private reply is what it would have been.
ALREADY = {True: "This comment already has its one private reply.", False: "Another run of this event has this step."}
NO_RULE_ANY_MORE = Why(Reason.RULE_REMOVED, "Its automation was removed before all was sent.")
NO_PUBLIC_REPLY = Why(Reason.NOT_OFFERED, "Instagram takes no public replies to comments on a live video.")


@dataclass(frozen=True, slots=True)
class First:
    """The first step, and of which limit it has a turn."""

    delivery: deliveries.NewDelivery
    limit: Limit | None


async def process(event: Event, receipt: dict[str, Any], lane: str) -> Done:
    """Answer the event by its account's rules. Raises what `queueops.errors` has, for the runner to interpret."""
    received_at = datetime.fromisoformat(receipt["at"])
    happened_at = windows.happened_at(event, received_at)
    metrics.observe(f"wait:{lane}", (datetime.now(UTC) - received_at).total_seconds() * 1000)
    account = await cache().account(event.account)
    rules, decision = await _decide(event, account)
    outcome, why = _outcome_before_sending(event, account, decision)
    steps = _calls(event, account, decision.rule) if account and decision.rule and outcome == Outcome.PROCESSING else []
    first = await _first_delivery(event, account, steps, happened_at)
    started = await database.writer(records.start).submit(
        entries.Start(
            id=new_id_of(received_at),
            event=event,
            receipt=receipt["id"],
            lane=lane,
            received_at=received_at,
            happened_at=happened_at,
            outcome=outcome,
            reason=why.words,
            automation=decision.rule.id if decision.rule else None,
            rules=tuple(decision.looks),
            delivery=first.delivery if first else None,
        ),
        at_leisure=first is None,  # no call waits for it
    )
    last_inbound = _note_person(event, account, happened_at)
    if started.is_over:
        await last_inbound
        return Done.DUPLICATE if started.is_redelivery else Done.COMPLETED
    # What an earlier run began is continued with the rule it began with, so that no second rule answers as well.
    rule = rules.get(started.automation) if started.automation else decision.rule
    if not (steps or started.deliveries):
        await last_inbound
        measured.ended(outcome, why.reason)
        return Done.COMPLETED
    if account is None or rule is None:
        async with Run(event, started.automation, started, last_inbound) as left:
            await _leave_off(left)
        return Done.COMPLETED
    if rule is not decision.rule:
        steps = _calls(event, account, rule)
    run = Sending(event, rule.id, started, last_inbound, account=account, happened_at=happened_at)
    async with run:
        await _send(run, steps, first)
    objectives.answered(received_at)
    return Done.COMPLETED


def _note_person(event: Event, account: AccountInfo | None, happened_at: datetime) -> LastInbound:
    """Write down whom the event is from, with the next ones who have written; when the person last wrote to us."""
    if account is not None and event.person:
        note = people.Note(account.id, event, happened_at)
        return database.writer(records.note).submit(note, at_leisure=True)
    nobody: LastInbound = asyncio.get_running_loop().create_future()
    nobody.set_result(None)
    return nobody


async def _decide(event: Event, account: AccountInfo | None) -> tuple[RuleSet, Decision]:
    trigger = planning.TRIGGERS.get(event.kind)
    if account is None or trigger is None:
        return RuleSet([]), Decision(None, [])
    rules = await cache().rules(account, trigger)
    return rules, rules.decide(planning.subject(event))


def _outcome_before_sending(event: Event, account: AccountInfo | None, decision: Decision) -> tuple[str, Why]:
    if account is None:
        return Outcome.UNKNOWN_ACCOUNT, Why(words="No account with this Instagram user id is connected here.")
    if planning.is_own(event, account.username):
        return Outcome.SKIPPED, Why(Reason.OWN_COMMENT, "The account's own comment.")
    if event.kind not in planning.TRIGGERS:
        return Outcome.NO_MATCH, Why(Reason.NOT_OFFERED, "Meta offers no answer to a mention by its ids alone.")
    return (Outcome.PROCESSING if decision.rule else Outcome.NO_MATCH), NOTHING


def _calls(event: Event, account: AccountInfo, rule: Rule) -> list[Call | Refused]:
    return planning.calls(event, rule, account.instagram_id, account.username)


async def _first_delivery(
    event: Event, account: AccountInfo | None, steps: list[Call | Refused], happened_at: datetime
) -> First | None:
    """The first step, to be recorded together with the event, if all that could stand against it is known already."""
    now = datetime.now(UTC)
    call = steps[0] if steps else None
    if account is None or not isinstance(call, Call) or _is_later_attempt() or not await pacing.is_free(account, now):
        return None
    if call.kind == "public_reply":
        return None  # never urgent, and not always possible
    closes = windows.closes_at(call.kind, event.kind, happened_at, None)
    if closes is None or now > closes:
        return None
    limit = turns.limit_on(event.kind, call)
    try:
        if limit is not None:
            await turns.take(limit, account.instagram_id, event.key, now, closes)
    except (RetryLater, TooLate):
        return None  # the step itself says so, once the event has its row
    return First(_delivery(call), limit)


def _is_later_attempt() -> bool:
    """Then the event has its row already, and its first step may be over."""
    run = context.current.get()
    return run is not None and run.attempt > 1


def _delivery(call: Call) -> deliveries.NewDelivery:
    return deliveries.NewDelivery(
        step=call.step,
        kind=call.kind,
        recipient=call.recipient,
        body=call.body,
        once_key=f"private_reply:{call.recipient}" if call.kind == "private_reply" else None,
    )


async def _send(run: Sending, steps: list[Call | Refused], first: First | None) -> None:
    begun = first.delivery.step if first and run.started.may_send else 0
    run.turn = first.limit if first and not begun else None
    statuses = await _left_by_earlier_run(run)
    first_why = NOTHING
    for step in steps:
        status = statuses.get(step.step)
        if status is None or status in (Status.FAILED, Status.SENDING):
            status, why = await _one_step(run, step, status, is_begun=step.step == begun)
            statuses[step.step] = status
            first_why = first_why if first_why.words else why
        if status not in GOES_ON:
            break
    await run.end(statuses.values(), first_why)


async def _left_by_earlier_run(run: Run) -> dict[int, str]:
    """The steps' statuses. An unconfirmed one's echo is awaited anew: that run may have been killed before it was."""
    statuses = dict(run.started.deliveries)
    for step in [step for step, status in statuses.items() if status == Status.UNCONFIRMED]:
        statuses[step] = await _await_echo(run, step)
    return statuses


async def _leave_off(run: Run) -> None:
    """The rule that was begun with is gone: nothing more is sent, and what was cut off stays unconfirmed."""
    statuses = await _left_by_earlier_run(run)
    for step in [step for step, status in statuses.items() if status == Status.SENDING]:
        statuses[step], _ = await _leave_unconfirmed(run, step, Reason.CUT_OFF, CUT_OFF)
    await run.end(statuses.values(), NO_RULE_ANY_MORE)


async def _one_step(run: Sending, step: Call | Refused, earlier: str | None, *, is_begun: bool) -> tuple[str, Why]:
    """The step's new status and, unless it was sent, why."""
    if earlier == Status.SENDING:
        return await _leave_unconfirmed(run, step.step, Reason.CUT_OFF, CUT_OFF)
    if isinstance(step, Refused):
        return await _skip(run, step, {}, Why(Reason.UNFIT, step.reason))
    if step.kind == "public_reply" and run.event.kind is Kind.LIVE_COMMENT:
        return await _skip(run, step, step.body, NO_PUBLIC_REPLY)
    if is_begun:
        return await _call(run, step)
    why = await _why_never(run, step)
    if why is not None:
        return await _skip(run, step, step.body, why)
    delivery = _delivery(step)
    if not await run.move(delivery=delivery):
        return Status.SKIPPED, Why(Reason.ALREADY, ALREADY[delivery.once_key is not None])
    return await _call(run, step)


async def _why_never(run: Sending, step: Call) -> Why | None:
    """Why the step cannot go any more; None when it goes now and has its turn. Raises RetryLater when it must wait."""
    now = datetime.now(UTC)
    closes = windows.closes_at(step.kind, run.event.kind, run.happened_at, await run.last_inbound)
    if closes is None or now > closes:
        words = f"{windows.closed_reason(step.kind, closes)} {pacing.standing(run.account)}".rstrip()
        return Why(Reason.WINDOW_CLOSED, words)
    await pacing.check(run.account, now, run.happened_at, closes)
    limit = turns.limit_on(run.event.kind, step)
    try:
        if limit is not None and not run.has_turn(limit):
            await turns.take(limit, run.account.instagram_id, run.event.key, now, closes)
    except TooLate as error:
        return Why(Reason.LIMIT, error.reason)
    return None


async def _skip(run: Run, step: Call | Refused, body: dict[str, Any], why: Why) -> tuple[str, Why]:
    await run.move(
        delivery=deliveries.NewDelivery(
            step=step.step,
            kind=step.kind,
            recipient=step.recipient,
            body=body,
            status=Status.SKIPPED,
            error={"title": why.words, "verdict": Verdict.REJECT.value},
        )
    )
    return Status.SKIPPED, why


async def _call(run: Sending, call: Call) -> tuple[str, Why]:
    try:
        answer = await graph.client().send(call.path, call.body, run.account.token)
    except graph.GraphError as error:
        measured.called(error.status, error.code)
        return await _refused(run, call, error)
    measured.called()
    run.unwritten = deliveries.Result(step=call.step, status=Status.SENT, message_id=answer.message_id)
    if answer.usage:
        await pacing.heed(run.account, answer.usage, datetime.now(UTC))
    return Status.SENT, NOTHING


async def _refused(run: Sending, call: Call, error: graph.GraphError) -> tuple[str, Why]:
    """Record what Meta said, and turn it into what happens next."""
    if error.verdict is Verdict.PROBABLY_SENT:
        return await _leave_unconfirmed(run, call.step, Reason.NO_ANSWER, error.as_json())
    run.unwritten = deliveries.Result(step=call.step, status=Status.FAILED, error=error.as_json())
    await run.move()
    if error.verdict in (Verdict.WAIT, Verdict.PAUSE_ACCOUNT, Verdict.NEEDS_OWNER):
        await pacing.pause(run.account, error, datetime.now(UTC))
    if error.verdict is Verdict.WAIT:
        raise RetryLater(error.title, error.wait_seconds or 60.0, error.cause())
    if error.verdict is Verdict.RETRY:
        raise TryAgain(str(error), error.cause())
    raise Reject(str(error), error.cause())


async def _leave_unconfirmed(run: Run, step: int, reason: Reason, error: dict[str, Any]) -> tuple[str, Why]:
    """Commit that nobody knows whether the step was sent, and await its echo; the step's status, and why."""
    run.unwritten = deliveries.Result(step=step, status=Status.UNCONFIRMED, error=error)
    await run.move()
    status = await _await_echo(run, step)
    return status, NOTHING if status == Status.SENT else Why(reason, error["title"])


async def _await_echo(run: Run, step: int) -> str:
    """The step's status: its echo may have come already."""
    try:
        is_settled = await settling.expect(run.started.id, run.automation, step)
    except awaited.NotAwaited:
        run.is_unawaited = True
        return Status.UNCONFIRMED
    return Status.SENT if is_settled else Status.UNCONFIRMED
