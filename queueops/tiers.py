"""Who takes a batch: Redis, else the database, else this very request (docs/adr/0019-the-tiers-in-detail.md).

Each tier takes a batch as a whole or raises Unavailable; then its outcome may be unknown and the next one takes the
same batch. That is one event in the end: a job's id is its identity in every tier, and the job itself knows what it has
done before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from queueops import direct, fallback, loops, states, switches
from queueops import dispatch as redis_tier
from queueops.breaker import Breaker
from queueops.dispatch import Full, Unavailable
from queueops.jobs import Batch, Receipt
from queueops.switches import Mode

logger = logging.getLogger(__name__)

Tier = Callable[[Batch], Awaitable[Receipt]]

breaker = Breaker()


async def redis(batch: Batch) -> Receipt:
    """The first tier. Raises Unavailable: at once while the breaker is open."""
    if breaker.is_open:
        raise Unavailable("Redis is away")
    try:
        return await redis_tier.dispatch(batch)
    except Unavailable as error:
        _redis_failed(error)
        raise


def _redis_failed(error: Unavailable) -> None:
    if not isinstance(error, Full):  # a full one works, and may have room for the next batch
        breaker.open(str(error))


TIERS: dict[Mode, tuple[Tier, ...]] = {
    Mode.QUEUE: (redis, fallback.take, direct.take),
    Mode.DIRECT: (direct.take, redis, fallback.take),
    Mode.PAUSED: (redis, fallback.take),
}


async def dispatch(batch: Batch) -> Receipt:
    """Have the batch kept by the first tier that can. Raises Unavailable, or TypeError when a payload is not JSON."""
    receipt = await _first_of(TIERS[switches.current().mode], batch)
    states.received(batch)
    return receipt


def dispatch_sync(batch: Batch) -> Receipt:
    """The same from a thread without a loop."""
    return loops.in_background(dispatch(batch))


def dispatch_soon(batch: Batch) -> asyncio.Future[Receipt]:
    """The same for callers that are no coroutine. Raises TypeError; the future may fail with Unavailable."""
    first, *others = TIERS[switches.current().mode]
    if first is not redis or breaker.is_open:
        return asyncio.ensure_future(dispatch(batch))
    # The way of nearly every batch: no task.
    kept: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
    if states.are_told():
        kept.add_done_callback(partial(states.received, batch))
    redis_tier.dispatch_soon(batch).add_done_callback(partial(_taken, kept, partial(_first_of, others, batch)))
    return kept


async def _first_of(tiers: Sequence[Tier], batch: Batch) -> Receipt:
    reasons = []
    for take in tiers:
        try:
            return await take(batch)
        except Unavailable as error:
            reasons.append(str(error))
            if isinstance(error, direct.Overdue):
                break
    logger.error("action=refused reasons=%s", "; ".join(reasons))
    raise Unavailable("; ".join(reasons))


_falling_back: set[asyncio.Task[Receipt]] = set()  # a loop alone does not keep its tasks alive


def _taken(
    kept: asyncio.Future[Receipt],
    fall_back: Callable[[], Coroutine[Any, Any, Receipt]] | None,
    taken: asyncio.Future[Receipt],
) -> None:
    """Hand the receipt on; one that was not taken goes to the other tiers."""
    error = taken.exception()
    if isinstance(error, Unavailable) and fall_back is not None:
        _redis_failed(error)
        task = asyncio.ensure_future(fall_back())
        _falling_back.add(task)
        task.add_done_callback(_falling_back.discard)
        task.add_done_callback(partial(_taken, kept, None))
    elif kept.done():  # whoever asked has gone
        return
    elif error is not None:
        kept.set_exception(error)
    else:
        kept.set_result(taken.result())
