"""Quotas: so many in so long, counted for all processes together."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueops import connections, loops, quotas
from queueops.keys import new_id
from queueops.quotas import NoTurn, Quota

HOUR = 3600.0


def fresh(count: int, seconds: float = HOUR) -> Quota:
    return Quota(new_id().hex, count, seconds)


def reserve(quota: Quota, *holders: str, most: float = 1e6) -> list[float]:
    async def ask() -> list[float]:
        try:
            return await asyncio.gather(*(quotas.reserve(quota, holder, most) for holder in holders))
        finally:
            await loops.close_all()

    return asyncio.run(ask())


def names(n: int) -> list[str]:
    return [f"holder{i}" for i in range(n)]


def test_as_many_as_the_quota_go_at_once_and_the_next_waits_a_period(redis):
    *first, last = reserve(fresh(3), *names(4))

    assert first == [0, 0, 0]
    assert HOUR - 5 < last <= HOUR


def test_each_of_a_flood_gets_a_turn_of_its_own(redis):
    waits = reserve(fresh(10), *names(35))

    assert [round(wait / HOUR) for wait in waits] == [0] * 10 + [1] * 10 + [2] * 10 + [3] * 5


def test_who_comes_back_too_early_waits_for_the_same_turn(redis):
    quota = fresh(1)
    _, before = reserve(quota, "first", "second")

    (again,) = reserve(quota, "second")

    assert before - 5 < again <= before
    assert reserve(quota, "third")[0] > before + HOUR / 2  # asking twice took no second turn


def test_who_asks_twice_at_once_gets_one_turn(redis):
    _, second, again, third = reserve(fresh(1), "first", "second", "second", "third")

    assert again == second
    assert round(third / HOUR) == 2


def test_a_ticket_is_good_once_when_its_time_has_come(redis):
    quota = fresh(1, 0.000_001)
    redis.set(f"cad:ticket:{quota.name}:holder", "1.0 2.0")

    assert reserve(quota, "holder") == [0]
    assert redis.exists(f"cad:ticket:{quota.name}:holder") == 0


def test_whose_turn_would_come_too_late_gets_none_and_takes_none(redis):
    quota = fresh(1)
    reserve(quota, "first")

    with pytest.raises(NoTurn):
        reserve(quota, "second", most=60)
    assert reserve(quota, "third")[0] <= HOUR


def test_without_a_limit_nobody_asks_redis(settings):
    settings.QUEUE_REDIS_URL = "unix:///nowhere/valkey.sock"

    assert reserve(fresh(0), *names(3)) == [0, 0, 0]


def test_quotas_of_different_names_know_nothing_of_each_other(redis):
    one, other = fresh(1), fresh(1)
    reserve(one, "first")

    assert reserve(other, "first") == [0]


def test_after_forgetting_old_tickets_are_void_and_turns_begin_anew(redis):
    quota = fresh(1)
    reserve(quota, "first", "second")

    quotas.forget([quota.name])

    assert reserve(quota, "third") == [0]
    (second,) = reserve(quota, "second")
    assert HOUR - 5 < second <= HOUR


def test_slowed_down_it_gives_out_a_share(redis):
    quota = fresh(10)
    quotas.slow_down([quota.name], 0.3, 60)

    assert [round(wait / HOUR) for wait in reserve(quota, *names(6))] == [0, 0, 0, 1, 1, 1]


def test_while_redis_is_away_everybody_may_go(settings, monkeypatch):
    settings.QUEUE_REDIS_URL = "unix:///nowhere/valkey.sock"
    monkeypatch.setattr(connections, "_client", None)

    assert reserve(fresh(1), *names(3)) == [0, 0, 0]


@given(count=st.integers(1, 20), asked=st.integers(1, 80))
def test_no_window_ever_holds_more_turns_than_the_quota(count, asked):
    turns = sorted(reserve(fresh(count), *names(asked)))

    assert all(later - sooner > HOUR - 5 for sooner, later in zip(turns, turns[count:], strict=False))
