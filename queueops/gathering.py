"""Handing over together what concurrent jobs ask for at the same time: what comes meanwhile shares the next round."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Gathered(Generic[Item, Result]):
    """One event loop's. handle: gets at most `most` items and answers as many results, an exception being one's own.

    One round at a time: more at once would only make each smaller.
    """

    def __init__(self, handle: Callable[[list[Item]], Awaitable[Sequence[Result | Exception]]], most: int) -> None:
        self._handle = handle
        self._most = most
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._handling: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Result:
        """The item's result, once its round is over. Raises what its own result is, or what the round raised."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._handling is None or self._handling.done():
            self._handling = asyncio.create_task(self._rounds())
        return await future

    async def _rounds(self) -> None:
        while self._waiting:
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
