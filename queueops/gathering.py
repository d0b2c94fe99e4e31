"""Handing over together what concurrent jobs ask for at the same time: what comes meanwhile shares the next round."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


# So many items are worth a round beside another: fewer wait, and share the next.
ENOUGH = 24


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
        self._tasks: list[asyncio.Task[None]] = []

    async def submit(self, item: Item) -> Result:
        """The item's result, once its round is over. Raises what its own result is, or what the round raised."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._tasks = [task for task in self._tasks if not task.done()]
        if self._is_worth_while(beside=len(self._tasks)):
            self._tasks.append(asyncio.create_task(self._rounds()))
        return await future

    def _is_worth_while(self, beside: int) -> bool:
        """Whether what waits is to have a round now, beside so many others."""
        if not beside:
            return bool(self._waiting)
        return beside < self._at_once and len(self._waiting) >= ENOUGH

    async def _rounds(self) -> None:
        me = asyncio.current_task()
        while self._is_worth_while(beside=sum(not task.done() for task in self._tasks if task is not me)):
            group, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            await self._round(group)

    async def _round(self, group: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        items = [item for item, _ in group]
        handling = asyncio.ensure_future(self._handle(items))
        await asyncio.wait([handling])
        # Whatever was raised, nobody is left waiting.
        error = handling.exception()
        results = [error] * len(items) if error else handling.result()
        for (_, future), result in zip(group, results, strict=True):
            _tell(future, result)


def _tell(future: asyncio.Future[Any], result: Any) -> None:
    if future.done():
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
