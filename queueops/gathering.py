"""Handing over together what concurrent jobs ask for at the same time: what comes meanwhile shares the next round."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


# So many items are worth a round beside another: fewer wait, and share the next.
ENOUGH = 24
# So long fewer than that wait for company when nothing that follows waits for them.
LEISURE_SECONDS = 0.01


class Gathered(Generic[Item, Result]):
    """One event loop's. handle: gets at most `most` items and answers as many results, an exception being one's own.

    at_once: how many rounds may be under way. More make each smaller, but wait less for each other.
    """

    def __init__(
        self, handle: Callable[[list[Item]], Awaitable[Sequence[Result | Exception]]], most: int, at_once: int = 1
    ) -> None:
        self._handle = handle
        self._most = most
        self._at_once = at_once
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._is_due = False  # what waits, or a part of it, waits no longer for company
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def submit(self, item: Item, *, at_leisure: bool = False) -> asyncio.Future[Result]:
        """The item's result, once its round is over. Awaiting it raises what it is itself, or what the round raised.

        at_leisure: it may wait LEISURE_SECONDS for others to share its round, even if none is under way.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((item, future))
        if at_leisure and self._timer is None:
            self._timer = loop.call_later(LEISURE_SECONDS, self._fall_due)
        self._is_due = self._is_due or not at_leisure
        self._begin()
        return future

    def _fall_due(self) -> None:
        self._is_due = True
        self._begin()

    def _begin(self) -> None:
        self._tasks = [task for task in self._tasks if not task.done()]
        if self._is_worth_while(beside=len(self._tasks)):
            self._tasks.append(asyncio.create_task(self._rounds()))

    def _is_worth_while(self, beside: int) -> bool:
        """Whether what waits is to have a round now, beside so many others."""
        if len(self._waiting) >= ENOUGH:
            return beside < self._at_once
        return self._is_due and not beside

    async def _rounds(self) -> None:
        me = asyncio.current_task()
        while self._is_worth_while(beside=sum(not task.done() for task in self._tasks if task is not me)):
            await self._round(self._next_group())

    def _next_group(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        group, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        self._is_due = bool(self._waiting)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return group

    async def _round(self, group: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._handle([item for item, _ in group])
        except BaseException as error:
            # Whatever was raised, nobody is left waiting.
            for _, future in group:
                _tell(future, error)
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), result in zip(group, results, strict=True):
            _tell(future, result)


def _tell(future: asyncio.Future[Any], result: Any) -> None:
    if future.done():
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
