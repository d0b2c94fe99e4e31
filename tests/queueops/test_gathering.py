"""What concurrent jobs hand over shares a round, and is never left behind between two."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from queueops import gathering
from queueops.gathering import ENOUGH, Gathered


class Rounds:
    """A handler whose rounds end when the test says so; begun: the items of each."""

    def __init__(self, at_once: int) -> None:
        self.begun: list[list[int]] = []
        self._ends: list[asyncio.Future[None]] = []
        self.gathered: Gathered[int, int] = Gathered(self._handle, 100, at_once)
        self._jobs: list[asyncio.Future[int]] = []

    async def _handle(self, items: list[int]) -> Sequence[int | Exception]:
        self.begun.append(items)
        self._ends.append(asyncio.get_running_loop().create_future())
        await self._ends[-1]
        return [ValueError(item) if item < 0 else item * 2 for item in items]

    async def hand_over(self, *items: int, at_leisure: bool = False) -> None:
        self._jobs += [self.gathered.submit(item, at_leisure=at_leisure) for item in items]
        await settled()

    async def end(self, *rounds: int) -> None:
        for one in rounds:
            self._ends[one].set_result(None)
        await settled()

    def cancel(self, one: int) -> None:
        self._ends[one].cancel()

    async def results(self) -> list[int | BaseException]:
        return await asyncio.gather(*self._jobs, return_exceptions=True)


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_what_comes_while_a_round_is_under_way_shares_the_next(run):
    async def scenario():
        rounds = Rounds(at_once=2)
        await rounds.hand_over(1, 2)
        await rounds.hand_over(3)
        await rounds.hand_over(4)
        assert rounds.begun == [[1, 2]]
        await rounds.end(0)
        assert rounds.begun == [[1, 2], [3, 4]]
        await rounds.end(1)
        assert await rounds.results() == [2, 4, 6, 8]

    run(scenario())


@pytest.mark.parametrize("at_once", [1, 2])
def test_as_many_as_are_worth_it_get_a_round_beside_the_others_but_no_more_rounds_than_are_allowed(run, at_once):
    async def scenario():
        rounds = Rounds(at_once)
        await rounds.hand_over(0)
        for group in range(3):
            await rounds.hand_over(*range(group * ENOUGH + 1, (group + 1) * ENOUGH + 1))
        assert [len(items) for items in rounds.begun] == [1, ENOUGH][:at_once]
        await rounds.end(0)
        assert [len(items) for items in rounds.begun][at_once:] == [(4 - at_once) * ENOUGH]
        await rounds.end(*range(1, len(rounds.begun)))
        assert await rounds.results() == [2 * n for n in range(3 * ENOUGH + 1)]

    run(scenario())


def test_nothing_is_left_behind_when_two_rounds_end_at_once(run):
    async def scenario():
        rounds = Rounds(at_once=2)
        await rounds.hand_over(0)
        await rounds.hand_over(*range(1, ENOUGH + 1))
        await rounds.hand_over(77)
        await rounds.end(0, 1)
        assert rounds.begun[2:] == [[77]]
        await rounds.end(2)
        assert (await rounds.results())[-1] == 154

    run(scenario())


def test_an_item_that_fails_fails_alone(run):
    async def scenario():
        rounds = Rounds(at_once=1)
        await rounds.hand_over(1, -1, 2)
        await rounds.end(0)
        first, failed, last = await rounds.results()
        assert (first, type(failed), last) == (2, ValueError, 4)

    run(scenario())


@pytest.fixture
def patient(monkeypatch):
    """Nothing is handed over because its time has come."""
    monkeypatch.setattr(gathering, "LEISURE_SECONDS", 3600.0)


def test_what_has_leisure_goes_with_the_first_that_has_none(run, patient):
    async def scenario():
        rounds = Rounds(at_once=1)
        await rounds.hand_over(1, 2, at_leisure=True)
        assert rounds.begun == []
        await rounds.hand_over(3)
        await rounds.hand_over(4, at_leisure=True)
        await rounds.end(0)
        assert rounds.begun == [[1, 2, 3]]
        await rounds.hand_over(5)
        await rounds.end(1)
        assert rounds.begun == [[1, 2, 3], [4, 5]]
        assert await rounds.results() == [2, 4, 6, 8, 10]

    run(scenario())


def test_enough_with_leisure_go_at_once(run, patient):
    async def scenario():
        rounds = Rounds(at_once=1)
        await rounds.hand_over(*range(ENOUGH), at_leisure=True)
        await rounds.end(0)
        assert await rounds.results() == [2 * n for n in range(ENOUGH)]

    run(scenario())


def test_what_has_leisure_goes_alone_when_its_time_has_come(run, monkeypatch):
    monkeypatch.setattr(gathering, "LEISURE_SECONDS", 0.0)

    async def scenario():
        doubled = Gathered(double, most=100)
        first = await doubled.submit(1, at_leisure=True)
        return first, await doubled.submit(2, at_leisure=True)

    assert run(scenario()) == (2, 4)


async def double(items: list[int]) -> list[int]:
    return [item * 2 for item in items]


def test_a_round_that_is_cancelled_leaves_nobody_waiting(run):
    async def scenario():
        rounds = Rounds(at_once=1)
        await rounds.hand_over(1)
        rounds.cancel(0)
        (result,) = await rounds.results()
        assert isinstance(result, asyncio.CancelledError)

    run(scenario())
