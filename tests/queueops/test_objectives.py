"""Whether what was promised is kept, and how fast the room for failure is used up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from queueops import metrics, objectives
from queueops.models import Rollup

pytestmark = pytest.mark.django_db

MINUTE = 20_600 * 1440
NOW = MINUTE * 60 + 5.0


def rows(span, minutes_ago, met, missed, unexplained=0, minutes=1):
    minute = (MINUTE - minutes_ago) // span * span
    Rollup.objects.create(span=span, minute=minute, minutes=minutes, met=met, missed=missed, unexplained=unexplained)


def test_an_answer_is_judged_when_it_is_given(redis):
    now = datetime.now(UTC)
    objectives.answered(now - timedelta(seconds=10))
    objectives.answered(now - timedelta(seconds=70))
    objectives.answered(now - timedelta(seconds=70))
    metrics.flush()

    total = metrics.totals(redis)

    assert (total["n:answer:met"], total["n:answer:late"]) == (1, 2)


def test_without_answers_nothing_is_claimed():
    window = objectives.windows(NOW)["1 h"]

    assert (window.share, window.burn, window.explained_share) == (None, None, None)
    assert objectives.burn() is None


def test_a_window_adds_up_what_lies_in_it(settings):
    rows(1, 1, 90, 10)
    rows(1, 59, 98, 2)
    rows(1, 61, 0, 1000)

    window = objectives.windows(NOW)["1 h"]

    assert (window.answers, window.share) == (200, 0.94)
    assert window.burn == pytest.approx(6.0)
    assert objectives.windows(NOW)["5 min"].share == 0.9


def test_longer_windows_are_of_coarser_rows():
    rows(15, 30, 10, 0, minutes=15)
    rows(120, 240, 30, 10, minutes=120)

    found = objectives.windows(NOW)

    assert [found[name].share for name in ("1 h", "24 h", "7 d")] == [None, 1.0, 0.75]


def test_minutes_with_something_unexplained_are_a_share_of_those_that_are_known():
    rows(1, 1, 0, 0, unexplained=0)
    rows(1, 2, 0, 0, unexplained=3)
    rows(1, 3, 0, 0, unexplained=None)

    assert objectives.windows(NOW)["1 h"].explained_share == 0.5


def test_all_windows_take_one_query(django_assert_num_queries):
    with django_assert_num_queries(1):
        objectives.windows(NOW)


def burnt():
    return objectives.burn(objectives.windows(NOW))


def test_a_budget_that_burns_fast_and_still_does_is_for_a_pager():
    rows(1, 2, 80, 20)

    burn = burnt()

    assert (burn.severity, burn.long.name, burn.short.name) == ("page", "1 h", "5 min")
    assert burn.rate == pytest.approx(20)
    assert str(burn) == (
        "20 of 100 answers of the last 1 h took longer than 60 s or never came: "
        "20.0 times what the objective of 99 % allows."
    )


def test_what_is_over_again_alarms_nobody():
    rows(1, 30, 0, 1000)
    rows(1, 2, 100, 0)

    assert burnt() is None


def test_a_slow_burn_is_for_a_ticket():
    rows(120, 1440, 950, 30, minutes=120)
    rows(15, 60, 950, 30, minutes=15)

    assert (burnt().severity, burnt().long.name) == ("ticket", "3 d")


def test_one_late_answer_at_night_is_no_trend():
    rows(1, 2, 0, objectives.LEAST_MISSED - 1)
    assert burnt() is None
    rows(1, 3, 0, 1)
    assert burnt().severity == "page"


def test_a_stricter_objective_burns_faster(settings):
    rows(1, 2, 98, 2)
    settings.OBJECTIVE_PERCENT = 99.9
    assert objectives.windows(NOW)["1 h"].burn == pytest.approx(20)
