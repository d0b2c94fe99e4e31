"""One run of one event, from its opened row to its end: what every step needs, and what is written when."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from automations import deliveries, entries, measured, records, settling
from automations.events import Event
from automations.lookups import AccountInfo
from automations.models import Event as EventRow
from automations.reasons import Why
from automations.turns import Limit
from queueops import database
from queueops.errors import RetryLater

LastInbound = asyncio.Future[datetime | None]

AWAIT_AGAIN = 60.0  # seconds, while Redis is away


@dataclass(slots=True)
class Run:
    """What was begun comes to its end. The last step's result waits until the next move writes it.

    automation: by its id. last_inbound: when the person last wrote to the account, once that is written down.
    is_unawaited: whether the echo of a step that was left unconfirmed could not be awaited.
    """

    event: Event
    automation: str
    started: entries.Started
    last_inbound: LastInbound
    unwritten: deliveries.Result | None = None
    is_unawaited: bool = False

    async def move(self, delivery: deliveries.NewDelivery | None = None, outcome: str = "", reason: str = "") -> bool:
        """Write the result at hand together with what comes next; whether the delivery may be sent."""
        result, self.unwritten = self.unwritten, None
        return await database.writer(records.advance).submit(
            entries.Advance(
                event_id=self.started.id,
                event_key=self.event.key,
                automation=self.automation,
                is_new=self.started.is_new,
                result=result,
                delivery=delivery,
                outcome=outcome,
                reason=reason,
            ),
            at_leisure=delivery is None,  # no call waits for it
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        """What the last step has sent is written down, whatever stands against the next."""
        if isinstance(error, Exception):
            if self.unwritten is not None:
                await self.move()
            await asyncio.wait([self.last_inbound])

    async def end(self, statuses: Iterable[str], why: Why) -> None:
        """Close the event with what became of its steps. Raises RetryLater when an echo is still to be awaited."""
        outcome = settling.outcome_of(statuses)
        if self.is_unawaited:
            raise RetryLater("Whether it was sent is unknown, and Redis is away: its echo is not awaited.", AWAIT_AGAIN)
        await self.last_inbound
        await self.move(outcome=outcome, reason=why.words)
        if outcome == EventRow.Outcome.UNCONFIRMED:  # an echo may have settled a step since it was left so
            outcome = await database.run(settling.recount, self.started.id)
        measured.ended(outcome, why.reason)


@dataclass(slots=True, kw_only=True)
class Sending(Run):
    """One that may send. turn: of which limit a turn was taken that no step has used yet."""

    account: AccountInfo
    happened_at: datetime
    turn: Limit | None = None

    def has_turn(self, limit: Limit) -> bool:
        """Whether there is one at hand; it is used up by asking."""
        found = self.turn is limit
        self.turn = None if found else self.turn
        return found
